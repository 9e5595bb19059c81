"""Output comes in whole lines, at the speed of a buffer and in time, and nothing of it is lost when a program ends."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator

import pytest

from sandbox_agent.child.bulk import MANY
from sandbox_agent.child.pipes import PROMPT, STDIN
from sandbox_agent.confinement.kernel import available
from sandbox_agent.contract import protocol
from sandbox_agent.contract.protocol import INTERACTIVE, STDIN_OPEN, Cause, Command, Event, EventType
from tests.census import eventually
from tests.unit.agent.supervised import Supervise, Supervisor

BUSY = "\nwhile True: pass"
BULK = 40 * MANY
"""So many lines that some of them are written together."""


@pytest.fixture
def supervisor(supervise: Supervise) -> Iterator[Supervisor]:
    with supervise() as supervisor:
        supervisor.ready()
        yield supervisor


def numbers(count: int) -> bytes:
    return b"".join(b"%d\n" % number for number in range(count))


def events_of(supervisor: Supervisor, code: str) -> list[bytes]:
    """Run ``code`` and return what comes of its stdout, event by event."""
    supervisor.start(code)
    found = []
    while (event := supervisor.next()) is not None and event.type is not EventType.RESULT:
        assert event.type is EventType.STDOUT
        found.append(event.body)
    return found


@pytest.mark.parametrize(
    "printed",
    ["print(1)", "print(1, 2, 3, sep=' - ')", "print(*range(500))", "print('25 %', end='\\r')"],
)
def test_what_one_call_prints_comes_in_one_piece(supervisor: Supervisor, printed: str) -> None:
    assert len(events_of(supervisor, printed)) == 1


def test_no_line_of_a_thread_is_cut_by_another(supervisor: Supervisor) -> None:
    code = (
        "import threading\ndef work(c):\n    for i in range(2000): print(c * 5, i % 10, c * 5, sep='-')\n"
        "threads = [threading.Thread(target=work, args=(c,)) for c in 'abcd']\n"
        "for t in threads: t.start()\nfor t in threads: t.join()"
    )
    lines = supervisor.run(code).stdout.decode().splitlines()
    assert len(lines) == 8000
    assert [line for line in lines if not re.fullmatch(r"([abcd])\1{4}-\d-\1{5}", line)] == []


def test_no_line_of_a_process_is_cut_by_another(supervisor: Supervisor) -> None:
    code = (
        "import os\ndef work(c):\n    for i in range(2000): print(c * 50, i % 10, c * 50, sep='-')\n"
        "print(*range(100), sep='\\n')\n"
        "for c in 'abc':\n    if os.fork() == 0:\n        work(c)\n        os._exit(0)\n"
        "work('d')\nfor _ in 'abc': os.wait()"
    )
    lines = supervisor.run(code).stdout.decode().splitlines()[100:]
    assert len(lines) == 8000
    assert [line for line in lines if not re.fullmatch(r"([abcd])\1{49}-\d-\1{50}", line)] == []


def test_very_many_lines_come_whole_and_in_order(supervisor: Supervisor) -> None:
    assert supervisor.run(f"for i in range({BULK}): print(i)").stdout == numbers(BULK)


def test_very_many_lines_take_fewer_writes_than_there_are_lines(supervisor: Supervisor) -> None:
    found = events_of(supervisor, f"for i in range({BULK}): print(i)")
    assert len(found) < BULK / 10


@pytest.mark.parametrize("count", [3, BULK])
def test_the_last_line_is_seen_while_the_program_goes_on(supervisor: Supervisor, count: int) -> None:
    supervisor.start(f"for i in range({count}): print(i)\nimport sys; sys.stdin.read()", flags=STDIN_OPEN)
    assert supervisor.until(b"%d\n" % (count - 1)) == numbers(count)
    supervisor.stdin(b"")
    assert supervisor.finish().outcome.cause is Cause.COMPLETED


def test_a_question_without_a_line_end_comes_before_the_news_that_the_program_waits(supervisor: Supervisor) -> None:
    supervisor.start("import sys\nprint('Name? ', end='')\nsys.stdin.readline()", flags=STDIN_OPEN | INTERACTIVE)
    assert supervisor.until(b"Name? ") == b"Name? "
    assert expect(supervisor).type is EventType.WAITING
    supervisor.stdin(b"me\n")
    assert supervisor.finish().outcome.cause is Cause.COMPLETED


READS = [
    "input()",
    "sys.stdin.buffer.raw.read(9)",
    "os.read(0, 9)",
    "select.select([0], [], []); os.readv(0, [bytearray(9)])",
]


def expect(supervisor: Supervisor) -> Event:
    event = supervisor.next()
    assert event is not None
    assert event.type in (EventType.STDOUT, EventType.WAITING), event
    return event


ANSWERED = """
import os, select, sys, time
print('up', flush=True)
time.sleep(0.2)
READ
time.sleep(0.5)
print('on')
input()
"""


@pytest.mark.parametrize("in_a_session", [False, True])
@pytest.mark.parametrize("read", READS)
def test_a_question_that_was_answered_is_no_question(supervisor: Supervisor, read: str, in_a_session: bool) -> None:
    code = ANSWERED.replace("READ", read)
    if in_a_session:
        supervisor.open_session()
        supervisor.cell(1, code)
    else:
        supervisor.start(code, flags=STDIN_OPEN | INTERACTIVE)
    assert supervisor.until(b"up\n") == b"up\n"
    own, *_, child = supervisor.pids()
    os.kill(own, signal.SIGSTOP)  # it looks only when the program has asked, been answered and gone on
    with (
        open(f"/proc/{child}/fd/{STDIN}", "wb", buffering=0) as stdin,
        open(f"/proc/{child}/fd/{PROMPT}", "rb") as asked,
    ):
        assert eventually(lambda: available(asked.fileno()))
        stdin.write(b"x\n")
        assert eventually(lambda: not available(stdin.fileno()))
    os.kill(own, signal.SIGCONT)
    event = expect(supervisor)
    assert (event.type, event.body) == (EventType.STDOUT, b"on\n")
    assert expect(supervisor).type is EventType.WAITING


def test_input_that_is_under_way_is_not_waited_for(supervisor: Supervisor) -> None:
    number = supervisor.start("print(input())\ninput()", flags=STDIN_OPEN | INTERACTIVE)
    assert expect(supervisor).type is EventType.WAITING
    whole = protocol.command(Command.STDIN, number, b"Ada\n")
    supervisor.send(whole[:-2])
    time.sleep(0.3)  # what it has is read, and it asks for more
    supervisor.send(whole[-2:])
    assert supervisor.until(b"Ada\n") == b"Ada\n"
    assert expect(supervisor).type is EventType.WAITING
    supervisor.stdin(b"\n")
    assert supervisor.finish().outcome.cause is Cause.COMPLETED


def test_a_stdin_that_does_not_block_is_not_waited_for(supervisor: Supervisor) -> None:
    code = "import os, sys\nos.set_blocking(0, False)\nprint(sys.stdin.buffer.raw.read(5))"
    run = supervisor.run(code, flags=STDIN_OPEN | INTERACTIVE)
    assert (run.stdout, run.outcome.cause) == (b"None\n", Cause.COMPLETED)
    assert EventType.WAITING not in {event.type for event in run.others}


@pytest.mark.parametrize("then", [BUSY, "\nimport time; time.sleep(60)", "\nimport sys; sys.stdin.read()"])
@pytest.mark.parametrize("printed", ["print('begun', end='')", "import sys; sys.stderr.write('begun')"])
def test_the_time_limit_loses_nothing_that_was_printed(supervisor: Supervisor, printed: str, then: str) -> None:
    supervisor.start(printed + then, wall_ms=500, flags=STDIN_OPEN)
    run = supervisor.finish()
    assert (run.outcome.cause, run.stdout + run.stderr) == (Cause.WALL_TIME, b"begun")


def test_a_cancelled_program_loses_nothing_that_was_printed(supervisor: Supervisor) -> None:
    supervisor.start("print('first')\nprint('second', end='')\nopen('done', 'w')" + BUSY)
    seen = supervisor.until(b"first\n")
    supervisor.cancel()
    run = supervisor.finish()
    assert run.outcome.cause is Cause.CANCELLED
    assert seen + run.stdout in (b"first\n", b"first\nsecond")  # it may not have come to the second yet


def test_the_limit_of_processor_time_loses_nothing_that_was_printed(supervisor: Supervisor) -> None:
    run = supervisor.run("print('begun', end='')" + BUSY, cpu=1, cpu_ms=1000)
    assert (run.outcome.cause, run.stdout) == (Cause.CPU_TIME, b"begun")


@pytest.mark.parametrize(
    "death",
    [
        "os.kill(os.getpid(), 9)",
        "os.kill(0, 9)",
        "os.killpg(0, 15)",
        "os.abort()",
        "os._exit(3)",
        "signal.raise_signal(9)",
        "import ctypes; ctypes.string_at(0)",
    ],
)
def test_a_program_that_kills_itself_loses_nothing_that_was_printed(supervisor: Supervisor, death: str) -> None:
    run = supervisor.run(f"import os, signal\nprint('all', 'of', 'it', end='')\n{death}")
    assert (run.outcome.cause, run.stdout) in [(Cause.SIGNAL, b"all of it"), (Cause.EXIT, b"all of it")]


def test_a_program_finds_the_handlers_that_python_begins_with(supervisor: Supervisor) -> None:
    code = (
        "import signal\n"
        "found = {n: signal.getsignal(n) for n in signal.valid_signals()}\n"
        "print(sorted(int(n) for n, h in found.items() if h is not signal.SIG_DFL))"
    )
    assert supervisor.run(code).stdout == b"[2, 13, 25]\n"  # INT, PIPE, XFSZ


def test_a_flush_in_the_middle_of_very_many_lines_is_one(supervisor: Supervisor) -> None:
    code = f"import os\nfor i in range({BULK}): print(i)\nprint('flushed', flush=True)\nos.write(1, b'written')"
    assert supervisor.run(code).stdout == numbers(BULK) + b"flushed\nwritten"


def test_a_traceback_comes_after_the_lines_before_it(supervisor: Supervisor) -> None:
    supervisor.start(f"for i in range({BULK}): print(i)\n1/0")
    types = []
    while (event := supervisor.next()) is not None and event.type is not EventType.RESULT:
        types.append(event.type)
    assert types == sorted(types)


def test_finalizers_run_after_very_many_lines(supervisor: Supervisor) -> None:
    code = f"class A:\n    def __del__(self): print('gone')\na = A()\nfor i in range({BULK}): print(i)"
    assert supervisor.run(code).stdout == numbers(BULK) + b"gone\n"


def test_a_stream_closed_after_very_many_lines_has_written_them(supervisor: Supervisor) -> None:
    assert supervisor.run(f"import sys\nfor i in range({BULK}): print(i)\nsys.stdout.close()").stdout == numbers(BULK)


def test_the_streams_look_as_python_makes_them(supervisor: Supervisor) -> None:
    code = (
        "import sys\nfor s in (sys.stdin, sys.stdout, sys.stderr):\n"
        "    print(s.name, s.mode, s.encoding, s.errors, s.isatty(), s.fileno(), type(s.buffer).__name__,\n"
        "          type(s.buffer.raw).__name__, s.buffer.raw.mode, s is getattr(sys, f'__{s.name[1:-1]}__'))\n"
        "sys.stdout.flush(); sys.stdout.buffer.raw.write(b'raw\\n')"
    )
    assert supervisor.run(code).stdout.decode().splitlines() == [
        "<stdin> r utf-8 surrogateescape False 0 BufferedReader FileIO rb True",
        "<stdout> w utf-8 surrogateescape False 1 BufferedWriter FileIO wb True",
        "<stderr> w utf-8 backslashreplace False 2 BufferedWriter FileIO wb True",
        "raw",
    ]


@pytest.mark.parametrize("path", ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
def test_stdin_can_be_opened_by_its_name(supervisor: Supervisor, path: str) -> None:
    supervisor.start(f"print(open({path!r}).read())", stdin=b"heard")
    supervisor.stdin(b"")
    assert supervisor.finish().stdout == b"heard\n"


def test_what_a_signal_raises_while_lines_are_printed_is_not_lost(supervisor: Supervisor) -> None:
    code = (
        "import signal, time\nclass Stop(OSError): pass\n"
        "def stop(*_): raise Stop('now')\n"
        "signal.signal(signal.SIGALRM, stop)\ncaught = 0\n"
        "for _ in range(50):\n    try:\n        signal.setitimer(signal.ITIMER_REAL, 0.002)\n"
        "        while True: print('.', end=''); time.sleep(0)\n"
        "    except Stop: caught += 1\nprint('\\ncaught', caught)"
    )
    assert supervisor.run(code).stdout.endswith(b"\ncaught 50\n")


def test_a_line_of_pieces_that_are_made_in_python_is_one(supervisor: Supervisor) -> None:
    code = "class A:\n    def __str__(self): return ' '.join(str(i) for i in range(5))\nprint(A(), A(), sep='-')"
    assert len(events_of(supervisor, code)) == 1
