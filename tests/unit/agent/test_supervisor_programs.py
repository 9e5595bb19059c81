"""The agent in a bare interpreter: what a program hears, sees, leaves and is."""

from __future__ import annotations

import contextlib
import json
import platform
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox_agent.child import pipes
from sandbox_agent.contract import protocol, verdict
from sandbox_agent.contract.config import Mount
from sandbox_agent.contract.limits import Limits
from sandbox_agent.contract.protocol import (
    COLLECT,
    INTERACTIVE,
    NO_SYSCALL,
    Cause,
    Command,
    EventType,
    RecordReader,
)
from tests.census import eventually
from tests.unit.agent.supervised import BOX, CONFIG, UID, Run, Supervise, Supervisor, ended

# ---- talking to a program, and what it leaves


def test_an_interrupt_is_the_programs_to_handle(supervisor: Supervisor) -> None:
    code = """
import time
try:
    print('up', flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    print('caught')
"""
    supervisor.start(code)
    supervisor.until(b"up\n")
    supervisor.send(protocol.command(Command.INTERRUPT, 0))  # of another run
    supervisor.interrupt()
    run = supervisor.finish()
    assert run.stdout == b"caught\n"
    assert run.outcome.cause is Cause.COMPLETED


def test_an_interrupt_that_is_not_handled_cancels(supervisor: Supervisor) -> None:
    supervisor.start("import time\nprint('up', flush=True)\ntime.sleep(600)")
    supervisor.until(b"up\n")
    supervisor.interrupt()
    run = supervisor.finish()
    assert run.stderr.endswith(b"KeyboardInterrupt\n")
    assert run.outcome.cause is Cause.CANCELLED


def test_a_program_that_waits_for_input_says_so(supervisor: Supervisor) -> None:
    supervisor.start("print('hello', input('name? '))", stdin=b"", flags=INTERACTIVE)
    assert supervisor.until(b"? ") == b"name? "
    event = supervisor.next()
    assert event is not None
    assert event.type is EventType.WAITING
    supervisor.stdin(b"Ada\n")
    assert supervisor.finish().stdout == b"hello Ada\n"


def test_a_program_may_not_wait_for_input_for_ever(supervise: Supervise) -> None:
    with supervise(replace(CONFIG, limits=Limits(input_time=0))) as supervisor:
        supervisor.ready()
        run = supervisor.run("input()", stdin=b"", flags=INTERACTIVE)
        assert run.outcome.cause is Cause.INPUT_TIME


def test_the_files_of_a_run_are_sent_and_nothing_else(supervisor: Supervisor) -> None:
    code = """
import os
os.makedirs('directory/inner')
open('a', 'w').write('1')
open('directory/inner/b', 'wb').write(bytes(300_000))
os.symlink('/etc/passwd', 'link')
os.symlink('/etc', 'directory/link')
"""
    run = supervisor.run(code, flags=COLLECT)
    assert {event.type for event in run.others} == {EventType.FILE}
    # with the number of all that is left, first: two links are no files
    assert files_of(run) == [("", b"4"), ("a", b"1"), ("directory/inner/b", bytes(300_000))]


def files_of(run: Run) -> list[tuple[str, bytes]]:
    reader = RecordReader(1 << 24)
    return [(*record,) for event in run.others for record in reader.feed(event.body)]


ODD_FILES = r"""
import os
os.mkfifo('a')
for place in (b'.', b'\xff', b'__pycache__'):
    os.makedirs(place, exist_ok=True)
    open(place + b'/\xfe', 'w').close()
open('__pycache__/b', 'w').close()
open('locked', 'w').close()
os.chmod('locked', 0)
os.mkdir('sealed', 0)
for n in range(300):
    os.mkdir(f'd{n:03}')
    open(f'e{n:03}', 'w').close()
open('d299/last', 'w').write('x')
"""


def test_files_that_cannot_be_had_are_counted_as_are_those_that_are_too_many(supervise: Supervise) -> None:
    with supervise(replace(CONFIG, layers_off=("landlock", "seccomp"), attachment_files=300)) as supervisor:
        supervisor.ready()
        run = supervisor.run(ODD_FILES, flags=COLLECT)
        assert run.outcome.cause is Cause.COMPLETED, run.stderr
        # not sent: a pipe, two whose names are no UTF-8, and two for which there is no place left
        assert files_of(run) == [("", b"305"), *((f"e{n:03}", b"") for n in range(300))]


def test_what_is_sent_of_files_is_within_its_bytes_to_the_last_of_them(supervise: Supervise) -> None:
    each = len(protocol.record("a", bytes(100_000)))
    code = "for name in 'abc': open(name, 'wb').write(bytes(100_000))\nopen('d', 'wb').write(bytes(10))"
    with supervise(replace(CONFIG, limits=Limits(attachments=2 * each))) as supervisor:
        supervisor.ready()
        assert files_of(supervisor.run(code, flags=COLLECT)) == [
            ("", b"4"),
            ("a", bytes(100_000)),
            ("b", bytes(100_000)),
        ]


CONFINED = {
    **dict.fromkeys(("Uid", "Gid"), [str(UID)] * 4),
    "Groups": [],
    "CapEff": ["0" * 16],
    "NoNewPrivs": ["1"],
    "Seccomp": ["2"],
}


def test_who_reads_the_files_of_a_run_is_confined_as_the_run_was(supervise: Supervise) -> None:
    with supervise() as supervisor:
        supervisor.ready()
        children = Path(f"/proc/{supervisor.pid()}/task/{supervisor.pid()}/children")
        before = children.read_text().split()
        supervisor.start("open('large', 'wb').write(bytes(4 << 20))", flags=COLLECT)

        def reader_is_confined() -> bool:
            """Look at it while it cannot go on, because nobody takes what it has read."""
            for pid in set(children.read_text().split()) - set(before):
                with contextlib.suppress(OSError):
                    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                    status = {key: value.split() for key, _, value in (line.partition(":") for line in lines)}
                    return all(status[key] == value for key, value in CONFINED.items())
            return False

        assert eventually(reader_is_confined)
        supervisor.finish()
        supervisor.ready()


# ---- not being started


def test_a_syntax_error_is_reported_with_its_place(supervisor: Supervisor) -> None:
    run = supervisor.run("print('never')\nx = = 1")
    assert run.outcome.cause is Cause.REPORTED
    assert json.loads(run.report)["reason"] == "syntax"
    assert [(p["line"], p["column"]) for p in run.problems] == [(2, 5)]
    assert run.stdout == b""


@pytest.mark.parametrize("code", ["x = '\0'", "x = '\ud800'", "(" * 5000, "-" * 100_000 + "1", "x = " + "9" * 5000])
def test_what_cannot_be_compiled_is_reported_in_a_sentence(supervisor: Supervisor, code: str) -> None:
    run = supervisor.run(code)
    assert run.outcome.cause is Cause.REPORTED
    assert json.loads(run.report)["reason"] == "syntax"
    assert run.problems[0]["message"]


@pytest.mark.parametrize("character", ["\x01", "é", "\U0001f600"])
def test_a_report_does_not_grow_with_the_line_that_it_quotes(supervisor: Supervisor, character: str) -> None:
    run = supervisor.run(f"x = '{character * 250_000}")
    assert run.outcome.cause is Cause.REPORTED
    assert json.loads(run.report)["reason"] == "syntax"
    assert len(run.report) < 100_000
    assert "SyntaxError: unterminated string literal" in run.problems[0]["message"]


def test_what_the_policy_refuses_is_reported_all_at_once(supervisor: Supervisor) -> None:
    run = supervisor.run("print('never')\nimport os\nopen('x')", policy="")
    assert run.outcome.cause is Cause.REPORTED
    assert json.loads(run.report)["reason"] == "policy"
    assert [(p["line"], p["column"]) for p in run.problems] == [(2, 8), (3, 1)]
    assert run.stdout == b""


def test_a_run_may_be_spared_the_policy(supervisor: Supervisor) -> None:
    assert supervisor.run("import os\nprint(os.getpid() > 1)").stdout == b"True\n"


def test_a_run_names_its_policy(supervisor: Supervisor) -> None:
    code = "import os\nprint('ran')\nopen"
    for name, lines in (("", [1, 3]), ("lax", [3]), ("", [1, 3])):  # and none has that of another
        run = supervisor.run(code, policy=name)
        assert [problem["line"] for problem in run.problems] == lines
        assert run.stdout == b""
        supervisor.ready()
    assert supervisor.run("import os\nprint('ran')", policy="lax").stdout == b"ran\n"


def test_a_policy_that_a_sandbox_does_not_have_lets_nothing_run(supervisor: Supervisor) -> None:
    run = supervisor.run("print('never')", policy="third", flags=COLLECT)
    assert json.loads(run.report)["reason"] == "policy"
    assert run.problems[0]["message"] == "There is no policy 'third' here."
    assert run.stdout == b""
    assert not any(b"main.py" in event.body for event in run.others)  # the file that waited for the program is gone


def test_a_check_runs_nothing(supervisor: Supervisor) -> None:
    run = supervisor.run("print('never')", policy="", check=True)
    assert run.outcome.cause is Cause.REPORTED
    assert json.loads(run.report) == {"reason": "", "problems": []}
    assert run.stdout == b""


def test_a_program_cannot_write_a_report(supervisor: Supervisor) -> None:
    code = """
import os, stat
for fd in range(3, 100):
    try:
        os.write(fd, b'{"reason": "", "problems": []}')
    except OSError:
        pass
"""
    run = supervisor.run(code)
    assert run.report == b""
    assert run.outcome.cause is not Cause.REPORTED


# ---- what a program is


INSIDE = """
import json, os, resource, signal

def is_open(fd):
    try:
        return os.fstat(fd) is not None
    except OSError:
        return False

print(json.dumps({
    "ids": [os.getresuid(), os.getresgid(), os.getgroups()],
    "cwd": os.getcwd(),
    "umask": os.umask(0o077),
    "descriptors": [fd for fd in range(256) if is_open(fd)],
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "files": resource.getrlimit(resource.RLIMIT_NOFILE),
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "leader": os.getsid(0) == os.getpid(),
}))
"""


def test_a_program_is_nobody_in_particular(supervisor: Supervisor) -> None:
    seen = json.loads(supervisor.run(INSIDE).stdout)
    assert seen["ids"] == [[UID] * 3, [UID] * 3, []]
    assert seen["cwd"] == BOX
    assert seen["umask"] == 0o022
    assert seen["descriptors"] == [0, 1, 2, pipes.HINT, pipes.LINE]
    assert seen["core"] == [0, 0]
    assert seen["files"] == [CONFIG.open_files] * 2
    assert seen["blocked"] == []
    assert seen["leader"]


def test_a_program_has_the_usual_signals_whatever_the_supervisor_was_started_with(supervise: Supervise) -> None:
    unusual = (
        "import os, signal, sys\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGTERM])\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    with supervise(through=("PYTHON", "-I", "-c", unusual)) as supervisor:
        supervisor.ready()
        run = supervisor.run(
            "import signal\nprint(signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.getsignal(15) == signal.SIG_DFL)"
        )
        assert run.stdout == b"set() True\n"


@pytest.mark.parametrize(
    "attempt",
    [
        "os.setuid(0)",
        "os.kill(1, 9)",
        "os.execv('/bin/true', ['true'])",
        "open('/proc/self/maps')",
        "open('/etc/shadow')",
        "open('/mnt/../srv/new', 'w')",
        "socket.socket()",
        "socket.socket(socket.AF_UNIX)",
        "os.listdir('/root')",
        "resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))",
        "resource.setrlimit(resource.RLIMIT_DATA, (1 << 40, 1 << 40))",
        "os.setpriority(os.PRIO_PROCESS, 1, 19)",
        "resource.prlimit(1, resource.RLIMIT_NOFILE)",
        "os.sched_setaffinity(1, [0])",
        "os.mkfifo('fifo')",
    ],
)
def test_a_program_may_not(supervisor: Supervisor, attempt: str) -> None:
    run = supervisor.run(
        f"import os, resource, socket\ntry:\n    {attempt}\nexcept (OSError, ValueError):\n    print('no')"
    )
    assert run.stdout == b"no\n"


def test_a_program_may_talk_to_itself_where_that_was_said(supervise: Supervise) -> None:
    code = (
        "import socket\nserver, client = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)\n"
        "server.bind('socket'); server.listen(); client.connect('socket'); client.send(b'heard')\n"
        "print(server.accept()[0].recv(9).decode())\n"
        "for family, kind in ((socket.AF_INET, socket.SOCK_STREAM), (socket.AF_UNIX, socket.SOCK_DGRAM)):\n"
        "    try: socket.socket(family, kind)\n    except PermissionError: print('no')"
    )
    with supervise(replace(CONFIG, sockets=True)) as supervisor:
        supervisor.ready()
        assert supervisor.run(code).stdout == b"heard\nno\nno\n"
        supervisor.ready()  # and the socket is wiped


def test_a_program_finds_its_own_account_and_cannot_change_it(supervise: Supervise) -> None:
    there = "/media"
    mounts = (*CONFIG.mounts, Mount(there, "size=64k,nr_inodes=8,mode=0755"))
    code = (
        "import os\nprint([line.split(':')[::2] for line in open('/media/passwd')][0][:2])\n"
        "for change in (lambda: os.chmod('/media/passwd', 0), lambda: os.utime('/media'), "
        "lambda: open('/media/x', 'w')):\n    try: change()\n    except OSError as error: print(error.strerror)"
    )
    with supervise(replace(CONFIG, mounts=mounts, readable=(*CONFIG.readable, there), accounts=there)) as supervisor:
        supervisor.ready()
        expected = f"['coderunner', '{UID}']\nRead-only file system\nRead-only file system\n"
        assert supervisor.run(code).stdout.decode().startswith(expected)


def test_a_forbidden_system_call_is_a_violation_and_ends_the_sandbox(supervise: Supervise) -> None:
    with supervise() as supervisor:
        supervisor.ready()
        run = supervisor.run("import ctypes\nprint('before', flush=True)\nctypes.CDLL(None).ptrace(0, 0, 0, 0)")
        assert run.outcome.cause is Cause.VIOLATION
        assert run.outcome.signal == signal.SIGSYS
        assert verdict.forbidden_call(platform.machine(), run.outcome.syscall) == "ptrace"
        assert run.stdout == b"before\n"
        ended(supervisor)


def test_a_forbidden_system_call_is_not_named_where_that_is_not_wanted(supervise: Supervise) -> None:
    with supervise(replace(CONFIG, name_violations=False)) as supervisor:
        supervisor.ready()
        run = supervisor.run("import ctypes\nctypes.CDLL(None).ptrace(0, 0, 0, 0)")
        assert (run.outcome.cause, run.outcome.syscall) == (Cause.VIOLATION, NO_SYSCALL)
        ended(supervisor)


def test_a_program_that_dies_of_a_signal_ends_the_sandbox(supervise: Supervise) -> None:
    with supervise() as supervisor:
        supervisor.ready()
        run = supervisor.run("import os\nos.abort()")
        assert (run.outcome.cause, run.outcome.signal) == (Cause.SIGNAL, signal.SIGABRT)
        ended(supervisor)


def test_processor_time_is_limited_by_the_kernel(supervise: Supervise) -> None:
    with supervise() as supervisor:
        supervisor.ready()
        run = supervisor.run("while True: pass", cpu=1, cpu_ms=1000)
        assert run.outcome.cause is Cause.CPU_TIME
        assert (
            run.outcome.cpu_us >= 300_000
        )  # the kernel limits what it counts in ticks, which are not all the program's
