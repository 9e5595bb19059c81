"""A real PostgreSQL for the tests: Debian's, in a cluster of its own, in a temporary directory, on a Unix socket."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

_FOUND = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
BINARIES = _FOUND[-1].parent if _FOUND else None
NO_POSTGRES = "PostgreSQL is not installed (apt install postgresql)"

_FAST = ("fsync=off", "full_page_writes=off", "shared_buffers=16MB")  # but what was committed outlives a kill


class Cluster:
    """A running server. It does not run as root, so root's tests run it as the user `postgres`."""

    def __init__(self, directory: Path) -> None:
        assert BINARIES
        self.directory = directory
        self._bin = BINARIES
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []

    def _run(self, name: str, *arguments: str) -> None:
        command = [*self._as, str(self._bin / name), *arguments]
        with (self.directory / "said").open("ab") as said:  # no pipe: the server would keep it open
            done = subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=False)
        assert done.returncode == 0, (self.directory / "said").read_text(errors="replace")[-4000:]

    def make(self) -> None:
        self._run("initdb", "-D", f"{self.directory}/data", "-U", "tests", "-A", "trust", "-N", "--no-instructions")

    def start(self) -> None:
        options = f"-k {self.directory} -c listen_addresses='' {' '.join(f'-c {each}' for each in _FAST)}"
        log = f"{self.directory}/log"
        self._run("pg_ctl", "start", "-w", "-D", f"{self.directory}/data", "-l", log, "-o", options)

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "stop", "-w", "-m", mode, "-D", f"{self.directory}/data")

    def new_database(self, name: str = "", *, template: str = "template1") -> str:
        """Return the URL of a database that is empty, or a copy of another one."""
        name = name or f"test_{secrets.token_hex(6)}"
        self._run("createdb", "-h", str(self.directory), "-U", "tests", "-T", template, name)
        return f"postgresql://tests@/{name}?host={self.directory}"


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """Make one, and have it running for the length of the block."""
    directory = Path(tempfile.mkdtemp(prefix="ce-pg-", dir="/tmp"))  # a short path: it holds a socket
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(directory, user.pw_uid, user.pw_gid)
    running = Cluster(directory)
    try:
        running.make()
        running.start()
        yield running
    finally:
        with contextlib.suppress(AssertionError):
            running.stop()
        shutil.rmtree(directory, ignore_errors=True)
