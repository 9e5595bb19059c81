"""The bare interpreter: of a container of the sandbox's image, or any of this machine, in an empty directory.

What it answers is kept, because it depends on nothing but the program and the interpreter.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import tempfile
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from compat.case import Case, Run

_PROGRAM = (Path(__file__).parent / "programs" / "run_bare.py").read_text()
_SHOW = """\
import sys, importlib.metadata
print(sys.version, sorted(f"{each.name} {each.version}" for each in importlib.metadata.distributions()))
"""


class Bare:
    """``image`` names an image, ``python`` an interpreter of this machine instead; ``timeout`` in seconds."""

    def __init__(self, image: str, python: str, timeout: float, cache: Path) -> None:
        self._timeout, self._cache = timeout, cache
        self._fresh = tempfile.TemporaryDirectory()
        self._process: subprocess.Popen[bytes] | None = None
        if python:
            self._command, self._directories = [python], [self._fresh.name]
            self._environment = {"HOME": self._fresh.name, "TMPDIR": self._fresh.name, "LANG": "C.UTF-8"}
        else:
            # no network, and the user that programs of the sandbox have
            options = ["-i", "--network=none", "--user=10001:10001", "--ulimit=nofile=1024:1024", "--workdir=/work"]
            entry = "--entrypoint=/opt/sandbox/bin/python"
            self._command = ["docker", "run", "--rm", *options, entry, image]
            self._directories = ["/work", "/tmp", "/dev/shm"]
            self._environment = {}
        self._interpreter = self._identity()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._fresh.cleanup()

    def run(self, case: Case, attempt: int = 0) -> Run:
        """Return what came of the case; each ``attempt`` is another run."""
        kept = self._cache / f"{self._key(case, attempt)}.json"
        if kept.exists():
            return Run(**json.loads(kept.read_text()))
        run = self._ask(case)
        if run.exit in {"wall_time", "lost"}:  # on a machine with less to do it may end
            return run
        self._cache.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(asdict(run)))
        return run

    def _ask(self, case: Case) -> Run:
        files = {"main.py": case.code.encode("utf-8", "surrogatepass"), **case.files}
        job = {
            "directory": self._directories[0],
            "wipe": self._directories,
            "timeout": self._timeout,
            "files": {path: base64.b64encode(data).decode() for path, data in files.items()},
        }
        if self._process is None:
            command = [*self._command, "-c", _PROGRAM]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self._surroundings()
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(job).encode() + b"\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        if not answer:  # a program of these ended its parent
            self._stop()
            return Run("lost", "", "")
        if b'"wall_time"' in answer[:30]:
            self._stop()  # it may have left what cannot be wiped
        return Run(**json.loads(answer))

    def _stop(self) -> None:
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def _surroundings(self) -> dict[str, str] | None:
        return {"PATH": os.environ["PATH"], **self._environment} if self._environment else None

    def _identity(self) -> str:
        """Return what tells interpreter and libraries, whatever else was built into an image."""
        command = [*self._command, "-c", _SHOW]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=self._surroundings()).stdout

    def _key(self, case: Case, attempt: int) -> str:
        of = [self._interpreter, self._timeout, attempt, case.code]
        digest = hashlib.sha256(json.dumps(of).encode())
        for path, data in sorted(case.files.items()):
            digest.update(path.encode() + b"\0" + hashlib.sha256(data).digest())
        return digest.hexdigest()[:32]
