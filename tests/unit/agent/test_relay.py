"""The relay moves every byte in order, waits for nobody, and keeps to its budget."""

from __future__ import annotations

import os
import select
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from sandbox_agent.confinement.kernel import available
from sandbox_agent.contract import protocol
from sandbox_agent.contract.protocol import Command, Event, EventReader, EventType
from sandbox_agent.supervisor import relay
from sandbox_agent.supervisor.relay import Budget, HostGoneError, Inbound, Outbound, Source, discard
from tests.unit.agent.piped import PIPE, Pipe, Pipes, fill, is_open, read_all

# ---- from the host


def test_a_header_comes_whole_or_not_yet(pipe: Pipes) -> None:
    host = pipe()
    inbound = Inbound(host.read)
    frame = protocol.command(Command.RUN, 3, flags=1, wall_ms=5000, cpu_ms=2000, output_bytes=9)
    for byte in frame[:-1]:
        os.write(host.write, bytes([byte]))
        assert inbound.read_header() is None
    os.write(host.write, frame[-1:] + frame)
    assert inbound.read_header() == (Command.RUN, 1, 3, 0, 5000, 2000, 9)
    assert inbound.read_header() == (Command.RUN, 1, 3, 0, 5000, 2000, 9)


def test_a_body_goes_to_its_pipe_and_the_next_header_is_found_behind_it(pipe: Pipes) -> None:
    host, child = pipe(), pipe()
    inbound = Inbound(host.read)
    os.write(host.write, b"first piece, " + b"second" + protocol.command(Command.CANCEL, 1))
    inbound.forward(19, child.write, last=False)
    inbound.pump()
    assert read_all(child.read) == b"first piece, second"
    assert not inbound.busy
    assert is_open(child.write)
    header = inbound.read_header()
    assert header is not None
    assert header.type == Command.CANCEL


@pytest.mark.parametrize("body", [b"the last piece", b""])
def test_the_pipe_is_closed_after_the_last_body(pipe: Pipes, body: bytes) -> None:
    host, child = pipe(), pipe()
    inbound = Inbound(host.read)
    os.write(host.write, body)
    inbound.forward(len(body), child.write, last=True)
    inbound.pump()
    assert not is_open(child.write)
    assert read_all(child.read) == body


def test_a_full_pipe_is_waited_for_instead_of_the_host(pipe: Pipes) -> None:
    host, child = pipe(), pipe()
    inbound = Inbound(host.read)
    assert inbound.wanted() == (host.read, select.POLLIN)
    filled = fill(child.write)
    os.write(host.write, b"waits")
    inbound.forward(5, child.write, last=False)
    inbound.pump()
    assert inbound.busy
    assert inbound.wanted() == (child.write, select.POLLOUT)
    assert len(read_all(child.read)) == filled
    inbound.pump()
    assert read_all(child.read) == b"waits"
    assert inbound.wanted() == (host.read, select.POLLIN)


def test_the_last_byte_of_a_body_is_waited_for_as_any_other(pipe: Pipes) -> None:
    host, child = pipe(), pipe()
    inbound = Inbound(host.read)
    assert not inbound.busy
    inbound.forward(1, child.write, last=False)
    inbound.pump()
    assert (inbound.busy, inbound.wanted()) == (True, (host.read, select.POLLIN))
    filled = fill(child.write)
    os.write(host.write, b"x")
    inbound.pump()
    assert (inbound.busy, inbound.wanted()) == (True, (child.write, select.POLLOUT))
    assert len(read_all(child.read)) == filled
    inbound.forward(1, child.write, last=False)  # the next body is waited for at the host again
    assert inbound.wanted() == (host.read, select.POLLIN)


def test_a_slow_host_is_waited_for_instead_of_the_pipe(pipe: Pipes) -> None:
    host, child = pipe(), pipe()
    inbound = Inbound(host.read)
    os.write(host.write, b"half")
    inbound.forward(8, child.write, last=False)
    inbound.pump()
    assert inbound.busy
    assert inbound.wanted() == (host.read, select.POLLIN)
    os.write(host.write, b"half")
    inbound.pump()
    assert not inbound.busy
    assert read_all(child.read) == b"halfhalf"


def test_a_body_larger_than_any_pipe_arrives_whole(pipe: Pipes) -> None:
    host, child = pipe(), pipe()
    inbound = Inbound(host.read)
    body = os.urandom(5 * PIPE + 123)
    inbound.forward(len(body), child.write, last=True)
    sent, received = 0, b""
    while inbound.busy:
        if select.select([], [host.write], [], 0)[1]:
            sent += os.write(host.write, body[sent : sent + 4096])
        inbound.pump()
        received += read_all(child.read)
    assert received + read_all(child.read) == body


def test_what_nobody_reads_any_more_is_dropped(pipe: Pipes) -> None:
    host, child = pipe(), pipe()
    inbound = Inbound(host.read)
    os.close(child.read)
    os.write(host.write, b"nobody" + protocol.command(Command.CANCEL, 1))
    inbound.forward(6, child.write, last=False)
    inbound.pump()
    assert not inbound.busy
    assert inbound.read_header() is not None
    assert is_open(child.write)  # more pieces may come, and its number must not come to mean something else
    os.write(host.write, b"again" + protocol.command(Command.CANCEL, 1))
    inbound.forward(5, child.write, last=False)
    inbound.pump()
    assert inbound.read_header() is not None
    inbound.forward(0, child.write, last=True)
    assert not is_open(child.write)


def test_what_is_for_nobody_is_dropped(pipe: Pipes) -> None:
    host = pipe()
    inbound = Inbound(host.read)
    os.write(host.write, b"nobody" + protocol.command(Command.CANCEL, 1))
    inbound.forward(6, None, last=False)
    inbound.pump()
    assert inbound.read_header() is not None


def test_the_rest_of_a_body_is_dropped_when_its_run_is_over(pipe: Pipes) -> None:
    host, child = pipe(), pipe()
    inbound = Inbound(host.read)
    os.write(host.write, b"half")
    inbound.forward(8, child.write, last=True)
    inbound.pump()
    inbound.discard()
    assert not is_open(child.write)
    os.write(host.write, b"half" + protocol.command(Command.CANCEL, 1))
    inbound.pump()
    assert read_all(child.read) == b"half"
    assert inbound.read_header() is not None


def test_a_host_that_is_gone_is_noticed_in_a_body(pipe: Pipes) -> None:
    host, child = pipe(), pipe()
    inbound = Inbound(host.read)
    os.write(host.write, b"half")
    os.close(host.write)
    inbound.forward(8, child.write, last=False)
    with pytest.raises(HostGoneError):
        inbound.pump()
    assert read_all(child.read) == b"half"


def test_a_host_that_is_gone_is_noticed_in_a_header(pipe: Pipes) -> None:
    host = pipe()
    inbound = Inbound(host.read)
    os.write(host.write, protocol.command(Command.CANCEL, 1)[:7])
    os.close(host.write)
    assert inbound.read_header() is None
    with pytest.raises(HostGoneError):
        inbound.read_header()


# ---- to the host


@dataclass
class Run:
    """An outbound side with the pipes of a run: what the program writes to and what the host reads from."""

    outbound: Outbound
    host: Pipe
    stdout: Pipe
    stderr: Pipe
    report: Pipe
    output: Budget

    def events(self) -> list[Event]:
        return EventReader().feed(read_all(self.host.read))


@pytest.fixture
def run(pipe: Pipes) -> Run:
    host, stdout, stderr, report = (pipe() for _ in range(4))
    output = Budget(1000)
    run = Run(Outbound(host.write), host, stdout, stderr, report, output)
    sources = [
        Source(stdout.read, EventType.STDOUT, output),
        Source(stderr.read, EventType.STDERR, output),
        Source(report.read, EventType.REPORT, Budget(500)),
    ]
    run.outbound.begin(7, sources)
    return run


def test_what_is_written_is_sent_as_what_it_is(run: Run) -> None:
    os.write(run.stdout.write, b"out")
    os.write(run.stderr.write, b"error")
    os.write(run.report.write, b"report")
    run.outbound.pump()
    assert run.events() == [
        Event(EventType.STDOUT, 7, b"out"),
        Event(EventType.STDERR, 7, b"error"),
        Event(EventType.REPORT, 7, b"report"),
    ]
    assert run.outbound.report_bytes == 6
    assert not run.outbound.truncated


def test_nothing_is_sent_of_nothing(run: Run) -> None:
    run.outbound.pump()
    assert run.events() == []
    assert run.outbound.wanted() == [(fd.read, select.POLLIN) for fd in (run.stdout, run.stderr, run.report)]


def test_a_pipe_that_has_ended_is_dropped(run: Run) -> None:
    os.write(run.stdout.write, b"last words")
    os.close(run.stdout.write)
    run.outbound.pump()
    run.outbound.pump()
    assert run.events() == [Event(EventType.STDOUT, 7, b"last words")]
    assert run.outbound.wanted() == [(fd.read, select.POLLIN) for fd in (run.stderr, run.report)]
    assert not is_open(run.stdout.read)


@pytest.mark.parametrize("how", ["pump", "drain"])
def test_output_is_cut_at_the_budget_that_stdout_and_stderr_share(run: Run, how: str) -> None:
    os.write(run.stdout.write, b"o" * 600)
    os.write(run.stderr.write, b"e" * 600)
    os.write(run.report.write, b"r" * 400)
    getattr(run.outbound, how)()
    assert run.events() == [
        Event(EventType.STDOUT, 7, b"o" * 600),
        Event(EventType.STDERR, 7, b"e" * 400),
        Event(EventType.REPORT, 7, b"r" * 400),
    ]
    assert run.outbound.truncated


@pytest.mark.parametrize("how", ["pump", "drain"])
def test_output_that_just_fits_is_not_truncated(run: Run, how: str) -> None:
    os.write(run.stdout.write, b"o" * 1000)
    getattr(run.outbound, how)()
    assert run.events() == [Event(EventType.STDOUT, 7, b"o" * 1000)]
    assert not run.outbound.truncated


@pytest.mark.parametrize("how", ["pump", "drain"])
def test_one_byte_more_than_fits_is_noticed_later_too(run: Run, how: str) -> None:
    os.write(run.stdout.write, b"o" * 1000)
    run.outbound.pump()
    assert not run.outbound.truncated
    os.write(run.stderr.write, b"e")
    getattr(run.outbound, how)()
    assert [event.body for event in run.events()] == [b"o" * 1000]
    assert run.outbound.truncated


def test_a_new_run_begins_with_nothing_of_the_last(run: Run, pipe: Pipes) -> None:
    os.write(run.stdout.write, b"o" * 2000)
    os.write(run.report.write, b"r")
    run.outbound.drain()
    run.events()
    assert run.outbound.truncated
    new = pipe()
    run.outbound.begin(8, [Source(new.read, EventType.STDOUT, Budget(5))])
    assert not run.outbound.truncated
    assert run.outbound.report_bytes == 0
    os.write(new.write, b"fresh")
    run.outbound.pump()
    assert run.events() == [Event(EventType.STDOUT, 8, b"fresh")]


def test_a_host_that_reads_nothing_is_waited_for_and_loses_nothing(run: Run) -> None:
    run.output.left = 1 << 20
    filled = fill(run.host.write)
    body = os.urandom(PIPE)
    assert os.write(run.stdout.write, body) == PIPE
    run.outbound.pump()  # returns
    assert len(read_all(run.host.read)) == filled
    received = b""
    for _ in range(100):
        run.outbound.pump()
        if run.outbound.wanted() == [(run.host.write, select.POLLOUT)]:
            received += os.read(run.host.read, 1000)
    received += read_all(run.host.read)
    assert EventReader().feed(received) == [Event(EventType.STDOUT, 7, body)]


def test_a_frame_that_is_under_way_is_finished_before_another_begins(run: Run) -> None:
    run.output.left = 1 << 20
    body = os.urandom(40_000)
    os.write(run.stdout.write, body)
    os.write(run.stderr.write, b"later")
    os.write(run.host.write, bytes(40_960))  # so that the frame does not fit
    run.outbound.pump()
    assert run.outbound.wanted() == [(run.host.write, select.POLLOUT)]
    received = read_all(run.host.read)[40_960:]
    assert len(received) < len(body)
    run.outbound.send(protocol.event(EventType.READY, 7))
    run.outbound.pump()
    received += read_all(run.host.read)
    assert EventReader().feed(received) == [
        Event(EventType.STDOUT, 7, body),
        Event(EventType.READY, 7, b""),
        Event(EventType.STDERR, 7, b"later"),
    ]


def test_a_frame_that_was_announced_is_whole_whoever_reads_the_pipe_as_well(run: Run) -> None:
    run.output.left = 1 << 20
    body = os.urandom(40_000)
    os.write(run.stdout.write, body)
    os.write(run.host.write, bytes(40_960))  # so that the frame does not fit
    run.outbound.pump()
    read_all(run.stdout.read)  # by a program with the supervisor's uid
    received = read_all(run.host.read)[40_960:]
    run.outbound.pump()
    received += read_all(run.host.read)
    assert EventReader().feed(received) == [Event(EventType.STDOUT, 7, body)]
    os.write(run.stderr.write, b"next")
    run.outbound.pump()
    assert run.events() == [Event(EventType.STDERR, 7, b"next")]


@pytest.mark.parametrize("how", ["pump", "flush", "drain"])
def test_what_a_pipe_is_said_to_hold_is_not_believed(run: Run, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "available", lambda _: 100)  # and then somebody has taken it
    os.write(run.stdout.write, b"out")
    getattr(run.outbound, how)()
    assert run.events() == [Event(EventType.STDOUT, 7, b"out")]


def test_a_pipe_without_budget_does_not_hold_up_those_behind_it(run: Run) -> None:
    run.output.left = 0
    os.write(run.stdout.write, b"too much")
    os.write(run.report.write, b"report")
    run.outbound.pump()
    assert run.events() == [Event(EventType.REPORT, 7, b"report")]
    assert run.outbound.truncated


@pytest.mark.parametrize("full", [False, True])
def test_flushing_sends_what_is_there_and_waits_for_the_host_alone(run: Run, full: bool) -> None:
    os.write(run.stdout.write, b"out")
    os.write(run.stderr.write, b"err")
    filled = fill(run.host.write) if full else 0
    with ThreadPoolExecutor(1) as thread:
        flushing = thread.submit(run.outbound.flush)
        received = b""
        while not flushing.done() or select.select([run.host.read], [], [], 0)[0]:
            select.select([run.host.read], [], [], 0.01)
            received += read_all(run.host.read)
        flushing.result()
    assert EventReader().feed(received[filled:]) == [
        Event(EventType.STDOUT, 7, b"out"),
        Event(EventType.STDERR, 7, b"err"),
    ]
    assert len(run.outbound.wanted()) == 3  # the writers live, and nothing is under way


def test_a_run_that_begins_is_left_in_peace_for_a_while(run: Run, pipe: Pipes) -> None:
    assert run.outbound.rest() <= 0
    new = pipe()
    run.outbound.begin(8, [Source(new.read, EventType.STDOUT, Budget(5))], rest=30.0)
    assert 29 < run.outbound.rest() <= 30
    os.write(new.write, b"early")
    run.outbound.pump()  # whoever comes by takes it along all the same
    assert run.events() == [Event(EventType.STDOUT, 8, b"early")]


def test_what_answers_somebody_does_not_rest(run: Run) -> None:
    os.write(run.stdout.write, b"asked")
    run.outbound.pump()
    assert run.outbound.rest() > 0
    run.outbound.hasten()
    assert run.outbound.rest() <= 0


def test_draining_sends_what_is_left_and_gives_the_pipes_back(run: Run) -> None:
    os.write(run.stdout.write, b"left")
    os.write(run.stderr.write, b"over")
    given_back = run.outbound.drain()
    assert [event.body for event in run.events()] == [b"left", b"over"]
    assert run.outbound.sources == []
    assert given_back == [fd.read for fd in (run.stdout, run.stderr, run.report)]
    assert all(map(is_open, given_back))


def test_a_writer_that_lives_on_does_not_hold_the_drain(run: Run) -> None:
    assert is_open(run.stdout.write)
    for fd in run.outbound.drain():
        os.close(fd)
    with pytest.raises(BrokenPipeError):
        os.write(run.stdout.write, b"too late")


def test_discarding_tells_whether_there_was_anything(pipe: Pipes) -> None:
    prompt = pipe()
    assert not discard(prompt.read)
    os.write(prompt.write, b"x")
    assert discard(prompt.read)
    assert not discard(prompt.read)
    os.write(prompt.write, b"xyz" * 1000)
    assert discard(prompt.read)
    assert available(prompt.read) == 0


def test_there_is_nothing_to_discard_of_what_somebody_else_took(pipe: Pipes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "available", lambda _: 100)
    prompt = pipe()
    assert discard(prompt.read) == 0
    os.write(prompt.write, b"xyz")
    assert discard(prompt.read) == 3
    os.close(prompt.write)
    assert discard(prompt.read) == 0


def test_available_tells_what_a_pipe_holds(pipe: Pipes) -> None:
    some = pipe()
    assert available(some.read) == 0
    os.write(some.write, b"12345")
    assert available(some.read) == 5
