"""The limits of a run are computed in one place: the server's, the key's, the timeout, and what the run asks for."""

from __future__ import annotations

from typing import Any

import pytest

from code_executor.core.caller import LOCAL, Caller, Terms
from code_executor.core.codec import decode, encode
from code_executor.core.limits import LEAST_MEMORY, LimitError, Limits, RunLimits, limits_of_run
from code_executor.core.models import Entry, Excerpt, Execution, File, Reason, Result
from code_executor.sandbox.conversation import run_command
from sandbox_agent.contract import protocol
from sandbox_agent.contract.protocol import COMMAND, Command, CommandHeader, Hold

LIMITS = Limits()
KEY = Caller("ce_1", terms=Terms(wall_time=10, cpu_time=5))


def test_without_anything_the_limits_are_the_servers() -> None:
    assert limits_of_run(LOCAL, None, None, LIMITS) is LIMITS
    assert limits_of_run(LOCAL, None, RunLimits(), LIMITS) == LIMITS


@pytest.mark.parametrize(
    ("caller", "timeout", "asked", "expected"),
    [
        (KEY, None, None, (10, 5)),
        (KEY, 3.0, None, (3, 5)),
        (KEY, 3.0, RunLimits(wall_time=3.0, cpu_time=1), (3, 1)),
        (KEY, None, RunLimits(wall_time=7, cpu_time=4), (7, 4)),
        (KEY, None, RunLimits(wall_time=20, cpu_time=20), (10, 5)),  # whoever did not look first gets no more
        (LOCAL, 40.0, RunLimits(cpu_time=60), (30, 30)),
    ],
)
def test_the_lowest_of_all_holds(
    caller: Caller, timeout: float | None, asked: RunLimits | None, expected: tuple[float, float]
) -> None:
    limits = limits_of_run(caller, timeout, asked, LIMITS)
    assert (limits.wall_time, limits.cpu_time) == expected


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"memory": LIMITS.memory + 1}, "may be at most 536870912 bytes here"),
        ({"output": LIMITS.output + 1}, "may be at most 1048576 bytes here"),
        ({"disk": LIMITS.disk + 1}, "may be at most 67108864 bytes here"),
        ({"processes": 11}, "may be at most 10 here"),
        ({"wall_time": 30.5}, "may be at most 30 seconds here"),
        ({"cpu_time": 31}, "may be at most 30 seconds here"),
    ],
)
def test_what_is_above_is_named_with_its_bound(limits: dict[str, Any], says: str) -> None:
    with pytest.raises(LimitError, match=says) as raised:
        RunLimits(**limits).require_within(LIMITS)
    assert raised.value.name == next(iter(limits))


@pytest.mark.parametrize(
    "limits",
    [
        {"memory": LEAST_MEMORY - 1},
        {"output": 0},
        {"disk": 100},
        {"processes": 0},
        {"cpu_time": 0.05},
        {"wall_time": 0},
        {"wall_time": float("nan")},
        {"cpu_time": float("nan")},
    ],
)
def test_too_little_is_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(LimitError, match="must be") as raised:
        RunLimits(**limits)
    assert raised.value.name == next(iter(limits))


# ---- what a sandbox is sent


def frames(data: bytes) -> list[CommandHeader]:
    found = []
    while data:
        found.append(CommandHeader._make(COMMAND.unpack_from(data)))
        data = data[COMMAND.size + found[-1].length :]
    return found


def test_a_run_that_asks_for_nothing_is_sent_what_it_always_was() -> None:
    command, _ = run_command(Execution("1", stdin="x"), LIMITS, 7, interactive=False)
    (header,) = frames(command)
    assert header.type == Command.RUN
    assert b'"more"' not in command


def test_limits_that_every_run_has_cost_no_frame() -> None:
    asked = RunLimits(wall_time=1, output=10)
    command, _ = run_command(Execution("1", limits=asked), asked.within(LIMITS), 7, interactive=False)
    (header,) = frames(command)
    assert (header.type, header.wall_ms, header.output_bytes) == (Command.RUN, 1000, 10)


def test_what_a_run_is_held_to_goes_before_it() -> None:
    asked = RunLimits(memory=64 << 20, processes=2, cpu_time=0.5, disk=100_000)
    limits = asked.within(LIMITS)
    hold, run = frames(run_command(Execution("1", limits=asked), limits, 7, interactive=False)[0])
    assert (hold.type, hold.run, run.type, run.run, run.cpu_ms) == (Command.HOLD, 7, Command.RUN, 7, 500)
    assert Hold.of_header(hold) == Hold(64 << 20, 98 << 10, limits.tasks, cpu=True)


def test_only_what_was_asked_for_is_looked_at() -> None:
    asked = RunLimits(disk=1 << 20)
    hold, _ = frames(run_command(Execution("1", limits=asked), asked.within(LIMITS), 7, interactive=False)[0])
    assert Hold.of_header(hold) == Hold(disk=1 << 20)


def test_the_bytes_of_a_hold_are_the_documented_ones() -> None:
    expected = bytes.fromhex("08 01 0102 00000000 00010000 00000400 0000000a")
    assert Hold(64 << 20, 1 << 20, 10, cpu=True).pack(0x0102) == expected
    assert protocol.VERSION == 6


# ---- between processes

UNUSUAL = Execution(
    "1",
    stdin=b"\xff\0",
    limits=RunLimits(memory=64 << 20, wall_time=1.5),
    name="task.py",
    files=(File("app/x.py", b"1"),),
    entry=Entry("app/x.py"),
    env={"COURSE": "1"},
    raw=True,
    excerpt=Excerpt(10, 20),
    trusted=True,
)


def test_what_is_asked_for_survives_the_way_to_another_process() -> None:
    assert decode(encode(UNUSUAL)) == UNUSUAL
    assert decode(encode(Execution("1", entry=Entry(module="a.b")))).entry == Entry(module="a.b")


def test_what_nobody_asked_for_is_not_sent() -> None:
    few = {"limits", "name", "entry", "env", "base64", "excerpt", "stdinBase64", "trusted"}
    assert few & encode(Execution("1")).keys() == set()
    assert {"limits", "stdoutBase64", "stderrBase64", "leftOut"} & encode(Result("1", Reason.EXIT)).keys() == set()


def test_a_result_survives_likewise() -> None:
    result = Result("1", Reason.EXIT, limits=RunLimits.of(LIMITS), stdout=b"\xff", stderr=b"", left_out=(3, 0))
    assert decode(encode(result)) == result
