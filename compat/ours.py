"""Code Executor: a server that is running, asked over HTTP."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from compat.case import LEFT_OUT, Case, Run, complete, stopped_in, told_of

_MOST_STOPPED = 5
"""How many tests of one module may stop it; of the rest nothing is known then."""


class RefusedError(Exception):
    """The server answered with another status than 200."""


class Ours:
    """One client; ``timeout`` in seconds, for each run."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._timeout = timeout

    def run(self, case: Case) -> Run:
        """Return what came of the case. Where a test stopped the program, the rest is run without it."""
        run = self._once(case)
        stopped: list[str] = []
        while case.counted == "tests" and len(stopped) < _MOST_STOPPED:
            test = stopped_in(run)
            if complete(case, run) or test is None or test in stopped:
                break
            stopped.append(test)
            told = run.stdout + told_of(test, run)
            case = replace(case, files={**case.files, LEFT_OUT: json.dumps(stopped).encode()})
            run = self._once(case)
            run = replace(run, stdout=told + run.stdout)
        return run

    def _once(self, case: Case) -> Run:
        files = [
            {"path": path, "contentBase64": base64.b64encode(data).decode()}
            for path, data in sorted(case.files.items())
        ]
        try:
            answer = self._ask({"code": case.code, "files": files, "timeout": self._timeout})
        except RefusedError as error:
            return Run("refused", "", str(error))
        status = answer["exitCode"]
        ended = answer["signal"] or (answer["reason"] if status is None else str(status))
        return Run(ended, answer["output"], answer["error"])

    def _ask(self, body: dict[str, Any]) -> dict[str, Any]:
        # a connection of its own: the server closes one that waits while the bare interpreter works
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout + 60)
        with contextlib.closing(connection):
            connection.request("POST", "/api/execute", json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()
        if response.status != http.client.OK:
            raise RefusedError(f"{response.status}: {text.decode(errors='replace')[:300]}")
        answer: dict[str, Any] = json.loads(text)
        return answer
