"""What a learner is told: a status for every cause, and a sentence where the program did not say it itself."""

from __future__ import annotations

import platform
import signal

import pytest

from sandbox_agent import oneshot
from sandbox_agent.contract import verdict, wording
from sandbox_agent.contract.limits import Limits
from sandbox_agent.contract.protocol import Cause, Outcome
from sandbox_agent.contract.syscall_numbers import COLUMNS, NUMBERS
from sandbox_agent.contract.verdict import Reason

LIMITS = Limits(wall_time=5.0)

SENTENCES = {
    Reason.WALL_TIME: "Execution exceeded 5 second timeout",
    Reason.CPU_TIME: "Your program used more than the 30 seconds of processor time it may use.",
    Reason.INPUT_TIME: "Your program waited too long for input.",
    Reason.MEMORY_LIMIT: "Your program used more than the 512 MB of memory it may use.",
    Reason.OUTPUT_LIMIT: "Your program wrote more than the 1 MB it may write; only the beginning is kept.",
    Reason.PROCESS_LIMIT: "Your program started more than the 37 processes and threads it may have at once.",
    Reason.DISK_LIMIT: "Your program filled the 64 MB of disk that it may use.",
    Reason.VIOLATION: "Your program was stopped because it did something that no program may do here.",
    Reason.CANCELLED: "The run was cancelled.",
    Reason.INTERNAL: "The service failed while it ran your program. It is not your fault, and it is safe to try again.",
    Reason.COMPLETED: "",
    Reason.EXCEPTION: "",
    Reason.EXIT: "",
    Reason.SYNTAX: "",
    Reason.POLICY: "",
}


@pytest.mark.parametrize("reason", SENTENCES)
def test_a_reason_has_its_sentence(reason: Reason) -> None:
    assert verdict.explain(reason, LIMITS) == SENTENCES[reason]


def test_a_violation_is_called_by_its_name_where_that_is_known() -> None:
    sentence = verdict.explain(Reason.VIOLATION, LIMITS, syscall="ptrace")
    assert sentence == "Your program was stopped because it called ptrace, which no program may do here."


@pytest.mark.skipif(platform.machine() not in COLUMNS, reason="no filter here")
def test_the_image_by_itself_says_so_too() -> None:
    number = NUMBERS["mount"][COLUMNS[platform.machine()]]
    record = oneshot.RunRecord(Outcome(Cause.VIOLATION, signal=31, syscall=number or 0))
    said = record.error(record.told(), LIMITS)
    assert said == "Your program was stopped because it called mount, which no program may do here."


def test_every_reason_has_a_sentence_or_says_it_itself() -> None:
    assert set(SENTENCES) | {Reason.SIGNAL} == set(Reason)


def test_a_fraction_of_a_second_is_one() -> None:
    assert verdict.explain(Reason.WALL_TIME, Limits().for_run(0.25)) == "Execution exceeded 0.25 second timeout"


def test_every_cause_is_a_reason_but_that_which_the_report_says() -> None:
    assert set(verdict.REASONS) == set(Cause) - {Cause.REPORTED}
    assert all(reason.name == cause.name for cause, reason in verdict.REASONS.items())


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGSEGV, "segmentation fault"),
        (signal.SIGABRT, "abort"),
        (signal.SIGBUS, "bus error"),
        (signal.SIGFPE, "arithmetic"),
        (signal.SIGILL, "instruction"),
        (signal.SIGKILL, "SIGKILL"),
        (signal.SIGRTMIN + 3, f"signal {signal.SIGRTMIN + 3}"),
    ],
)
def test_a_death_by_signal_is_explained(number: int, words: str) -> None:
    sentence = verdict.explain(Reason.SIGNAL, LIMITS, signal=number)
    assert words in sentence
    assert sentence.startswith("Your program ")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1 KB"),
        (1536, "1.5 KB"),
        (1 << 20, "1 MB"),
        (100_000, "97.7 KB"),
        (512 << 20, "512 MB"),
        (1 << 30, "1 GB"),
        (3 << 29, "1.5 GB"),
    ],
)
def test_a_size_is_told_in_the_largest_unit(value: int, text: str) -> None:
    assert wording.size(value) == text


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x = '\0'", "null character"),
        ("x = '\ud800'", "not valid Unicode"),
        ("-" * 100_000 + "1", "too large or too deeply nested"),
    ],
)
def test_what_cannot_be_compiled_is_explained(source: str, words: str) -> None:
    with pytest.raises((ValueError, RecursionError, MemoryError, SyntaxError)) as caught:
        compile(source, "main.py", "exec")
    assert words in wording.uncompilable(caught.value)


def test_what_else_cannot_be_compiled_is_quoted() -> None:
    assert wording.uncompilable(ValueError("odd")) == "The program could not be compiled: odd"
