"""The profile, on traces of a made-up execution in which the layers take 1, 2, 3, … milliseconds."""

import pytest

from bench.parts.layers import IN_CHILD, IN_SANDBOX, Layer, combine, of_child, of_server, of_supervisor, tracing_cost
from bench.strace import Call


def call(start: float, name: str, arguments: str = "", result: int | None = 1, *, took: float = 0.0) -> Call:
    """Times in milliseconds."""
    return Call(0, name, arguments, result, "", start / 1000, (start + took) / 1000)


SERVER = [
    call(-5, "epoll_pwait", "3, ...", 1, took=5.5),
    call(0.5, "read", '7, "POST /api/execute HTTP/1.1"', 167, took=0.5),
    call(1.5, "write", '2, "{}"', 2),
    call(3, "write", '9, "\\1\\0"', 97),
    call(50, "read", '9, "\\2\\0"', 10),
    call(62, "read", '9, "\\5\\0"', 40, took=1),
    call(64, "write", '2, "{\\"event\\": \\"execution\\"}"', 300),
    call(67, "write", '7, "HTTP/1.1 200 OK"', 300),
]
SUPERVISOR = [
    call(-80, "poll", "...", 1, took=85),
    call(5.5, "read", '3, "\\1\\0"', 20, took=0.5),
    call(6.5, "wait4", "-1, ...", 0),
    call(7, "splice", "3, NULL, 19", 77, took=5),
    call(30, "write", '4, "\\2\\0"', 8),
    call(30.5, "splice", "13, NULL, 4", 2),
    call(40, "wait4", "-1, ...", 16, took=1),
    call(47, "write", '4, "\\5\\0"', 40, took=1),
    call(56, "clone", "...", 22, took=9),
    call(70, "close", "22", 0),
    call(74, "read", '18, "\\0"', 1, took=1),
    call(84, "write", '4, "\\1\\0"', 8, took=2),
    call(90, "poll", "...", None),
]
CHILD = [
    call(-90, "read", '3, "{\\"code\\": ..."', 77, took=104),
    call(14.5, "read", '3, ""', 0),
    call(15, "close", "3", 0),
    call(17, "close", "5", 0),
    call(21, "write", '1, "1\\n"', 2),
    call(26, "exit_group", "0", None),
]


def took(layers: list[Layer]) -> dict[str, float]:
    return {layer.name: round(layer.took * 1000, 6) for layer in layers}


def test_the_servers_layers_follow_one_another_without_gaps() -> None:
    layers = of_server(SERVER, 0.0, 0.072)
    assert list(took(layers).values()) == [1, 2, 60, 4, 5]
    assert sum(layer.took for layer in layers) == pytest.approx(0.072)


def test_the_supervisors_layers_start_with_the_command_and_go_on_after_the_result() -> None:
    on_path, off_path = of_supervisor(SUPERVISOR, 0.0, 0.072)
    assert took(on_path) == {"payload passed on": 6, IN_CHILD: 29, "emptied, judged, result frame made": 6}
    assert list(took(off_path).values()) == [8, 9, 10, 11]


def test_the_childs_layers_start_with_its_payload() -> None:
    assert list(took(of_child(CHILD, 0.0)).values()) == [3, 4, 5]


def test_an_end_that_the_trace_does_not_show_merges_two_layers() -> None:
    silent = [each for each in CHILD if each.name != "write"]
    assert took(of_child(silent, 0.0))["run, to its first output + run, to its exit"] == 9


@pytest.mark.parametrize("calls", [[], [call(10, "poll", "...", 1)]])
def test_a_trace_of_nothing_has_no_layers(calls: list[Call]) -> None:
    assert of_supervisor(calls, 0.0, 0.072) == ([], [])
    assert of_child(calls, 0.0) == []


def test_the_three_views_become_one_whose_sum_is_the_servers() -> None:
    on_path, _ = of_supervisor(SUPERVISOR, 0.0, 0.072)
    whole = combine(took(of_server(SERVER, 0.0, 0.072)), took(on_path), took(of_child(CHILD, 0.0)))
    assert sum(whole.values()) == 72
    assert whole["supervisor woken, its result noticed"] == 60 - 41
    assert whole["child woken, its exit noticed"] == 29 - 12
    assert list(whole)[:4] == [
        "HTTP in",
        "request read, rate limit, lease, frame made",
        "supervisor woken, its result noticed",
        "payload passed on",
    ]


def test_a_view_that_saw_more_than_the_one_around_it_leaves_nothing_for_the_way() -> None:
    whole = combine({IN_SANDBOX: 5.0}, {IN_CHILD: 4.0}, {"run": 6.0})
    assert whole == {
        "supervisor woken, its result noticed": 0.0,
        "child woken, its exit noticed": 0.0,
        "run": 6.0,
    }


def test_a_view_without_a_place_for_the_next_is_refused() -> None:
    with pytest.raises(KeyError):
        combine({"HTTP in": 1.0}, {IN_CHILD: 1.0}, {})


def test_the_cost_of_tracing_is_taken_off_per_call_and_never_below_nought() -> None:
    layer = Layer("run", 0.010, 4)
    assert layer.less(0.001) == pytest.approx(0.006)
    assert layer.less(0.005) == 0


def test_calls_are_counted_in_the_layer_they_slow_down() -> None:
    layers = {layer.name: layer.calls for layer in of_server(SERVER, 0.0, 0.072)}
    assert layers["result read, answer made"] == 1  # a log line
    assert layers["request read, rate limit, lease, frame made"] == 1


def test_the_cost_of_tracing_is_what_an_execution_takes_longer_for_each_call_in_it() -> None:
    assert tracing_cost([1.0, 1.0, 9.0], [3.0, 3.0, 99.0], [10, 20, 10]) == pytest.approx(0.2)
    assert tracing_cost([1.0], [0.5], [10]) == 0
    assert tracing_cost([1.0], [2.0], [0]) == 1
