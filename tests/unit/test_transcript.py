"""A transcript makes a result of whatever a sandbox says, also of nonsense."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_executor.core.codec import result_object
from code_executor.core.errors import SandboxError
from code_executor.core.limits import Limits
from code_executor.core.models import (
    Cell,
    Display,
    Execution,
    File,
    Output,
    Reason,
    Result,
    SourceProblem,
    Status,
    Waiting,
)
from code_executor.execution import transcript as module
from code_executor.execution.transcript import CellTranscript, Transcript
from sandbox_agent.contract.protocol import NO_SYSCALL, Cause, Event, EventType, Outcome, record

LIMITS = Limits(wall_time=30.0)
TRACEBACK = """Traceback (most recent call last):
  File "main.py", line 7, in <module>
    f()
  File "main.py", line 3, in f
    raise ValueError("x")
ValueError: x
"""


def transcript(**options: Any) -> Transcript:
    execution = Execution("", id="an-id", **options)
    return Transcript(execution, LIMITS.for_run(execution.timeout))


NOT_OF_A_RUN = {EventType.RESULT, EventType.READY, EventType.FATAL, EventType.CELL_DONE}
"""What a `Sandbox` ends a run for, or lets nobody else see."""


def event(kind: EventType, body: bytes | str = b"") -> Event:
    return Event(kind, 1, body.encode() if isinstance(body, str) else body)


def ended(transcript: Transcript, outcome: Outcome) -> Result:
    transcript.take(event(EventType.RESULT, outcome.pack()))
    return transcript.result()


def result_of(*events: Event, outcome: Outcome | None = None, **options: Any) -> Result:
    made = transcript(**options)
    for each in events:
        made.take(each)
    return ended(made, outcome or Outcome(Cause.COMPLETED))


def report(reason: str, *problems: tuple[int, int, str]) -> Event:
    listed = [dict(zip(("line", "column", "message"), problem, strict=True)) for problem in problems]
    return event(EventType.REPORT, json.dumps({"reason": reason, "problems": listed}))


# ---- text


def test_output_is_passed_on_at_once_and_kept() -> None:
    made = transcript()
    assert made.take(event(EventType.STDOUT, "one\n")) == [Output("stdout", "one\n")]
    assert made.take(event(EventType.STDERR, "two\n")) == [Output("stderr", "two\n")]
    assert made.take(event(EventType.STDOUT, "three")) == [Output("stdout", "three")]
    result = ended(made, Outcome(Cause.COMPLETED))
    assert (result.output, result.error) == ("one\nthree", "two")


def test_a_character_that_comes_in_two_pieces_is_one() -> None:
    made = transcript()
    first, second = "é".encode()[:1], "é".encode()[1:]
    assert made.take(event(EventType.STDOUT, b"caf" + first)) == [Output("stdout", "caf")]
    assert made.take(event(EventType.STDERR, "è")) == [Output("stderr", "è")]  # a stream of its own
    assert made.take(event(EventType.STDOUT, second)) == [Output("stdout", "é")]


def test_half_a_character_at_the_end_is_not_swallowed() -> None:
    made = transcript()
    assert made.take(event(EventType.STDOUT, b"\xf0\x9f")) == []
    last = made.take(event(EventType.RESULT, Outcome(Cause.COMPLETED).pack()))
    assert last == [Output("stdout", "\ufffd")]
    assert made.result().output == "\ufffd"


def test_bytes_that_are_no_text_become_replacement_characters() -> None:
    assert result_of(event(EventType.STDOUT, b"a\xff\xfeb\xc3(")).output == "a\ufffd\ufffdb\ufffd("


@pytest.mark.parametrize(
    ("written", "told"), [("a\n", "a"), ("a\n\n\n", "a\n\n"), ("\n", ""), ("a", "a"), ("a \r\n", "a \r")]
)
def test_of_the_newlines_that_end_stderr_one_is_left_out_and_of_stdouts_none(written: str, told: str) -> None:
    result = result_of(event(EventType.STDERR, written), event(EventType.STDOUT, written))
    assert (result.error, result.output) == (told, written)


def test_nul_and_control_characters_are_characters() -> None:
    assert result_of(event(EventType.STDOUT, b"\0\x1b[31m\r\n")).output == "\0\x1b[31m\r\n"


@pytest.mark.fuzz
@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=10))
def test_any_bytes_in_any_pieces_are_what_they_are_as_a_whole(data: bytes, cuts: list[int]) -> None:
    made = transcript()
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    passed = [output for a, b in pairwise(places) for output in made.take(event(EventType.STDOUT, data[a:b]))]
    passed += made.take(event(EventType.RESULT, Outcome(Cause.COMPLETED).pack()))
    assert "".join(output.data for output in passed if isinstance(output, Output)) == data.decode(errors="replace")
    assert made.result().output == data.decode(errors="replace")


# ---- the outcome


@pytest.mark.parametrize("cause", set(Cause) - {Cause.REPORTED})
def test_every_cause_is_a_reason(cause: Cause) -> None:
    result = result_of(outcome=Outcome(cause))
    assert result.reason is Reason[cause.name]
    assert result.status is Reason[cause.name].status


def test_the_numbers_are_those_of_the_outcome() -> None:
    outcome = Outcome(Cause.EXIT, exit_code=3, wall_us=1_234_567, cpu_us=2_500, memory=99, truncated=True)
    made = transcript()
    made.begin(queue_time=4.5, machine="x86_64")
    result = ended(made, outcome)
    assert result.id == "an-id"
    assert result.exit_code == 3
    assert (result.execution_time, result.cpu_time, result.queue_time) == (1234.567, 2.5, 4.5)
    assert (result.memory, result.truncated, result.signal) == (99, True, None)


@pytest.mark.parametrize(
    "cause", [Cause.WALL_TIME, Cause.OUTPUT_LIMIT, Cause.CANCELLED, Cause.INTERNAL, Cause.CPU_TIME]
)
def test_what_was_stopped_has_no_exit_code(cause: Cause) -> None:
    assert result_of(outcome=Outcome(cause)).exit_code is None


def test_what_died_of_a_signal_has_its_name_and_no_exit_code() -> None:
    result = result_of(outcome=Outcome(Cause.SIGNAL, signal=11))
    assert (result.signal, result.exit_code) == ("SIGSEGV", None)
    assert "segmentation fault" in result.error
    assert result_of(outcome=Outcome(Cause.MEMORY_LIMIT, signal=9)).exit_code is None


@pytest.mark.parametrize(
    ("machine", "number", "name"),
    [
        ("x86_64", 101, "ptrace"),
        ("aarch64", 117, "ptrace"),
        ("x86_64", 1, None),  # write: nobody is ended for it
        ("x86_64", NO_SYSCALL, None),
        ("x86_64", 1 << 31, None),
        ("None", 101, None),
        ("{}", 101, None),
    ],
)
def test_a_forbidden_call_has_its_name_on_the_machine_where_it_was_made(
    machine: str, number: int, name: str | None
) -> None:
    made = transcript()
    made.begin(0.0, machine)
    result = ended(made, Outcome(Cause.VIOLATION, signal=31, syscall=number))
    assert (result.syscall, result.signal) == (name, "SIGSYS")
    assert (name or "did something") in result.error


def test_the_sentence_follows_what_the_program_wrote() -> None:
    error = result_of(event(EventType.STDERR, "so far\n"), outcome=Outcome(Cause.WALL_TIME), timeout=5).error
    assert error == "so far\nExecution exceeded 5 second timeout"


def test_the_timeout_in_the_sentence_is_the_one_that_applied() -> None:
    assert "exceeded 30 second" in result_of(outcome=Outcome(Cause.WALL_TIME)).error
    assert "exceeded 30 second" in result_of(outcome=Outcome(Cause.WALL_TIME), timeout=99).error
    assert "exceeded 0.5 second" in result_of(outcome=Outcome(Cause.WALL_TIME), timeout=0.5).error


def test_a_sandbox_that_broke_is_our_failure_and_the_output_is_kept() -> None:
    made = transcript()
    made.begin(0.0, "x86_64")
    made.take(event(EventType.STDOUT, "before"))
    made.fail(Cause.INTERNAL)
    result = made.result()
    assert (result.reason, result.status, result.output) == (Reason.INTERNAL, Status.ERROR, "before")
    assert "safe to try again" in result.error


def test_the_time_of_a_run_that_broke_is_counted_from_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([100.0, 107.0, 109.5])  # made, begun, broken
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(now)))
    made = transcript()
    made.begin(7000.0, "x86_64")
    made.fail(Cause.WALL_TIME)
    assert (made.result().execution_time, made.result().queue_time) == (2500.0, 7000.0)


def test_a_run_that_never_came_to_an_end_is_our_failure() -> None:
    assert transcript().result().reason is Reason.INTERNAL


def test_a_result_that_is_none_is_the_sandboxs_failure() -> None:
    with pytest.raises(SandboxError, match="malformed"):
        transcript().take(event(EventType.RESULT, b"short"))


# ---- where it went wrong


@pytest.mark.parametrize("cause", [Cause.EXCEPTION, Cause.MEMORY_LIMIT, Cause.SIGNAL])
def test_the_line_is_the_one_that_the_child_told(cause: Cause) -> None:
    told = [event(EventType.STDERR, TRACEBACK), event(EventType.LINE, "1020")]
    result = result_of(*told, outcome=Outcome(cause, 1))
    assert (result.line, result.column) == (1020, None)


@pytest.mark.parametrize("body", ["", "x", "-1", "1" * 10, "\u0661", "1 2"])
def test_what_is_no_line_is_none(body: str) -> None:
    assert result_of(event(EventType.LINE, body), outcome=Outcome(Cause.EXCEPTION, 1)).line is None


def test_a_run_that_completed_has_no_line() -> None:
    assert result_of(event(EventType.LINE, "3"), outcome=Outcome(Cause.COMPLETED)).line is None


@pytest.mark.parametrize("cause", [Cause.COMPLETED, Cause.EXIT, Cause.WALL_TIME, Cause.CANCELLED])
def test_a_traceback_of_a_program_that_went_on_is_not_where_it_went_wrong(cause: Cause) -> None:
    assert result_of(event(EventType.STDERR, TRACEBACK), outcome=Outcome(cause)).line is None


def test_an_exception_without_a_traceback_has_no_line() -> None:
    assert result_of(event(EventType.STDERR, "oops\n"), outcome=Outcome(Cause.EXCEPTION, 1)).line is None


# ---- reports


def test_a_refusal_is_a_policy_error_with_every_problem() -> None:
    result = result_of(report("policy", (2, 8, "No os."), (3, 1, "No open.")), outcome=Outcome(Cause.REPORTED, 1))
    assert (result.reason, result.exit_code) == (Reason.POLICY, 1)
    assert result.problems == (SourceProblem(2, 8, "No os."), SourceProblem(3, 1, "No open."))
    assert (result.line, result.column) == (2, 8)
    assert result.error == "Line 2, column 8: No os.\nLine 3, column 1: No open."
    assert result_of(report("policy", (1, 1, "  File")), outcome=Outcome(Cause.REPORTED, 1)).error.startswith("Line 1")


def test_a_syntax_error_is_told_as_python_tells_it() -> None:
    text = '  File "main.py", line 1\n    x = = 1\n        ^\nSyntaxError: invalid syntax'
    result = result_of(report("syntax", (1, 5, text)), outcome=Outcome(Cause.REPORTED, 1))
    assert (result.reason, result.error, result.line, result.column) == (Reason.SYNTAX, text, 1, 5)


def test_a_check_without_problems_is_a_success() -> None:
    result = result_of(report(""), outcome=Outcome(Cause.REPORTED))
    assert (result.reason, result.error, result.problems) == (Reason.COMPLETED, "", ())


def test_a_report_may_come_in_pieces() -> None:
    body = report("policy", (1, 1, "No é.")).body
    pieces = [event(EventType.REPORT, body[at : at + 1]) for at in range(len(body))]
    assert result_of(*pieces, outcome=Outcome(Cause.REPORTED, 1)).reason is Reason.POLICY


def test_a_report_counts_only_where_the_supervisor_says_that_there_is_one() -> None:
    assert result_of(report("policy", (1, 1, "x")), outcome=Outcome(Cause.COMPLETED)).reason is Reason.COMPLETED


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"{}",
        b'{"reason": "policy"}',
        b'{"reason": "other", "problems": []}',
        b'{"reason": [], "problems": []}',
        b'{"reason": "policy", "problems": 1}',
        b'{"reason": "policy", "problems": [1]}',
        b'{"reason": "policy", "problems": ["line"]}',
        b'{"reason": "policy", "problems": [{"line": "x", "column": 1, "message": ""}]}',
        b'{"reason": "policy", "problems": [{"line": Infinity, "column": 1, "message": ""}]}',
        b'{"reason": "policy", "problems": [{"line": NaN, "column": 1, "message": ""}]}',
        b'{"reason": "policy", "problems": [{"line": ' + b"9" * 5000 + b', "column": 1, "message": ""}]}',
        b"[" * 100_000,
        b'{"reason": ' * 100_000,
    ],
)
def test_a_report_that_is_none_is_our_failure(body: bytes) -> None:
    result = result_of(event(EventType.REPORT, body), outcome=Outcome(Cause.REPORTED, 1))
    assert result.reason is Reason.INTERNAL
    assert result.problems == ()


def test_a_missing_report_is_our_failure() -> None:
    assert result_of(outcome=Outcome(Cause.REPORTED, 1)).reason is Reason.INTERNAL


# ---- what comes beside the output


def test_waiting_is_passed_on() -> None:
    assert transcript().take(event(EventType.WAITING)) == [Waiting()]


def test_pictures_are_passed_on_and_kept_in_order() -> None:
    body = record("image/png", b"one") + record("text/html", b"two")
    made = transcript()
    shown = [*made.take(event(EventType.DISPLAY, body[:20])), *made.take(event(EventType.DISPLAY, body[20:]))]
    assert shown == [Display("image/png", b"one"), Display("text/html", b"two")]
    assert ended(made, Outcome(Cause.COMPLETED)).displays == tuple(shown)


@pytest.mark.parametrize("media_type", ["text/javascript", "image/svg", "", "../x"])
def test_what_a_page_could_not_show_safely_is_dropped(media_type: str) -> None:
    assert result_of(event(EventType.DISPLAY, record(media_type, b"x"))).displays == ()


def test_files_that_come_are_told_and_those_that_do_not_are_counted() -> None:
    made = transcript(files=(File("changed", b"1"),))
    told = made.take(event(EventType.FILE, record("", b"9") + record("changed", b"2") + record("new/file", b"3")))
    result = ended(made, Outcome(Cause.COMPLETED))
    assert tuple(told) == result.files == (File("changed", b"2"), File("new/file", b"3"))
    assert result.files_omitted == 7


def test_files_are_omitted_only_where_that_is_said() -> None:
    assert result_of(event(EventType.FILE, record("a", b"1"))).files_omitted == 0
    assert result_of(event(EventType.FILE, record("", b"9" * 9))).files_omitted == 999_999_999
    assert result_of(event(EventType.FILE, record("", b"1") + record("a", b"") + record("b", b""))).files_omitted == 0


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a/../../up", "a//b", "./a", ".."])
def test_a_file_outside_of_the_box_is_no_file(path: str) -> None:
    assert result_of(event(EventType.FILE, record(path, b"x"))).files == ()


@pytest.mark.parametrize("count", [b"", b"x", b"-1", b"9" * 10, b"9" * 400, "²".encode()])
def test_a_count_of_omitted_files_that_is_none_is_nothing(count: bytes) -> None:
    assert result_of(event(EventType.FILE, record("", count))).files_omitted == 0


def test_more_than_was_allowed_is_dropped_whatever_the_sandbox_sends() -> None:
    small = Transcript(Execution(""), replace(LIMITS, attachments=100))
    for _ in range(100):
        small.take(event(EventType.FILE, record("f", bytes(1000))))
    assert len(ended(small, Outcome(Cause.COMPLETED)).files) <= 5


@pytest.mark.fuzz
@given(
    st.lists(
        st.builds(
            event,
            st.sampled_from(sorted(set(EventType) - NOT_OF_A_RUN)),
            st.binary(max_size=60) | st.builds(record, st.text(max_size=9), st.binary(max_size=9)),
        ),
        max_size=8,
    ),
    st.sampled_from(Cause),
)
def test_whatever_a_sandbox_says_there_is_a_result(events: list[Event], cause: Cause) -> None:
    result = result_of(*events, outcome=Outcome(cause))
    assert result.reason is (Reason.INTERNAL if cause is Cause.REPORTED else Reason[cause.name])


def reports() -> st.SearchStrategy[object]:
    """What a child may report of a cell, and what a program may put in its place."""
    odd = st.none() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False)
    reasons = st.sampled_from(["", "exception", "exit", "policy", "syntax", "memory_limit", "internal", "wall_time"])
    problem = st.fixed_dictionaries({"line": odd, "column": odd, "message": odd})
    fields = {"reason": reasons | odd, "problems": st.lists(problem, max_size=2) | odd, "exit_code": odd, "line": odd}
    return st.fixed_dictionaries(fields, optional={"memory": odd}) | odd


@given(
    st.lists(st.binary(max_size=40) | st.builds(lambda value: json.dumps(value).encode(), reports()), max_size=2),
    st.sampled_from([Cause.REPORTED, Cause.CANCELLED, Cause.WALL_TIME, Cause.INPUT_TIME]),
)
def test_whatever_a_cell_reports_the_service_has_not_failed(said: list[bytes], cause: Cause) -> None:
    transcript = CellTranscript(Cell("code", id="a-cell"), Limits())
    for body in said:
        transcript.take(event(EventType.REPORT, body))
    transcript.take(event(EventType.CELL_DONE, Outcome(cause, wall_us=1500).pack()))
    result = transcript.result()
    assert (result.id, result.execution_time) == ("a-cell", 1.5)
    assert result.reason is not Reason.INTERNAL
    assert result_object(result)["memory"] >= 0
