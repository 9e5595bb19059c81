"""Who waits for input says so, but not where an answer comes at once: two programs that talk would say little else."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest

from sandbox_agent.child import stdin
from sandbox_agent.confinement.kernel import available
from sandbox_agent.contract.protocol import INTERACTIVE, STDIN_OPEN, EventType
from sandbox_agent.supervisor.relay import both_ends
from tests.unit.agent.conftest import InChild
from tests.unit.agent.supervised import Supervise

AGES = 20_000


def with_pipes(work: Any) -> Any:
    """Return what does ``work`` with a pipe in the place of stdin, whose writer it is given, and one for the news."""

    def call() -> Any:
        (waited, typed), news = os.pipe(), both_ends(os.pipe()[1])
        vars(stdin).update(STDIN=waited, PROMPT=news)
        return [work(typed), available(news)]

    return call


def test_an_answer_that_comes_at_once_is_waited_for_in_silence(in_child: InChild) -> None:
    def answered(typed: int) -> bool:
        threading.Timer(0.05, os.write, (typed, b"x")).start()
        return stdin.announce(AGES)

    assert in_child(with_pipes(answered)) == [False, 0]


def test_where_none_comes_it_is_said(in_child: InChild) -> None:
    assert in_child(with_pipes(lambda _: stdin.announce(1))) == [True, 1]
    assert in_child(with_pipes(lambda _: stdin.announce())) == [True, 1]


def test_what_was_said_is_taken_back_with_the_answer(in_child: InChild) -> None:
    def waited(typed: int) -> None:
        threading.Timer(0.2, os.write, (typed, b"x")).start()  # longer than an answer may take
        stdin.wait()

    assert in_child(with_pipes(waited)) == [None, 0]


def test_who_reads_says_nothing_before_an_answer_that_comes_at_once(in_child: InChild) -> None:
    def waited(typed: int) -> list[int]:
        vars(stdin).update(_SOON=AGES)
        threading.Timer(0.05, os.write, (typed, b"x")).start()
        written, write = [], os.write
        os.write = lambda fd, data: written.append(fd) or write(fd, data)  # type: ignore[func-returns-value]
        stdin.wait()
        return [fd for fd in written if fd == vars(stdin)["PROMPT"]]

    assert in_child(with_pipes(waited)) == [[], 0]


@pytest.mark.parametrize("is_session", [False, True], ids=["a run", "a cell"])
def test_what_follows_on_an_input_does_not_rest(supervise: Supervise, is_session: bool) -> None:
    code = "import time\nprint('up')\nprint(input(), flush=True)\ntime.sleep(600)"
    with supervise(changed="from sandbox_agent.supervisor import relay; relay.REST = 3600.0") as supervisor:
        supervisor.ready()
        if is_session:
            supervisor.open_session()
            supervisor.cell(1, code, wall_ms=600_000)
        else:
            supervisor.start(code, flags=STDIN_OPEN | INTERACTIVE, wall_ms=600_000)
        supervisor.until(b"up\n")
        event = supervisor.next()
        assert event is not None
        assert event.type is EventType.WAITING
        supervisor.stdin(b"Ada\n")
        assert supervisor.until(b"Ada\n") == b"Ada\n"


def test_a_stdin_that_waits_for_nobody_is_not_waited_for(in_child: InChild) -> None:
    def unblocked(_: int) -> bool:
        os.set_blocking(vars(stdin)["STDIN"], False)
        return stdin.announce(AGES)

    assert in_child(with_pipes(unblocked)) == [False, 0]
