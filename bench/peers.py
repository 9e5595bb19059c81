"""Runs programs in the sandboxes of other projects, in a separate environment (`peers.txt`).

Reads one JSON object per line from stdin: ``{"peer", "code", "image", "seconds", "most"}``. Replies as `spawner` does.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

import epicbox  # type: ignore[import-not-found]
from llm_sandbox import SandboxSession  # type: ignore[import-not-found]

OPEN = contextlib.ExitStack()


def _session(image: str) -> Any:
    return SandboxSession(lang="python", image=image, skip_environment_setup=True)


def llm_sandbox_kept(image: str) -> Callable[[str], str]:
    """One session for all runs: the container is reused as the last run left it, as llm-sandbox's own pool does."""
    session = OPEN.enter_context(_session(image))

    def run(code: str) -> str:
        output: str = session.run(code).stdout
        return output

    return run


def llm_sandbox_fresh(image: str) -> Callable[[str], str]:
    """A new session, and so a new container, for each run."""

    def run(code: str) -> str:
        with _session(image) as session:
            output: str = session.run(code).stdout
            return output

    return run


def epicbox_run(image: str) -> Callable[[str], str]:
    """A new container for each run; epicbox offers nothing else."""
    epicbox.configure(profiles=[epicbox.Profile("python", image)])
    limits = {"cputime": 10, "realtime": 30, "memory": 512}

    def run(code: str) -> str:
        files = [{"name": "main.py", "content": code.encode()}]
        result = epicbox.run("python", "python3 main.py", files=files, limits=limits)
        output: str = result["stdout"].decode()
        return output

    return run


PEERS = {
    "llm-sandbox, one session": llm_sandbox_kept,
    "llm-sandbox, a session each": llm_sandbox_fresh,
    "epicbox": epicbox_run,
}


def main() -> None:
    replies, sys.stdout = sys.stdout, io.StringIO()  # they print, too
    logging.disable()
    ready: dict[tuple[str, str], Callable[[str], str]] = {}
    with OPEN:
        for line in sys.stdin:
            question = json.loads(line)
            try:
                key = question["peer"], question["image"]
                if key not in ready:
                    ready[key] = PEERS[key[0]](key[1])
                reply = measure(ready[key], question["code"], question["seconds"], question["most"])
            except Exception as error:  # noqa: BLE001  # the reply reports it
                reply = {"error": f"{type(error).__name__}: {error}"[:300]}
            print(json.dumps(reply), file=replies, flush=True)


def measure(run: Callable[[str], str], code: str, seconds: float, most: int) -> dict[str, Any]:
    """Run ``code`` until ``seconds`` or ``most`` are over; raise ``RuntimeError`` where it prints nothing."""
    latencies: list[float] = []
    began = time.perf_counter()
    while len(latencies) < most and (not latencies or time.perf_counter() - began < seconds):
        started = time.perf_counter()
        if not run(code).strip():
            raise RuntimeError("the program's output did not come back")
        latencies.append((time.perf_counter() - started) * 1000)
    return {"ms": latencies, "elapsed": time.perf_counter() - began}


if __name__ == "__main__":
    main()
