"""The profile, on the trace of a made-up execution in which every layer takes as many milliseconds as its name says."""

import pytest

from bench.parts.layers import Layer, off_path, on_path
from bench.strace import Call

SERVER, SUPERVISOR, CHILD, NEXT = 10, 20, 21, 22


def call(pid: int, start: float, name: str, arguments: str = "", result: int | None = 1, *, took: float = 0.0) -> Call:
    """Times in milliseconds."""
    return Call(pid, name, arguments, result, "", start / 1000, (start + took) / 1000)


TRACE = [
    call(CHILD, -90, "read", "3, ...", 77, took=90 + 1 + 2 + 3 + 4),
    call(SUPERVISOR, -80, "poll", "...", 1, took=80 + 1 + 2 + 3),
    call(SERVER, 0.5, "read", '7, "POST /api/execute HTTP/1.1"', 167, took=0.5),
    call(SERVER, 3, "write", '9, "\\1\\0"', 97),
    call(SUPERVISOR, 5.5, "read", '3, "\\1\\0"', 20, took=0.5),
    call(SUPERVISOR, 7, "splice", "3, NULL, 19", 77),
    call(CHILD, 11, "close", "3", 0),
    call(CHILD, 15, "close", "5", 0),
    call(CHILD, 21, "write", '1, "1\\n"', 2),
    call(SUPERVISOR, 22, "splice", "13, NULL, 4", 2),
    call(CHILD, 28, "exit_group", "0", None),
    call(SUPERVISOR, 35, "wait4", "-1, ...", 16, took=1),
    call(SUPERVISOR, 45, "write", '4, "\\5\\0"', 40),
    call(SERVER, 54.5, "read", '9, "\\5\\0"', 40, took=0.5),
    call(SERVER, 60, "write", '2, "{\\"event\\": \\"execution\\"}"', 300),
    call(SERVER, 66, "write", '7, "HTTP/1.1 200 OK"', 300),
    call(SUPERVISOR, 80, "clone", "...", 22, took=3),
    call(NEXT, 85, "gettid", "", 22),
    call(NEXT, 90, "write", '8, "1000"', 4),
    call(NEXT, 105, "write", '4, "\\0"', 1),
    call(NEXT, 106, "read", "3, ...", None),
    call(SUPERVISOR, 107, "write", '4, "\\1\\0"', 8, took=1),
]


def took(layers: list[Layer]) -> dict[str, float]:
    return {layer.name: round(layer.took * 1000, 6) for layer in layers}


def test_layers_between_request_and_answer_follow_one_another_without_gaps() -> None:
    layers = on_path(TRACE, SERVER, [SUPERVISOR], 0.0, 0.078)
    assert list(took(layers).values()) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    assert sum(layer.took for layer in layers) == pytest.approx(0.078)


def test_an_end_that_the_trace_does_not_show_merges_two_layers() -> None:
    trace = [each for each in TRACE if each.name != "exit_group"]
    merged = took(on_path(trace, SERVER, [SUPERVISOR], 0.0, 0.078))
    assert merged["run, to its exit + exit, collected"] == 15
    assert sum(merged.values()) == 78


def test_what_happens_after_the_answer_is_told_apart() -> None:
    layers = took(off_path(TRACE, [SUPERVISOR], 0.078))
    assert list(layers) == [
        "killed, proved empty and clean",
        "fork",
        "child confined and warmed up",
        "told to the server",
    ]
    assert list(layers.values()) == [35, 5, 20, 3]


def test_a_trace_without_the_supervisor_has_nothing_after_the_answer() -> None:
    assert off_path([each for each in TRACE if each.pid == SERVER], [SUPERVISOR], 0.078) == []


def test_the_cost_of_tracing_is_taken_off_per_call_and_never_below_nought() -> None:
    layer = Layer("run", 0.010, 4)
    assert layer.less(0.001) == pytest.approx(0.006)
    assert layer.less(0.005) == 0


def test_calls_of_others_are_not_on_the_path() -> None:
    layers = on_path(TRACE, SERVER, [SUPERVISOR], 0.0, 0.078)
    answer = next(layer for layer in layers if layer.name.startswith("result read"))
    assert answer.calls == 1  # the log line; the supervisor's and the next child's are not counted
