"""Whatever a sandbox claims, what is made of it can be said to anybody: as JSON, in UTF-8, to any reader."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from code_executor.core import codec
from code_executor.core.limits import Limits
from code_executor.core.models import Cell, Execution, FileAnswer, Reason, Result
from code_executor.execution.answers import DISTURBED, AnswerTranscript
from code_executor.execution.transcript import CellTranscript, Transcript
from sandbox_agent.contract import claims, report
from sandbox_agent.contract.claims import ClaimError
from sandbox_agent.contract.protocol import Cause, Event, EventType, Outcome, record
from sandbox_agent.contract.report import ReportError
from sandbox_agent.supervisor.introduction import describe

HALF = "\ud800"
"""Half a character, which JSON can name and UTF-8 cannot hold."""

TEXTS = st.text(st.characters(), max_size=8) | st.just(HALF) | st.just("\0") | st.just("x" * 100_000)
NUMBERS = st.integers() | st.booleans() | st.floats() | st.sampled_from([10**308, 10**4299, 1 << 31, 1 << 53, -1, 0])
LEAVES = st.none() | NUMBERS | TEXTS
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)
PROBLEMS = st.lists(st.fixed_dictionaries({"line": NUMBERS, "column": NUMBERS, "message": TEXTS, "file": TEXTS}))
REPORTS = st.fixed_dictionaries(
    {"reason": st.sampled_from(["", "exception", "exit", "policy", "memory_limit"]) | VALUES, "problems": PROBLEMS},
    optional={
        **dict.fromkeys(("exit_code", "line", "memory", "value", "exception", "unknown"), VALUES),
        "exception": st.fixed_dictionaries({"type": TEXTS, "message": TEXTS, "traceback": st.lists(TEXTS) | VALUES}),
    },
)
HEADS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("entries", "omitted", "made", "fault", "why", "size"), VALUES)
) | st.builds(lambda path, size: {"entries": [[path, size]]}, TEXTS, NUMBERS)
DEEP = b"[" * 100_000
ODD_BODIES = st.sampled_from(
    [
        b"",
        b"null",
        b"{",
        DEEP,
        b'{"a":' * 100_000,
        b"\xff\xfe{\x00}\x00",
        b'{"reason": NaN, "problems": []}',
        b"9" * 5000,
    ]
)


def written(value: object) -> bytes:
    """As JSON, with any number of digits."""
    return json.dumps(value, default=str).encode()


def bodies(values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    return (values | VALUES).map(written) | st.binary(max_size=60) | ODD_BODIES


@pytest.fixture(scope="module", autouse=True)
def _any_number_of_digits() -> Any:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)  # for what these tests write; what is read has a limit of its own
    yield
    sys.set_int_max_str_digits(before)


def assert_can_be_said(value: Result | FileAnswer) -> None:
    said = codec.encode(value)
    assert codec.decode(json.loads(json.dumps(said, ensure_ascii=False, allow_nan=False).encode())) == value


def assert_whole(value: int | None, least: int = 0) -> None:
    assert value is None or (type(value) is int and least <= value < 1 << 53)


@pytest.mark.fuzz
@given(bodies(REPORTS), st.sampled_from([Cause.REPORTED, Cause.CANCELLED, Cause.WALL_TIME]), st.binary(max_size=12))
@example(
    written({"reason": "exception", "problems": [], "exception": {"type": HALF, "message": HALF}}), Cause.REPORTED, b"1"
)
@example(b'{"reason": "", "problems": [], "line": true, "exit_code": true, "memory": true}', Cause.REPORTED, b"0")
@example(b'{"reason": "", "problems": [], "line": ' + b"9" * 4300 + b"}", Cause.REPORTED, b"9" * 400)
@example(b'{"reason": "", "problems": [], "line": 1e999, "memory": 1e999}', Cause.REPORTED, "²".encode())
def test_a_result_can_be_said_whatever_was_reported(body: bytes, cause: Cause, line: bytes) -> None:
    made = [CellTranscript(Cell("code"), Limits()), Transcript(Execution(""), Limits())]
    for transcript, end in zip(made, (EventType.CELL_DONE, EventType.RESULT), strict=True):
        transcript.take(Event(EventType.REPORT, 1, body))
        transcript.take(Event(EventType.LINE, 1, line))
        transcript.take(Event(end, 1, Outcome(cause, memory=(1 << 64) - 1).pack()))
        result = transcript.result()
        assert_can_be_said(result)
        assert len(result.problems) <= 100
        assert_whole(result.line, 1)
        assert_whole(result.exit_code)
        assert_whole(result.memory)


@pytest.mark.fuzz
@given(bodies(HEADS), st.binary(max_size=20))
@example(b'{"entries": [["a", Infinity]]}', b"")
@example(b'{"entries": [["a", 1e999]]}', b"")
@example(written({"entries": [[HALF, 1]]}), b"")
@example(written({"fault": HALF}), b"")
def test_an_answer_about_files_can_be_said_whatever_was_answered(head: bytes, rest: bytes) -> None:
    transcript = AnswerTranscript(Limits())
    transcript.take(Event(EventType.FILE, 1, record("", head) + rest))
    answer = transcript.take(Event(EventType.FILES_DONE, 1, Outcome(Cause.REPORTED).pack()))[0]
    assert_can_be_said(answer)
    assert all(entry.path and not entry.path.startswith("/") and entry.size >= 0 for entry in answer.entries)


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../up", "a/../b", "a//b", ".", "a\0b", HALF])
def test_a_list_that_names_a_file_outside_is_none(path: str) -> None:
    transcript = AnswerTranscript(Limits())
    transcript.take(Event(EventType.FILE, 1, record("", written({"entries": [["good", 1], [path, 1]]}))))
    assert transcript.take(Event(EventType.FILES_DONE, 1, Outcome(Cause.REPORTED).pack())) == [DISTURBED]


@pytest.mark.fuzz
@given(
    bodies(st.dictionaries(st.sampled_from(["protocol", "cgroup", "interfaces", "capabilities", "machine"]), VALUES))
)
@example(DEEP)
@example(written({"cgroup": {"memory": True, "cpus": 10**400, "processes": "1"}, "interfaces": [HALF, 3]}))
def test_an_introduction_holds_only_what_is_known_of_it(body: bytes) -> None:
    try:
        found = claims.introduction(body)
    except ClaimError:
        return
    json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    assert int(found.get("capabilities", "0"), 16) >= 0
    assert all(amount is None or amount >= 0 for amount in found.get("cgroup", {}).values())
    assert ", ".join(found.get("interfaces", [])) is not None
    assert "unknown" not in found


def test_what_a_supervisor_says_of_itself_stays() -> None:
    said = {
        "protocol": 5, "python": "3.13.1", "machine": "x86_64", "landlock": 6, "capabilities": "00000000000000e0",
        "cgroup": {"memory": 5 << 20, "cpus": 0.5, "processes": None}, "interfaces": ["lo"], "read_only_root": True,
    }  # fmt: skip
    assert claims.introduction(written({**said, "more": 1})) == said


def test_nothing_that_a_supervisor_says_is_dropped() -> None:
    """Else a layer of which the examination hears nothing could never be missing."""
    said = {name: value for name, value in describe(["numpy"], 0, ["/usr/lib"]).items() if value is not None}
    found = claims.introduction(written(said))
    assert found.keys() - {"read_only_root"} == said.keys() - {"read_only_root"}
    assert (found["not_preloaded"], found["shared"]) == (["numpy"], ["/usr/lib"])


@pytest.mark.parametrize(
    ("problem", "is_good"),
    [
        ({"line": 1, "column": 1, "message": "m"}, True),
        ({"line": True, "column": 1, "message": "m"}, False),
        ({"line": 0, "column": 1, "message": "m"}, False),
        ({"line": 1 << 31, "column": 1, "message": "m"}, False),
        ({"line": 1.0, "column": 1, "message": "m"}, False),
        ({"line": "1", "column": 1, "message": "m"}, False),
        ({"line": 1, "column": 1, "message": None}, False),
        ([1, 1, "m"], False),
    ],
)
def test_a_problem_has_a_place_and_a_message(problem: object, is_good: bool) -> None:
    body = written({"reason": "policy", "problems": [problem]})
    if is_good:
        assert report.read(body).reason is Reason.POLICY
    else:
        with pytest.raises(ReportError):
            report.read(body)


def test_of_a_list_without_end_there_is_a_beginning() -> None:
    problem = {"line": 1, "column": 1, "message": "m"}
    assert len(report.read(written({"reason": "policy", "problems": [problem] * 10_000})).problems) == 100
