"""Starts programs and times them. This is a small process of its own, so that a start costs as much as in a shell.

It uses only the standard library, because it also runs inside a container (``python -c``). Each line on stdin is a JSON
object ``{"argv", "seconds", "most", "at_once"}``; each line on stdout is ``{"ms": [latencies], "elapsed": seconds}``. A
latency is the time from before ``posix_spawn`` until the program's output has ended and the program has been collected.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from typing import Any

_KEPT = ("PATH", "HOME", "MPLBACKEND", "DOCKER_HOST", "DOCKER_CONFIG", "XDG_RUNTIME_DIR")
# one thread, as in a sandbox: on few cores this makes the baseline faster
_SET = {"LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def measure(argv: list[str], seconds: float, most: int, at_once: int) -> dict[str, Any]:
    """Keep ``at_once`` programs running for ``seconds`` or ``most`` runs; raise ``RuntimeError`` if one fails."""
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ} | _SET
    latencies: list[float] = []
    running: dict[int, tuple[int, int]] = {}
    events = select.poll()
    began = time.perf_counter_ns()
    started = 0
    while True:
        over = time.perf_counter_ns() - began > seconds * 1e9 and started > 0
        while len(running) < at_once and started < most and not over:
            start = time.perf_counter_ns()
            fd, pid = _start(argv, environment)
            running[fd] = pid, start
            events.register(fd, select.POLLIN)
            started += 1
        if not running:
            return {"ms": latencies, "elapsed": (time.perf_counter_ns() - began) / 1e9}
        for fd, _ in events.poll():
            if os.read(fd, 65536):
                continue
            events.unregister(fd)
            os.close(fd)
            pid, start = running.pop(fd)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if status != 0:
                raise RuntimeError(f"{argv[0]} ended with {status}")
            latencies.append((time.perf_counter_ns() - start) / 1e6)


def _start(argv: list[str], environment: dict[str, str]) -> tuple[int, int]:
    reader, writer = os.pipe()
    pid = os.posix_spawnp(argv[0], argv, environment, file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1)])
    os.close(writer)
    return reader, pid


def main() -> None:
    for line in sys.stdin:
        try:
            reply = measure(**json.loads(line))
        except Exception as error:  # noqa: BLE001  # it is told to whoever asked
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
