"""What a run says is taken at once, and sent when the client takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_executor.api.backlog import Backlog, Streamed
from code_executor.api.outbox import Debt, Ledger
from code_executor.api.problems import Refusal
from code_executor.core.caller import Caller
from code_executor.core.errors import SandboxError
from code_executor.core.limits import SendLimits
from code_executor.core.models import Display, Event, File, Output, Reason, Result, Started
from sandbox_agent.contract.report import error_text

pytestmark = pytest.mark.anyio


def backlog() -> tuple[Backlog, Debt]:
    debt = Debt(Ledger(SendLimits(), lambda: 0.0, lambda _: None), Caller("a"), None)
    return Backlog(debt), debt


async def run(*events: Event, error: Exception | None = None) -> AsyncGenerator[Event, None]:
    for event in events:
        yield event
    if error is not None:
        raise error


async def all_of(items: Backlog) -> list[Any]:
    found = []
    while (item := await items.get()) is not None:
        found.append(item[0])
        items.sent(item[1])
    return found


async def test_a_run_comes_to_its_end_though_nobody_reads() -> None:
    items, debt = backlog()
    await asyncio.wait_for(
        items.fill(None, run(Started("1", 0), Output("stdout", "x" * 1000), Result("1", Reason.EXIT))), 5
    )
    assert debt.waiting > 1000
    assert [type(each).__name__ for each in await all_of(items)] == ["Started", "Output", "Result"]
    assert debt.waiting == 0


async def test_many_small_pieces_of_one_stream_are_sent_as_one() -> None:
    items, debt = backlog()
    written = [*(Output("stdout", "a") for _ in range(500)), Output("stderr", "b"), Output("stdout", "c")]
    await items.fill(Started("1", 0), run(*written))
    _, *rest = await all_of(items)
    assert "".join(each.data for each in rest if each.stream == "stdout") == "a" * 500 + "c"
    assert len(rest) < 10
    assert [each.stream for each in rest][-2:] == ["stderr", "stdout"]
    assert debt.waiting == 0


async def test_a_failure_is_said_last() -> None:
    items, _ = backlog()
    await items.fill(None, run(Started("1", 0), error=SandboxError("broken")))
    _, problem = await all_of(items)
    assert isinstance(problem, Refusal)
    assert problem.status == 500


async def test_a_problem_takes_the_place_of_what_waits() -> None:
    items, debt = backlog()
    await items.fill(None, run(Started("1", 0), Output("stdout", "x")))
    items.finish(Refusal(413, "Too much."))
    (problem,) = await all_of(items)
    assert problem.status == 413
    assert debt.waiting == 0


@given(
    st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.text(min_size=1, max_size=5))),
    st.sampled_from(["", "It was stopped."]),
    st.lists(st.binary(max_size=3), max_size=3),
)
def test_what_was_streamed_and_the_rest_are_the_whole_result(
    written: list[tuple[str, str]], sentence: str, shown: list[bytes]
) -> None:
    texts = {name: "".join(text for stream, text in written if stream == name) for name in ("stdout", "stderr")}
    displays = tuple(Display("image/png", data) for data in shown)
    files = (File("a", b"1"),)
    error = error_text(texts["stderr"], sentence)
    streamed = Streamed()
    events: list[Event] = [*(Output(*each) for each in written), *displays, *files]
    for event in events:
        streamed.note(event)
    rest = streamed.rest(Result("1", Reason.EXIT, texts["stdout"], error, displays=displays, files=files))
    assert (rest.output, rest.displays, rest.files) == ("", (), ())
    assert error_text(texts["stderr"], rest.error) == error
    assert streamed.object()["displays"] == len(shown)
    assert streamed.object()["stdout"] == len(texts["stdout"].encode("utf-8", "replace"))


def test_what_was_not_streamed_is_in_the_rest() -> None:
    streamed = Streamed()
    streamed.note(Output("stdout", "ab"))
    rest = streamed.rest(Result("1", Reason.CANCELLED, "abc", "The session has ended.", files=(File("a", b""),)))
    assert (rest.output, rest.error, rest.files) == ("c", "The session has ended.", (File("a", b""),))
