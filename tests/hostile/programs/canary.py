"""Runs in a sandbox after every hostile program and describes the world it finds, as JSON.

``same`` must be what the first program of a fresh sandbox finds; ``random`` must differ from run to run.
"""

import builtins
import gc
import hashlib
import io
import json
import locale
import os
import random
import resource
import signal
import stat
import sys
import threading
import types

PATHS = ("/work", "/tmp", "/dev/shm")
PATCHABLE = (builtins, hashlib, io, json, os, random, signal, sys, threading)


def exists(pid: int) -> bool:
    """Whether there is a process of this number, be it ours or not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def descriptors() -> dict[int, int]:
    """What kind of thing each open descriptor is."""
    found = {}
    for number in range(300):
        try:
            found[number] = stat.S_IFMT(os.fstat(number).st_mode)
        except OSError:
            continue
    return found


def disk(path: str) -> list[object]:
    """Contents and state of a writable file system."""
    usage, root = os.statvfs(path), os.stat(path)
    room = [usage.f_blocks, usage.f_bfree, usage.f_files, usage.f_ffree]
    return [os.listdir(path), *room, oct(root.st_mode), root.st_uid == os.getuid()]


def writes(path: str) -> bool:
    """Write, read back and remove a file of 1 MB."""
    name, data = os.path.join(path, "canary"), os.urandom(1 << 20)
    with open(name, "wb") as file:
        file.write(data)
    with open(name, "rb") as file:
        same = file.read() == data
    os.unlink(name)
    return same


def attributes(module: types.ModuleType) -> str:
    """Say where each public function of a module comes from, which a monkeypatch changes."""
    found = sorted(
        (name, getattr(value, "__module__", None)) for name, value in vars(module).items() if callable(value)
    )
    return hashlib.sha256(repr(found).encode()).hexdigest()


def starts_threads() -> int:
    """Start as many threads as a program may have beside its first; nobody else may have taken their places."""
    go = threading.Event()
    threads = [threading.Thread(target=go.wait) for _ in range(36)]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()
    return len(threads)


def forks() -> int:
    """Fork one child and collect it."""
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    return os.waitpid(pid, 0)[1] >> 8


me = os.getpid()
same = {
    "disk": {path: disk(path) for path in PATHS},
    "processes": [
        pid for pid in range(1, me + 64) if pid not in (me, me + 1) and exists(pid)
    ],  # me + 1: see kernel.hold_memory
    "descriptors": descriptors(),
    "ids": len({*os.getresuid(), *os.getresgid()}) == 1 and os.getuid() != 0 and os.getgroups() == [],
    "limits": {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name[:7] == "RLIMIT_"},
    "priority": os.getpriority(os.PRIO_PROCESS, 0),
    "handlers": {number: str(signal.getsignal(number)) for number in range(1, 65)},
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "timers": [signal.getitimer(timer) for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)],
    "umask": os.umask(0o077),
    "directory": os.getcwd(),
    "environment": dict(os.environ),
    "arguments": sys.argv,
    "path": sys.path,
    "modules": hashlib.sha256(repr(sorted(sys.modules)).encode()).hexdigest(),
    "attributes": [attributes(module) for module in PATCHABLE],
    "interpreter": [sys.getrecursionlimit(), sys.getswitchinterval(), sys.get_int_max_str_digits(), gc.isenabled()],
    "hooks": [sys.excepthook is sys.__excepthook__, sys.gettrace() is None, sys.getprofile() is None],
    "locale": locale.setlocale(locale.LC_ALL),
    "stdin": sys.stdin.read(),
    "computes": hashlib.sha256(b"".join(b"%d" % (n * n) for n in range(10_000))).hexdigest(),
    "writes": [writes(path) for path in PATHS],
    "threads": starts_threads(),
    "forks": forks(),
    "empty_again": [os.listdir(path) for path in PATHS],
}
json.dump({"same": same, "random": [random.random(), os.urandom(8).hex()]}, sys.stdout)
