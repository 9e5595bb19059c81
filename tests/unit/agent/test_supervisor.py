"""The agent in a bare interpreter: no container and no service, just its two streams and namespaces of its own."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import platform
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

import sandbox_agent
from sandbox_agent.child import pipes
from sandbox_agent.contract import protocol, verdict
from sandbox_agent.contract.config import READABLE, AgentConfig, Mount
from sandbox_agent.contract.limits import Limits
from sandbox_agent.contract.policy.rules import STRICT
from sandbox_agent.contract.protocol import (
    COLLECT,
    INTERACTIVE,
    NO_SYSCALL,
    SESSION,
    STDIN_OPEN,
    VERSION,
    Cause,
    Command,
    Event,
    EventReader,
    EventType,
    Outcome,
    RecordReader,
)
from tests.census import eventually

WITHIN = 60.0
"""Seconds in which an event must come. Nothing here is measured: it is only there so that no test waits for ever."""

UID = 52_321
BOX, SHARED = "/mnt", "/dev/shm"  # there everywhere, and ours in a mount namespace of our own
PYTHON, SRC = "/opt", "/srv"  # where this interpreter and the agent are bound, so that any uid can come there

START = """
mount --bind "$1" /opt && mount --bind "$2" /srv && shift 2 && exec "$@"
"""

CONFIG = AgentConfig(
    uid=UID,
    box=BOX,
    writable=(BOX, SHARED),
    readable=(*READABLE, PYTHON, SRC),
    mounts=tuple(Mount(path, f"size=16m,nr_inodes=1024,mode=0700,uid={UID},gid={UID}") for path in (BOX, SHARED)),
    policy=dataclasses.asdict(STRICT),
)

OUTER_FILTER = """
import os, struct, sys
sys.path.insert(0, "/srv")
from sandbox_agent.confinement import kernel, seccomp
refused, errno = int(sys.argv[1]), int(sys.argv[2])
code = [(0x20, 0, 0, 0), (0x15, 0, 1, refused), (0x06, 0, 0, 0x00050000 | errno), (0x06, 0, 0, 0x7FFF0000)]
program, buffer = seccomp.sock_fprog(b"".join(struct.pack("=HBBI", *step) for step in code))
kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
kernel.load_seccomp(program)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Starts a program under a kernel that seems to lack one system call, as an older one or a container's profile does."""


@dataclass
class Run:
    """What the supervisor said about a run."""

    stdout: bytes = b""
    stderr: bytes = b""
    report: bytes = b""
    outcome: Outcome = field(default_factory=lambda: Outcome(Cause.INTERNAL))
    others: list[Event] = field(default_factory=list)

    @property
    def problems(self) -> list[dict[str, Any]]:
        report: dict[str, list[dict[str, Any]]] = json.loads(self.report)
        return report["problems"]


class Supervisor:
    """A host's end of the two streams."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self._commands = process.stdin.fileno()
        self._events = process.stdout.fileno()
        self._reader = EventReader()
        self._received: list[Event] = []
        self._number = 0

    def pid(self) -> int:
        """Return the pid of the supervisor itself, which is PID 1 there and something else here."""
        pid = self.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())

    def processes(self) -> int:
        """Return how many processes there are in its sandbox beside it."""
        pid = self.pid()
        return len(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())

    def send(self, data: bytes) -> None:
        """Write all of it, taking in what comes meanwhile."""
        while data:
            readable, writable, _ = select.select([self._events], [self._commands], [], WITHIN)
            assert readable or writable, "the supervisor takes nothing"
            if readable:
                self._receive()
            if writable:
                data = data[os.write(self._commands, data[:4096]) :]

    def _receive(self) -> bool:
        data = os.read(self._events, 1 << 16)
        self._received += self._reader.feed(data)
        return bool(data)

    def next(self) -> Event | None:
        """Return the next event; None at the end of the stream."""
        while not self._received:
            assert select.select([self._events], [], [], WITHIN)[0], "the supervisor is mute"
            if not self._receive():
                return None
        return self._received.pop(0)

    def ready(self) -> Event:
        event = self.next()
        assert event is not None
        assert event.type is EventType.READY, event
        assert event.run == 0
        return event

    def start(
        self,
        code: str,
        *,
        stdin: bytes | None = None,
        args: tuple[str, ...] = (),
        policy: bool = False,
        check: bool = False,
        cpu: float | None = None,
        flags: int = 0,
        wall_ms: int = 30_000,
        cpu_ms: int = 0,
        output_bytes: int = 1 << 20,
    ) -> int:
        """Send a run and its stdin (None: there is none); return its number."""
        self._number += 1
        payload = {"code": code, "args": args, "policy": policy, "check": check, "cpu": cpu}
        payload |= {"files": [], "display": False, "interactive": bool(flags & INTERACTIVE)}
        flags |= STDIN_OPEN if stdin is not None else 0
        limits = {"wall_ms": wall_ms, "cpu_ms": cpu_ms, "output_bytes": output_bytes}
        self.send(protocol.command(Command.RUN, self._number, json.dumps(payload).encode(), flags=flags, **limits))
        if stdin:
            self.stdin(stdin)
        return self._number

    def open_session(self, files: Sequence[list[str]] = ()) -> None:
        self._number += 1
        body = json.dumps({"session": True, "files": files}).encode() + b"\n"
        self.send(protocol.command(Command.RUN, self._number, body, flags=SESSION | INTERACTIVE | STDIN_OPEN))

    def cell(self, number: int, code: str) -> None:
        body = {"code": code, "number": number, "policy": False, "cpu": 30, "display": False}
        limits = {"wall_ms": 30_000, "cpu_ms": 30_000, "output_bytes": 1 << 20}
        self.send(protocol.command(Command.CELL, self._number, json.dumps(body).encode() + b"\n", **limits))

    def of_a_cell(self) -> Event | None:
        """Return the next event of the cell under way; None once it is done."""
        event = self.next()
        assert event is not None
        return None if event.type is EventType.CELL_DONE else event

    def stdin(self, data: bytes) -> None:
        self.send(protocol.command(Command.STDIN, self._number, data))

    def cancel(self, number: int | None = None) -> None:
        self.send(protocol.command(Command.CANCEL, self._number if number is None else number))

    def interrupt(self) -> None:
        self.send(protocol.command(Command.INTERRUPT, self._number))

    def until(self, text: bytes) -> bytes:
        """Take output until ``text`` is in it."""
        seen = b""
        while text not in seen:
            event = self.next()
            assert event is not None
            assert event.type in (EventType.STDOUT, EventType.STDERR), event
            seen += event.body
        return seen

    def finish(self) -> Run:
        """Take what comes until the result."""
        run = Run()
        while True:
            event = self.next()
            assert event is not None, "the supervisor ended in a run"
            assert event.run == self._number, event
            match event.type:
                case EventType.STDOUT:
                    run.stdout += event.body
                case EventType.STDERR:
                    run.stderr += event.body
                case EventType.REPORT:
                    run.report += event.body
                case EventType.RESULT:
                    run.outcome = Outcome.unpack(event.body)
                    return run
                case _:
                    run.others.append(event)

    def run(self, code: str, **options: Any) -> Run:
        """Run to the result, with an empty stdin unless told otherwise."""
        self.start(code, **options)
        return self.finish()


Supervise = Callable[..., contextlib.AbstractContextManager[Supervisor]]


@pytest.fixture(scope="session")
def supervise(pid_namespace: list[str], landlock_abi: int) -> Supervise:
    """Start supervisors: ``with supervise(CONFIG) as supervisor``; ``through`` is put before its command."""
    python = f"{PYTHON}/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    namespaces = [*pid_namespace, "--mount", "--ipc", "--net", "sh", "-c", START, "sh"]
    binds = [sys.base_prefix, str(Path(sandbox_agent.__file__).parents[1])]

    @contextlib.contextmanager
    def start(config: AgentConfig = CONFIG, through: tuple[str, ...] = ()) -> Iterator[Supervisor]:
        through = tuple(python if word == "PYTHON" else word for word in through)
        agent = [*through, python, "-I", "-B", f"{SRC}/sandbox_agent", "supervise", config.to_json()]
        with subprocess.Popen(
            [*namespaces, *binds, *agent],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": BOX},
        ) as process:
            try:
                yield Supervisor(process)
            finally:
                process.kill()

    return start


@pytest.fixture(scope="module")
def shared(supervise: Supervise) -> Iterator[Supervisor]:
    with supervise() as supervisor:
        supervisor.ready()
        yield supervisor


@pytest.fixture
def supervisor(shared: Supervisor) -> Iterator[Supervisor]:
    """A supervisor that is ready, and that must be so again after the test."""
    yield shared
    assert shared.ready().body == b""


# ---- the start


def test_it_introduces_itself_once(supervise: Supervise) -> None:
    with supervise(replace(CONFIG, preload=("json", "no_such_module"))) as supervisor:
        introduction = json.loads(supervisor.ready().body)
        assert introduction["protocol"] == VERSION
        assert introduction["python"].startswith("3.")
        assert introduction["landlock"] > 0
        assert introduction["interfaces"] == ["lo"]
        assert [line.partition(":")[0] for line in introduction["not_preloaded"]] == ["no_such_module"]
        assert int(introduction["capabilities"], 16) == 1 << 5 | 1 << 6 | 1 << 7  # KILL, SETGID, SETUID
        supervisor.run("")
        assert supervisor.ready().body == b""


def test_it_ends_with_its_host(supervise: Supervise) -> None:
    with supervise() as supervisor:
        supervisor.ready()
        assert supervisor.process.stdin is not None
        supervisor.process.stdin.close()
        assert supervisor.next() is None
        assert supervisor.process.wait(WITHIN) == 0


def test_it_ends_with_its_host_in_a_run(supervise: Supervise) -> None:
    with supervise() as supervisor:
        supervisor.ready()
        supervisor.start("import time\nprint('up', flush=True)\ntime.sleep(600)")
        supervisor.until(b"up\n")
        assert supervisor.process.stdin is not None
        supervisor.process.stdin.close()
        assert supervisor.next() is None
        assert supervisor.process.wait(WITHIN) == 0


# ---- a run


def test_a_program_runs(supervisor: Supervisor) -> None:
    run = supervisor.run("import sys\nprint('out')\nprint('err', file=sys.stderr)\nprint(sys.argv)", args=("a", "b c"))
    assert run.stdout == b"out\n['main.py', 'a', 'b c']\n"
    assert run.stderr == b"err\n"
    assert run.report == b""
    assert run.others == []
    assert (run.outcome.cause, run.outcome.exit_code, run.outcome.signal) == (Cause.COMPLETED, 0, 0)
    assert run.outcome.wall_us > 0
    assert run.outcome.cpu_us > 0
    assert run.outcome.memory > 1 << 20


@pytest.mark.parametrize(
    ("code", "cause", "exit_code"),
    [
        ("", Cause.COMPLETED, 0),
        ("raise SystemExit", Cause.COMPLETED, 0),
        ("import sys; sys.exit(3)", Cause.EXIT, 3),
        ("import sys; sys.exit('sorry')", Cause.EXIT, 1),
        ("raise ValueError('x')", Cause.EXCEPTION, 1),
        ("raise MemoryError", Cause.MEMORY_LIMIT, 1),
        ("import errno; raise OSError(errno.ENOSPC, 'full')", Cause.DISK_LIMIT, 1),
        ("x = bytearray(1 << 30)", Cause.MEMORY_LIMIT, 1),
        ("open('f', 'wb').write(bytes(20 << 20))", Cause.DISK_LIMIT, 1),
        ("import os; os._exit(9)", Cause.EXIT, 9),
    ],
)
def test_how_a_program_ends_is_told(supervisor: Supervisor, code: str, cause: Cause, exit_code: int) -> None:
    outcome = supervisor.run(code).outcome
    assert (outcome.cause, outcome.exit_code, outcome.signal) == (cause, exit_code, 0)


def test_a_traceback_shows_the_program_alone(supervisor: Supervisor) -> None:
    run = supervisor.run("def f():\n    raise ValueError('bad')\nf()")
    assert run.stderr.decode().splitlines()[:3] == [
        "Traceback (most recent call last):",
        '  File "main.py", line 3, in <module>',
        "    f()",
    ]
    assert run.stderr.endswith(b"\nValueError: bad\n")
    assert b"sandbox_agent" not in run.stderr


def test_stdin_is_read_to_its_end(supervisor: Supervisor) -> None:
    data = os.urandom(300_000).hex().encode()
    supervisor.start("import sys\nprint(len(sys.stdin.read()))", stdin=data)
    supervisor.stdin(b"")
    assert supervisor.finish().stdout == b"600000\n"


def test_stdin_comes_while_the_program_runs(supervisor: Supervisor) -> None:
    supervisor.start("while True:\n    print('got', input())", stdin=b"one\n")
    assert supervisor.until(b"\n") == b"got one\n"
    supervisor.stdin(b"two\nthr")
    assert supervisor.until(b"\n") == b"got two\n"
    supervisor.stdin(b"ee\n")
    assert supervisor.until(b"\n") == b"got three\n"
    supervisor.stdin(b"")
    run = supervisor.finish()
    assert run.stderr.endswith(b"EOFError: EOF when reading a line\n")


def test_without_stdin_a_program_reads_the_end(supervisor: Supervisor) -> None:
    assert supervisor.run("import sys\nprint(repr(sys.stdin.read()))").stdout == b"''\n"


def test_stdin_that_nobody_reads_is_dropped(supervisor: Supervisor) -> None:
    supervisor.start("print('done')", stdin=bytes(200_000))
    assert supervisor.finish().stdout == b"done\n"
    supervisor.stdin(bytes(200_000))  # too late: for a run that is over
    supervisor.stdin(b"")


def test_stdin_that_the_program_closed_is_dropped(supervisor: Supervisor) -> None:
    supervisor.start("import os\nos.close(0)\nprint('closed', flush=True)\nwhile True: pass", stdin=b"")
    supervisor.until(b"closed")
    for _ in range(3):
        supervisor.stdin(b"nobody reads this")
    supervisor.stdin(b"")
    supervisor.cancel()
    assert supervisor.finish().outcome.cause is Cause.CANCELLED


def test_output_is_passed_on_as_it_is_written(supervisor: Supervisor) -> None:
    supervisor.start("print('first', flush=True)\ninput()\nprint('second')", stdin=b"")
    assert supervisor.until(b"\n") == b"first\n"
    supervisor.stdin(b"\n")
    assert supervisor.finish().stdout == b"second\n"


def test_any_bytes_may_be_written(supervisor: Supervisor) -> None:
    data = bytes(range(256)) * 40
    run = supervisor.run("import sys\nsys.stdout.buffer.write(bytes(range(256)) * 40)")
    assert run.stdout == data


def test_output_larger_than_any_pipe_arrives_whole(supervisor: Supervisor) -> None:
    run = supervisor.run("for n in range(100_000): print(n)")
    assert run.stdout == b"".join(b"%d\n" % n for n in range(100_000))


def test_what_comes_of_a_body_after_its_run_goes_to_no_other(supervisor: Supervisor) -> None:
    body = b"of the first run" * 10_000
    number = supervisor.start("import time; time.sleep(600)", stdin=b"", wall_ms=100)
    frame = protocol.command(Command.STDIN, number, body)
    supervisor.send(frame[:100_000])
    assert supervisor.finish().outcome.cause is Cause.WALL_TIME
    supervisor.ready()
    supervisor.send(frame[100_000:])
    supervisor.start("import sys; print(sys.stdin.read())", stdin=b"of the second")
    supervisor.stdin(b"")
    assert supervisor.finish().stdout == b"of the second\n"


# ---- being stopped


def test_a_program_is_stopped_at_its_time(supervisor: Supervisor) -> None:
    run = supervisor.run("import time\nprint('before', flush=True)\ntime.sleep(600)", wall_ms=300)
    assert run.outcome.cause is Cause.WALL_TIME
    assert run.outcome.wall_us >= 300_000
    assert run.stdout == b"before\n"


def test_a_busy_program_is_stopped_at_its_time(supervisor: Supervisor) -> None:
    assert supervisor.run("while True: pass", wall_ms=200).outcome.cause is Cause.WALL_TIME


def test_a_program_is_stopped_on_request(supervisor: Supervisor) -> None:
    supervisor.start("import time\nprint('up', flush=True)\ntime.sleep(600)")
    supervisor.until(b"up\n")
    supervisor.cancel()
    assert supervisor.finish().outcome.cause is Cause.CANCELLED


def test_a_cancel_of_another_run_stops_nothing(supervisor: Supervisor) -> None:
    number = supervisor.start("print('up', flush=True)\ninput()\nprint('on')", stdin=b"")
    supervisor.until(b"up\n")
    supervisor.cancel(number - 1)
    supervisor.cancel(number + 1)
    supervisor.stdin(b"\n")
    run = supervisor.finish()
    assert run.outcome.cause is Cause.COMPLETED
    assert run.stdout.endswith(b"on\n")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_program_that_writes_too_much_is_stopped_and_its_beginning_kept(supervisor: Supervisor, stream: str) -> None:
    run = supervisor.run(f"import sys\nwhile True: sys.{stream}.write('0123456789')", output_bytes=100_003)
    assert run.outcome.cause is Cause.OUTPUT_LIMIT
    assert run.outcome.truncated
    assert getattr(run, stream) == (b"0123456789" * 10_001)[:100_003]


def test_a_short_program_that_wrote_too_much_is_told_apart_too(supervisor: Supervisor) -> None:
    run = supervisor.run("print('x' * 5000)", output_bytes=4096)
    assert run.outcome.cause is Cause.OUTPUT_LIMIT
    assert run.stdout == b"x" * 4096


def test_what_a_program_left_running_does_not_hold_its_result(supervisor: Supervisor) -> None:
    code = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\nprint('parent')"
    run = supervisor.run(code)
    assert run.outcome.cause is Cause.COMPLETED
    assert run.stdout == b"parent\n"


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
    assert files_of(run) == [("a", b"1"), ("directory/inner/b", bytes(300_000))]


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


def test_files_that_cannot_be_had_are_passed_over_and_those_that_are_too_many_are_counted(supervise: Supervise) -> None:
    with supervise(replace(CONFIG, layers_off=("landlock", "seccomp"), attachment_files=300)) as supervisor:
        supervisor.ready()
        run = supervisor.run(ODD_FILES, flags=COLLECT)
        assert run.outcome.cause is Cause.COMPLETED, run.stderr
        assert files_of(run) == [*((f"e{n:03}", b"") for n in range(300)), ("", b"1")]


def test_what_is_sent_of_files_is_within_its_bytes_to_the_last_of_them(supervise: Supervise) -> None:
    each = len(protocol.record("a", bytes(100_000)))
    code = "for name in 'abc': open(name, 'wb').write(bytes(100_000))\nopen('d', 'wb').write(bytes(10))"
    with supervise(replace(CONFIG, limits=Limits(attachments=2 * each))) as supervisor:
        supervisor.ready()
        assert files_of(supervisor.run(code, flags=COLLECT)) == [
            ("a", bytes(100_000)),
            ("b", bytes(100_000)),
            ("", b"2"),
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
    run = supervisor.run("print('never')\nimport os\nopen('x')", policy=True)
    assert run.outcome.cause is Cause.REPORTED
    assert json.loads(run.report)["reason"] == "policy"
    assert [(p["line"], p["column"]) for p in run.problems] == [(2, 8), (3, 1)]
    assert run.stdout == b""


def test_a_run_may_be_spared_the_policy(supervisor: Supervisor) -> None:
    assert supervisor.run("import os\nprint(os.getpid() > 1)").stdout == b"True\n"


def test_a_check_runs_nothing(supervisor: Supervisor) -> None:
    run = supervisor.run("print('never')", policy=True, check=True)
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
    assert seen["umask"] == 0o077
    assert seen["descriptors"] == [0, 1, 2, pipes.HINT]
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
        "os.listdir('/root')",
        "resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))",
        "os.mkfifo('fifo')",
    ],
)
def test_a_program_may_not(supervisor: Supervisor, attempt: str) -> None:
    run = supervisor.run(
        f"import os, resource, socket\ntry:\n    {attempt}\nexcept (OSError, ValueError):\n    print('no')"
    )
    assert run.stdout == b"no\n"


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


def ended(supervisor: Supervisor) -> bytes:
    """It says that it is of no more use, and is gone; return what it said."""
    event = supervisor.next()
    assert event is not None
    assert event.type is EventType.FATAL
    assert supervisor.next() is None
    assert supervisor.process.wait(WITHIN) == 1
    return event.body


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
    assert supervisor.run(look).stdout == b"[] [] 0o700\nFalse False False []\n"


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
            "import resource\nprint('possible' if resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 256 else '')",
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
