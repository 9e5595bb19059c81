"""The agent in a bare interpreter: how it starts, runs a program and stops it."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from sandbox_agent.contract import protocol
from sandbox_agent.contract.protocol import (
    VERSION,
    Cause,
    Command,
)
from tests.unit.agent.supervised import BOX, CONFIG, WITHIN, Supervise, Supervisor

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
        f'  File "{BOX}/main.py", line 3, in <module>',
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
