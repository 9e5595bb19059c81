"""What requests to run do not mean, though each of their fields is right: JSON Schema has no words for that.

Schemathesis loads this file by its path. The tests of `test_asked` say what such requests are answered with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import schemathesis

REFUSED = "ST202"
"""The code of Schemathesis for a right request that was refused."""


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Accept that a request is refused which contradicts itself."""
    is_run = context.operation.path == "/api/execute" and isinstance(case.body, Mapping)
    return not (is_run and failure.code == REFUSED and response.status_code == 422 and _contradicts_itself(case.body))


def _contradicts_itself(body: Mapping[str, Any]) -> bool:
    inputs = [name for name in ("stdin", "stdinBase64", "stdins") if body.get(name)]
    return (
        len(inputs) > 1
        or (bool(body.get("base64")) and body.get("excerpt") is not None)
        or _has_two_times(body)
        or _runs_what_is_not_there(body)
    )


def _has_two_times(body: Mapping[str, Any]) -> bool:
    limits = body.get("limits")
    wall_time = limits.get("wallTime") if isinstance(limits, Mapping) else None
    return None not in (wall_time, body.get("timeout")) and wall_time != body["timeout"]


def _runs_what_is_not_there(body: Mapping[str, Any]) -> bool:
    entry, files = body.get("entry"), body.get("files")
    if not isinstance(entry, Mapping) or not isinstance(entry.get("path"), str):
        return False
    there = [file.get("path") for file in files if isinstance(file, Mapping)] if isinstance(files, list) else []
    return entry["path"] not in there
