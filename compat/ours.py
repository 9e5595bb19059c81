"""Code Executor: a server that is running, asked over HTTP."""

from __future__ import annotations

import base64
import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from compat.case import Case, Run


class RefusedError(Exception):
    """The server answered with another status than 200."""


class Ours:
    """One client with one connection; ``timeout`` in seconds, for each run."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        self._timeout = timeout
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout + 60)

    def run(self, case: Case) -> Run:
        """Return what came of the case; raise `RefusedError`."""
        files = [
            {"path": path, "contentBase64": base64.b64encode(data).decode()}
            for path, data in sorted(case.files.items())
        ]
        answer = self._ask({"code": case.code, "files": files, "timeout": self._timeout})
        status = answer["exitCode"]
        ended = answer["signal"] or (answer["reason"] if status is None else str(status))
        return Run(ended, answer["output"], answer["error"])

    def _ask(self, body: dict[str, Any]) -> dict[str, Any]:
        try:
            self._connection.request(
                "POST", "/api/execute", json.dumps(body).encode(), {"Content-Type": "application/json"}
            )
            response = self._connection.getresponse()
            text = response.read()
        except (http.client.HTTPException, OSError):
            self._connection.close()  # the next case gets a new one
            raise
        if response.status != http.client.OK:
            raise RefusedError(f"{response.status}: {text.decode(errors='replace')[:300]}")
        answer: dict[str, Any] = json.loads(text)
        return answer
