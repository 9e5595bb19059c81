"""A run finds the sandbox as if nobody had been there before."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from code_executor import Executor, Reason

LOOK = """
import builtins, json, os, random, resource, signal, sys, threading

def exists(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True

places = ("/work", "/tmp", "/dev/shm")
sizes = [os.statvfs(place) for place in places]
print(json.dumps({
    "files": [os.listdir(place) for place in places],
    "modes": [os.stat(place).st_mode for place in places],
    "times": [(os.stat(place).st_atime_ns, os.stat(place).st_mtime_ns) for place in places],
    "free": [(size.f_bfree, size.f_ffree) for size in sizes],
    "environment": dict(os.environ),
    "directory": os.getcwd(),
    "umask": os.umask(0o077),
    "priority": os.getpriority(os.PRIO_PROCESS, 0),
    "limits": {n: resource.getrlimit(getattr(resource, n)) for n in dir(resource) if n.startswith("RLIMIT_")},
    "handlers": [str(signal.getsignal(n)) for n in range(1, 32)],
    "blocked": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
    "timers": [signal.getitimer(n) for n in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)],
    "processes": sum(exists(pid) for pid in range(1, 3000)),
    "threads": threading.active_count(),
    "descriptors": [fd for fd in range(256) if is_open(fd)],
    "modules": sorted(sys.modules),
    "builtins": sorted(vars(builtins)),
    "path": [*sys.path, *map(str, sys.meta_path)],
    "flags": [sys.getrecursionlimit(), sys.getswitchinterval(), sys.dont_write_bytecode],
    "hidden": [hasattr(sys, "left"), hasattr(builtins, "left"), hasattr(json, "left"), "left" in sys.modules],
    "stdin": sys.stdin.read(),
}))
"""

LEAVE = """
import atexit, builtins, json, multiprocessing, os, random, resource, signal, subprocess, sys, threading, time, types

for place in ("/work", "/tmp", "/dev/shm"):
    os.makedirs(f"{place}/a/b/c")
    os.symlink("/etc/passwd", f"{place}/link")
    for name in ("file", ".hidden", "a/b/c/deep", "ä", "new\\nline"):
        with open(f"{place}/{name}", "w") as file:
            file.write("secret" * 1000)
    os.chmod(f"{place}/a/b", 0)
    os.chmod(place, 0)
os.environ["LEFT"] = "secret"
os.umask(0)
resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.setitimer(signal.ITIMER_REAL, 1000)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
sys.left = builtins.left = json.left = "secret"
sys.modules["left"] = types.ModuleType("left")
json.dumps = builtins.print = lambda *a, **k: None
sys.path.insert(0, "/tmp")
sys.setrecursionlimit(99)
random.seed(1)
for _ in range(2):
    if os.fork() == 0:
        os.setsid()
        time.sleep(600)
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
os.write(1, b"left it all")
os._exit(0)
"""


async def look(executor: Executor) -> dict[str, Any]:
    result = await executor.run(LOOK, timeout=20)
    assert result.reason is Reason.COMPLETED, result.error
    found: dict[str, Any] = json.loads(result.output)
    return found


@pytest.mark.anyio
async def test_nothing_that_a_run_leaves_is_there_for_the_next(engine: str) -> None:
    async with Executor.open(engine=engine, policy="off", pool_size=1, preload=()) as executor:
        before = await look(executor)
        left = await executor.run(LEAVE, stdin="s" * 100_000, timeout=20)
        assert (left.reason, left.output) == (Reason.COMPLETED, "left it all"), left.error
        after = await look(executor)
        (sandbox,) = executor.pool.book.settling or executor.pool.book.idle
        assert sandbox.runs >= 3  # or the second look was into another sandbox
    assert after == before
    assert not any(before["hidden"])
    assert before["files"] == [["main.py"], [], []]
    assert before["stdin"] == ""


@pytest.mark.anyio
async def test_two_runs_at_once_do_not_see_each_other(executor: Executor) -> None:
    code = """
import os, time
open("/work/mine", "w").close()
print(sorted(os.listdir("/work")), os.listdir("/tmp"), os.listdir("/dev/shm"))
"""
    results = await asyncio.gather(*(executor.run(code) for _ in range(6)))
    assert {result.output for result in results} == {"['main.py', 'mine'] [] []\n"}


REFERENCES = """
import json, os, sys

new = [1]
print(sys.version_info >= (3, 12), sys.getrefcount(os) == sys.getrefcount(json.decoder) == sys.getrefcount(None))
print(sys.getrefcount(new))
"""


@pytest.mark.anyio
async def test_what_a_sandbox_has_imported_is_immortal_where_its_python_knows_that(executor: Executor) -> None:
    output = (await executor.run(REFERENCES)).output.split()
    assert output in (["True", "True", "2"], ["False", "False", "2"])
