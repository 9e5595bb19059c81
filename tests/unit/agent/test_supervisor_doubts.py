"""The agent in a bare interpreter: the next run, failing closed, each layer, and nonsense from the host."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import time
from dataclasses import replace
from typing import Any

import pytest

from sandbox_agent.contract import protocol
from sandbox_agent.contract.config import AgentConfig, Mount
from sandbox_agent.contract.protocol import (
    Cause,
    Command,
    EventType,
)
from tests.unit.agent.supervised import BOX, CONFIG, OUTER_FILTER, SHARED, WITHIN, Supervise, Supervisor, ended

# ---- the next run


def test_nothing_is_left_for_the_next_run(supervisor: Supervisor) -> None:
    code = """
import os, sys, builtins
open('file', 'w').write('x')
os.makedirs('a/b/c')
os.chmod('a', 0)
open('/dev/shm/file', 'w').write('x')
os.chmod('.', 0o777)
builtins.left = sys.left = 'x'
os.environ['LEFT'] = 'x'
if os.fork() == 0:
    import time
    time.sleep(600)
"""
    before = supervisor.processes()
    assert supervisor.run(code).outcome.cause is Cause.COMPLETED
    assert supervisor.ready().body == b""
    look = """
import os, sys, builtins, stat
print(os.listdir('.'), os.listdir('/dev/shm'), oct(stat.S_IMODE(os.stat('.').st_mode)))
print(hasattr(builtins, 'left'), hasattr(sys, 'left'), 'LEFT' in os.environ, os.listdir('/mnt'))
"""
    assert supervisor.processes() == before
    expected = b"['main.py'] [] 0o700\nFalse False False ['main.py']\n"
    assert supervisor.run(look).stdout == expected


def test_no_byte_of_a_run_is_ever_in_the_supervisors_memory(supervisor: Supervisor, memory_of: Any) -> None:
    """Not of its source, stdin, arguments, files or output, nor of a report about it, while it runs or afterwards."""
    source, stdin, argument, output, problem = (secrets.token_hex(64) for _ in range(5))
    code = f"# {source}\nx = input()\nopen('f', 'w').write(x)\nprint(x, '{output}', flush=True)\ninput()"
    marks = [text[at : at + 16].encode() for text in (source, stdin, argument, output, problem) for at in (0, 40, 100)]
    supervisor.start(code, stdin=stdin.encode() + b"\n", args=(argument,))
    supervisor.until(output.encode())
    pid = supervisor.pid()
    assert not any(mark in region for region in memory_of(pid) for mark in marks)
    supervisor.stdin(b"\n")
    supervisor.finish()
    supervisor.ready()
    supervisor.run(f"x = = '{problem}'")
    supervisor.ready()
    supervisor.run("")
    assert not any(mark in region for region in memory_of(pid) for mark in marks)


def test_no_byte_of_a_cell_is_ever_in_the_supervisors_memory(supervise: Supervise, memory_of: Any) -> None:
    source, stdin, output, kept = (secrets.token_hex(64) for _ in range(4))
    marks = [text[at : at + 16].encode() for text in (source, stdin, output, kept) for at in (0, 40, 100)]
    with supervise() as supervisor:
        supervisor.ready()
        supervisor.open_session()
        for number, code in enumerate((f"# {source}\nkept = '{kept}'", f"print(input(), '{output}')\n1 / 0"), 1):
            supervisor.cell(number, code)
            supervisor.stdin(stdin.encode() + b"\n")
            said = list(iter(supervisor.of_a_cell, None))
            assert EventType.REPORT in {event.type for event in said}
        assert output.encode() in b"".join(event.body for event in said if event.type is EventType.STDOUT)
        assert not any(mark in region for region in memory_of(supervisor.pid()) for mark in marks)


def test_after_a_session_a_supervisor_is_of_no_more_use(supervise: Supervise) -> None:
    with supervise() as supervisor:
        supervisor.ready()
        supervisor.open_session()
        supervisor.cancel()
        assert supervisor.finish().outcome.cause is Cause.CANCELLED
        assert b"the last run" in ended(supervisor)


def test_a_session_whose_files_do_not_fit_says_so_and_does_not_begin(supervise: Supervise) -> None:
    with supervise() as supervisor:
        supervisor.ready()
        supervisor.open_session(files=[["large", base64.b64encode(bytes(17 << 20)).decode()]])
        run = supervisor.finish()
        assert (run.outcome.cause, json.loads(run.report)["reason"]) == (Cause.REPORTED, "disk_limit")


def test_descriptors_do_not_grow_with_runs(supervisor: Supervisor) -> None:
    def some_of_each() -> None:
        for options in (
            {"code": "print(1)"},
            {"code": "input()", "stdin": b"x\n"},
            {"code": "import time; time.sleep(600)", "stdin": b"", "wall_ms": 50},
            {"code": "import time; time.sleep(600)", "stdin": bytes(100_000), "wall_ms": 50},
            {"code": "while True: print(1)", "stdin": b"", "output_bytes": 10},
            {"code": "= 1"},
            {"code": "import os; os.close(0); input()", "stdin": b"x"},
        ):
            supervisor.run(**options)
            supervisor.ready()

    def count() -> int:
        return len(os.listdir(f"/proc/{supervisor.pid()}/fd"))

    some_of_each()
    before = count()
    for _ in range(3):
        some_of_each()
    assert count() == before
    supervisor.run("")


# ---- failing closed


def refuses(supervisor: Supervisor, why: str) -> None:
    """It runs nothing, says why, and is gone, though the host sends a run at once."""
    with contextlib.suppress(BrokenPipeError):
        supervisor.start("print('this must never run')")
    event = supervisor.next()
    assert event is not None
    assert event.type is EventType.FATAL, event
    assert why in event.body.decode()
    assert supervisor.next() is None
    assert supervisor.process.wait(WITHIN) == 1


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (replace(CONFIG, box="/nowhere"), "FileNotFoundError"),
        (replace(CONFIG, box="/etc/passwd"), "NotADirectoryError"),
        (replace(CONFIG, box="/root"), "PermissionError"),
        (replace(CONFIG, uid=2**33), "OverflowError"),
        (replace(CONFIG, mounts=(Mount("/nowhere", ""),)), "FileNotFoundError"),
        (replace(CONFIG, mounts=(Mount(BOX, "size=nonsense"),)), "Invalid argument"),
    ],
)
def test_a_child_that_cannot_be_confined_runs_nothing(supervise: Supervise, config: AgentConfig, why: str) -> None:
    with supervise(config) as supervisor:
        refuses(supervisor, why)


CALLS = {"x86_64": 0, "aarch64": 1}
EPERM, ENOSYS = 1, 38


@pytest.mark.parametrize(
    ("name", "numbers", "errno", "why"),
    [
        ("landlock_create_ruleset", (444, 444), ENOSYS, "no Landlock"),
        ("landlock_add_rule", (445, 445), EPERM, "PermissionError"),
        ("landlock_restrict_self", (446, 446), EPERM, "PermissionError"),
        ("seccomp", (317, 277), ENOSYS, "Function not implemented"),
        ("setresuid", (117, 147), EPERM, "PermissionError"),
        ("setresgid", (119, 149), EPERM, "PermissionError"),
        ("setgroups", (116, 159), EPERM, "PermissionError"),
        ("setsid", (112, 157), EPERM, "PermissionError"),
        ("prlimit64", (302, 261), EPERM, "PermissionError"),
        ("close_range", (436, 436), EPERM, "died while it confined itself"),
        ("chdir", (80, 49), EPERM, "PermissionError"),
        ("capset", (126, 91), EPERM, "PermissionError"),
    ],
)
def test_without_one_of_its_system_calls_it_runs_nothing(
    supervise: Supervise, name: str, numbers: tuple[int, int], errno: int, why: str
) -> None:
    number = numbers[CALLS[os.uname().machine]]
    with supervise(through=("PYTHON", "-I", "-c", OUTER_FILTER, str(number), str(errno))) as supervisor:
        refuses(supervisor, why)


@pytest.mark.parametrize("capability", ["setuid", "setgid", "sys_admin"])
def test_without_one_of_its_capabilities_it_runs_nothing(supervise: Supervise, capability: str) -> None:
    with supervise(through=("setpriv", "--bounding-set", f"-{capability}")) as supervisor:
        refuses(supervisor, "Operation not permitted")


def test_a_missing_landlock_is_accepted_only_where_that_was_said(supervise: Supervise) -> None:
    config = replace(CONFIG, require_landlock=False)
    filter_ = ("PYTHON", "-I", "-c", OUTER_FILTER, "444", str(ENOSYS))
    with supervise(config, through=filter_) as supervisor:
        assert json.loads(supervisor.ready().body)["landlock"] == 0
        assert supervisor.run("print(open('/proc/self/status').readline())").stdout.startswith(b"Name:")


def test_a_kernel_without_close_range_is_served_too(supervise: Supervise) -> None:
    with supervise(through=("PYTHON", "-I", "-c", OUTER_FILTER, "436", str(ENOSYS))) as supervisor:
        supervisor.ready()
        assert supervisor.run("print(1)").stdout == b"1\n"


OPEN_BOX = replace(CONFIG, mounts=tuple(Mount(path, "size=16m,mode=0777") for path in (BOX, SHARED)))
"""With a box that root can enter as well: without its uid, a program is a root that has no capabilities."""


def test_what_cannot_be_wiped_ends_the_sandbox(supervise: Supervise) -> None:
    with supervise(replace(OPEN_BOX, layers_off=("uid",))) as supervisor:
        supervisor.ready()
        run = supervisor.run("import os\nos.makedirs('of/root')")  # which the helper that wipes is not
        assert run.outcome.cause is Cause.COMPLETED
        assert b"not empty after the wipe: /mnt" in ended(supervisor)


# ---- each layer is the one that holds


@pytest.mark.parametrize(
    ("layer", "code"),
    [
        ("seccomp", "import os\nos.memfd_create('x')\nprint('possible')"),
        ("landlock", "print('possible' if open('/proc/self/maps').read() else '')"),
        (
            "rlimits",
            "import resource\nprint('possible' if resource.getrlimit(resource.RLIMIT_DATA)[0] < 0 else '')",
        ),
        ("uid", "import os\nprint('possible' if os.getuid() == 0 else '')"),
    ],
)
def test_a_layer_that_is_off_lets_through_what_it_holds_back(
    supervisor: Supervisor, supervise: Supervise, layer: str, code: str
) -> None:
    """A test of the tests: shows that it is this layer that refuses."""
    assert b"possible" not in supervisor.run(code).stdout
    with supervise(replace(OPEN_BOX, layers_off=(layer,))) as weaker:
        weaker.ready()
        assert weaker.run(code).stdout == b"possible\n"


# ---- nonsense from the host


def test_commands_that_mean_nothing_are_passed_over(supervisor: Supervisor) -> None:
    supervisor.send(protocol.command(Command.CANCEL, 9))
    supervisor.send(protocol.command(Command.STDIN, 9, b"x" * 1000))
    supervisor.send(protocol.COMMAND.pack(77, 0, 1, 5, 0, 0, 0) + b"bytes")
    number = supervisor.start("print('up', flush=True)\ninput()", stdin=b"")
    supervisor.until(b"up\n")
    supervisor.send(protocol.COMMAND.pack(77, 0, number, 5, 0, 0, 0) + b"bytes")
    supervisor.send(protocol.command(Command.RUN, number + 1, b"{}"))  # a second one at once is the host's mistake
    supervisor.stdin(b"\n")
    assert supervisor.finish().outcome.cause is Cause.COMPLETED


def test_the_time_of_a_run_begins_with_it(supervisor: Supervisor) -> None:
    before = time.monotonic()
    run = supervisor.run("import time\ntime.sleep(0.2)")
    assert 200_000 <= run.outcome.wall_us <= (time.monotonic() - before) * 1e6
