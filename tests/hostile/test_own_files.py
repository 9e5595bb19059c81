"""What a program of the native engine locks or touches is no inode of the machine's: nobody outside meets it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from code_executor import Executor, Output
from code_executor.core.models import Execution
from tests.hostile.weakenings import PYTHON, weakened

pytestmark = pytest.mark.anyio

FILES = ("/dev/null", "/dev/urandom", "/usr/lib/os-release", "/etc/ld.so.cache", "/usr/lib", "/opt/sandbox/pyvenv.cfg")
OUTSIDE = {"/opt/sandbox/pyvenv.cfg": str(PYTHON.parent.parent / "pyvenv.cfg")}

HOLD = f"""
import fcntl, os, time
held = []
for path in {FILES!r}:
    try:
        held.append(os.open(path, os.O_RDONLY))
    except OSError:
        continue
    fcntl.flock(held[-1], fcntl.LOCK_EX)
    fcntl.fcntl(held[-1], fcntl.F_OFD_SETLK, bytes(32)) if hasattr(fcntl, "F_OFD_SETLK") else None
print("held", len(held), flush=True)
time.sleep(60)
"""


def locked_outside() -> list[str]:
    """The files that somebody else on this machine cannot lock."""
    met = []
    for path in FILES:
        outside = OUTSIDE.get(path, path)
        if not os.path.exists(outside):
            continue
        file = os.open(outside, os.O_RDONLY)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            met.append(path)
        finally:
            os.close(file)
    return met


async def while_held(executor: Executor) -> list[str]:
    async with aclosing(executor.stream(Execution(HOLD, timeout=60))) as events:
        async for event in events:
            if isinstance(event, Output):
                assert event.data.startswith("held"), event.data
                return locked_outside()
    pytest.fail("it printed nothing")


@pytest.fixture
async def native() -> AsyncIterator[Executor]:
    python = str(PYTHON.absolute())
    async with Executor.open(engine="native", python=python, policy="off", pool_size=1, preload=()) as opened:
        yield opened


async def test_a_lock_is_met_by_nobody_outside(native: Executor) -> None:
    assert native.pool.introduction["shared"] == []
    assert await while_held(native) == []


async def test_a_lock_is_met_by_others_without(tmp_path: Path) -> None:
    async with weakened("native", ("own files",), tmp_path) as executor:
        assert set(await while_held(executor)) >= {"/dev/null", "/usr/lib/os-release", "/usr/lib"}


async def test_the_programs_of_one_run_meet_each_others_locks(native: Executor) -> None:
    code = """
import fcntl, os
for path in ("/work/file", "/usr/lib/os-release"):
    one, other = (os.open(path, os.O_RDONLY | (os.O_CREAT if path.startswith("/work") else 0)) for _ in range(2))
    fcntl.flock(one, fcntl.LOCK_EX)
    try:
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        print("met")
"""
    assert (await native.run(code)).output == "met\nmet\n"


async def test_the_machines_devices_keep_their_times(native: Executor) -> None:
    before = [os.stat(path) for path in FILES[:2]]
    code = f"""
import os
for path in {FILES!r}:
    try:
        os.utime(path)
    except OSError as error:
        print(error.strerror)
"""
    result = await native.run(code)
    assert set(result.output.splitlines()) <= {"Read-only file system", "No such file or directory"}, result.output
    after = [os.stat(path) for path in FILES[:2]]
    assert [found.st_ctime_ns for found in after] == [found.st_ctime_ns for found in before]


async def test_of_the_machines_files_a_program_sees_libraries_and_no_settings(native: Executor) -> None:
    code = """
import json, os
print(json.dumps([path for path in (
    "/usr/local/etc", "/usr/local/src", "/usr/src", "/usr/include", "/usr/sbin", "/usr/games", "/home", "/var",
    "/etc/shadow", "/etc/hosts", "/etc/resolv.conf", "/run", "/boot", "/dev/tty", "/dev/pts", "/dev/ptmx", "/dev/kmsg",
) if os.path.exists(path)]))
"""
    assert json.loads((await native.run(code)).output) == []
