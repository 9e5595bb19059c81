"""From what a sandbox says about a run to the events and the result that a caller gets."""

from __future__ import annotations

import codecs
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import structlog

from code_executor.core.cells import CellTurn
from code_executor.core.limits import Limits, RunLimits
from code_executor.core.models import (
    SHOWN,
    Cell,
    CellDone,
    Display,
    Event,
    Execution,
    File,
    Output,
    Reason,
    Result,
    Waiting,
)
from code_executor.execution.answers import AnswerTranscript
from code_executor.sandbox.conversation import outcome_of
from sandbox_agent.contract import claims, protocol, report, verdict, wording
from sandbox_agent.contract.protocol import Cause, EventType, Outcome, RecordReader
from sandbox_agent.contract.report import Report, ReportError

log = structlog.get_logger()

_STREAMS = {EventType.STDOUT: "stdout", EventType.STDERR: "stderr"}
_SLACK = 4096
_MOST_SHOWN = 10_000
"""Displays of one run. A program can show as many bytes as its limit has, but an empty one costs 500 bytes here."""

_EXITED = frozenset(
    {
        Reason.COMPLETED,
        Reason.EXCEPTION,
        Reason.EXIT,
        Reason.SYNTAX,
        Reason.POLICY,
        Reason.MEMORY_LIMIT,
        Reason.PROCESS_LIMIT,
        Reason.DISK_LIMIT,
    }
)
"""Reasons with which a program ends by itself, and so has an exit code (unless a signal came with them)."""


class Transcript:
    """Collects what a run says and makes its result. ``limits``: those of the run."""

    def __init__(self, execution: Execution | Cell, limits: Limits) -> None:
        self.id = execution.id
        self._environment = execution.environment if isinstance(execution, Execution) else ""
        self._limits = limits
        self._asked = execution if isinstance(execution, Execution) else None
        self._raw: dict[str, list[bytes]] = {}  # filled if it is asked for
        if self._asked is not None and self._asked.raw:
            self._raw = {"stdout": [], "stderr": []}
        self._text: dict[str, list[str]] = {"stdout": [], "stderr": []}
        # bytes may be cut anywhere, also in the middle of a character; what is no UTF-8 becomes U+FFFD
        self._decoders = {name: codecs.getincrementaldecoder("utf-8")("replace") for name in self._text}
        self._report = bytearray()
        self._line: int | None = None
        self._records = {
            kind: RecordReader(limits.attachments + _SLACK) for kind in (EventType.DISPLAY, EventType.FILE)
        }
        self._displays: list[Display] = []
        self._files: list[File] = []
        self._files_left = 0
        self._outcome = Outcome(Cause.INTERNAL)
        self._queue_time = 0.0
        self._machine = ""
        self._began = time.monotonic()

    def begin(self, queue_time: float, machine: str, began: float | None = None) -> None:
        """It has a sandbox, on such a ``machine``, which it waited for ``queue_time`` milliseconds.

        ``began``: when (of ``time.monotonic``), if not now.
        """
        self._queue_time = queue_time
        self._machine = machine
        self._began = time.monotonic() if began is None else began

    def take(self, event: protocol.Event) -> Sequence[Event]:
        """Note one event of the sandbox; return what of it is for the caller now."""
        if event.type is EventType.RESULT:
            self._outcome = outcome_of(event)
            return self._flush()
        if event.type is EventType.REPORT:
            self._report += event.body
            return []
        if event.type is EventType.LINE:
            self._line = claims.digits(event.body) or None
            return []
        if event.type is EventType.WAITING:
            return [Waiting()]
        if event.type is EventType.DISPLAY:
            return self._note_displays(event.body)
        if event.type is EventType.FILE:
            return self._note_files(event.body)
        if event.type not in _STREAMS:
            return []  # the end of something that was not asked for
        name = _STREAMS[event.type]
        text = self._decoders[name].decode(event.body)
        if self._raw:
            self._raw[name].append(event.body)
            self._text[name].append(text)
            return [Output(name, text, event.body)]
        return self._note(name, text)

    def _note_displays(self, body: bytes) -> list[Display]:
        records = self._records[EventType.DISPLAY].feed(body)
        room = _MOST_SHOWN - len(self._displays)
        shown = [Display(record.name, record.data) for record in records if record.name in SHOWN][:room]
        self._displays += shown
        return shown

    def _note_files(self, body: bytes) -> list[File]:
        """Note the files that the run left; their paths are the program's choice."""
        found = []
        for path, data in self._records[EventType.FILE].feed(body):
            if not path:
                self._files_left = claims.digits(data) or 0
            elif claims.relative(path, len(path)) is None:
                log.warning("file_outside_the_box", execution=self.id)  # no agent names one so
            else:
                found.append(File(path, data))
        self._files += found
        return found

    def fail(self, cause: Cause, number: int = 0) -> None:
        """The sandbox did not get as far as a result of its own. ``number``: of the signal that the run died of."""
        wall_us = int((time.monotonic() - self._began) * 1e6)
        self._outcome = Outcome(cause, signal=number, wall_us=wall_us)

    def _flush(self) -> list[Output]:
        return [
            output
            for name, decoder in self._decoders.items()
            for output in self._note(name, decoder.decode(b"", final=True))
        ]

    def _note(self, name: str, text: str) -> list[Output]:
        if not text:
            return []
        self._text[name].append(text)
        return [Output(name, text)]

    def ending(self) -> list[Event]:
        """Return what is to be said at the end."""
        return [self.result()]

    def result(self) -> Result:
        """Put the result together."""
        outcome = self._outcome
        told = self._told()
        reason = told.reason
        sentence = report.describe(told.problems, reason) or verdict.explain(
            reason, self._limits, signal=outcome.signal, syscall=self._syscall()
        )
        output, complaint, asked = self._told_of()
        first = next((problem for problem in told.problems if not problem.file), None)
        exited = reason in _EXITED and not outcome.signal
        return Result(
            id=self.id,
            reason=reason,
            output=output,
            error=report.error_text(complaint, sentence),
            exit_code=outcome.exit_code if exited else None,
            signal=wording.signal_name(outcome.signal) if outcome.signal else None,
            syscall=self._syscall(),
            execution_time=outcome.wall_us / 1000,
            queue_time=self._queue_time,
            cpu_time=outcome.cpu_us / 1000,
            memory=min(outcome.memory, claims.LARGEST - 1),
            truncated=outcome.truncated,
            line=first.line if first else self._line if reason not in (Reason.COMPLETED, Reason.CANCELLED) else None,
            column=first.column if first else None,
            problems=told.problems,
            displays=tuple(self._displays),
            files=tuple(self._files),
            files_omitted=max(0, self._files_left - len(self._files)),
            **asked,
            environment=self._environment,
        )

    def _told_of(self) -> tuple[str, str, dict[str, Any]]:
        """Return what the result has of stdout and of stderr, and those of its fields that were asked for."""
        output, complaint = ("".join(self._text[name]) for name in ("stdout", "stderr"))
        asked = self._asked
        if asked is None or (asked.limits is None and asked.excerpt is None and not self._raw):
            return output, complaint, {}
        fields: dict[str, Any] = {name: b"".join(pieces) for name, pieces in self._raw.items()}
        if asked.limits is not None:
            fields["limits"] = RunLimits.of(self._limits)
        if asked.excerpt is not None:
            output, of_output = asked.excerpt.of(output)
            complaint, of_complaint = asked.excerpt.of(complaint)
            fields["left_out"] = of_output, of_complaint
        return output, complaint, fields

    def _told(self) -> Report:
        """Return why the run ended: the supervisor's word, or the child's report where that has the say."""
        if self._outcome.cause is not Cause.REPORTED:
            return Report(verdict.REASONS[self._outcome.cause])
        try:
            return report.read(bytes(self._report))
        except ReportError as error:
            log.warning("report_malformed", execution=self.id, why=str(error))
            return Report(Reason.INTERNAL)

    def _syscall(self) -> str | None:
        number = self._outcome.syscall
        return verdict.forbidden_call(self._machine, number) if number != protocol.NO_SYSCALL else None


class CellTranscript(Transcript):
    """Collects what a cell says.

    What came of it is in the child's report, which the program can forge: it then lies to whoever wrote it, and about
    nothing but which of a cell's own ends this is.
    """

    def take(self, event: protocol.Event) -> Sequence[Event]:
        if event.type is not EventType.CELL_DONE:
            return super().take(event)
        self._outcome = outcome_of(event)
        caught = self._outcome.cause is Cause.CANCELLED and self._read().reason is Reason.COMPLETED
        if caught:  # the interrupt, or it came too late
            self._outcome = replace(self._outcome, cause=Cause.REPORTED)
        return self._flush()

    def result(self) -> Result:
        result, told = super().result(), self._read()
        return replace(
            result,
            exit_code=told.exit_code if result.exit_code is not None else None,
            line=result.line if result.problems else told.line,
            memory=result.memory or told.memory or 0,
            value=told.value,
            exception=told.exception,
        )

    def _told(self) -> Report:
        return self._read() if self._outcome.cause is Cause.REPORTED else super()._told()

    def _read(self) -> Report:
        try:
            return report.read(bytes(self._report), cell=True)
        except ReportError:
            return Report(Reason.EXCEPTION)


class SessionTranscript(Transcript):
    """Collects what a session says: a transcript for each cell, and its own for the end. ``turn``: which cell runs."""

    def __init__(self, execution: Execution, limits: Limits, turn: CellTurn) -> None:
        super().__init__(execution, limits)
        self._turn = turn
        self._cell: CellTranscript | None = None
        self._cell_number = 0
        self._answer = AnswerTranscript(limits)

    def take(self, event: protocol.Event) -> Sequence[Event]:
        cell = self._cell_transcript()
        if event.type is EventType.CELL_DONE and cell is not None:
            self._cell = None
            return [*cell.take(event), CellDone(cell.result())]
        if cell is None and event.type in (EventType.FILE, EventType.FILES_DONE):
            return self._answer.take(event)
        if event.type is EventType.RESULT or cell is None:
            super().take(event)
        return cell.take(event) if cell is not None else []

    def fail(self, cause: Cause, number: int = 0) -> None:
        super().fail(cause, number)
        cell = self._cell_transcript()
        if cell is not None:
            cell.fail(cause, number)

    def ending(self) -> list[Event]:
        cell = self._cell_transcript()
        return [CellDone(cell.result()), self.result()] if cell is not None else [self.result()]

    def _cell_transcript(self) -> CellTranscript | None:
        """Return the transcript of the cell that runs, or whose end is to be told; None where there is none."""
        turn = self._turn
        if turn.cell is not None and turn.count != self._cell_number:
            self._cell_number = turn.count
            self._cell = CellTranscript(turn.cell, turn.limits)
            self._cell.begin(0.0, self._machine, turn.began)
        return self._cell
