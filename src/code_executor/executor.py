"""The data path: an execution goes in, events come out, and the last of them is the result.

    lease a warm sandbox ─ send it the execution ─ pass on what it writes ─ make the result ─ give the sandbox back

There is this one path. HTTP, the command line, the library and the tests all come through `Executor.stream`; `run` is
the same, drained. Whoever observes (metrics, logs) does so from outside, by wrapping an executor in another.

What a program does wrong is a value (`Result`); what we do wrong is an exception, except that output which a program
has already written is never thrown away: a sandbox that breaks under a run yields a result with reason ``internal``,
or ``memory_limit`` where the run's memory took the sandbox along.
"""

from __future__ import annotations

import codecs
import json
import re
import signal
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Protocol

import structlog

from code_executor.errors import SandboxError
from code_executor.models import (
    Cell,
    CellDone,
    Display,
    Event,
    Execution,
    File,
    Input,
    Limits,
    Output,
    Problem,
    Reason,
    Result,
    Started,
    Waiting,
)
from code_executor.sandbox.base import MuteSandboxError, Sandbox, outcome_of
from code_executor.sandbox.pool import Pool
from sandbox_agent import protocol, verdict, wording
from sandbox_agent.protocol import Cause, EventType, Outcome, RecordReader

log = structlog.get_logger()

_STREAMS = {EventType.STDOUT: "stdout", EventType.STDERR: "stderr"}


class Runner(Protocol):
    """What runs executions: the executor, or anything that wraps one."""

    @property
    def limits(self) -> Limits: ...

    def stream(self, execution: Execution, inputs: AsyncIterator[Input] | None = None) -> AsyncGenerator[Event, None]:
        """Run; yield `Started`, then what comes as it comes and, last, the `Result`. Closing it stops the run.

        With ``inputs`` the run is interactive: it is fed with them and yields `Waiting` when it waits for stdin.
        A session's are its cells, and what they read; after each it yields `CellDone`.
        """


async def run(runner: Runner, execution: Execution) -> Result:
    """Run to the end and return the result. Cancelling stops the run."""
    return await result_of(runner.stream(execution))


async def result_of(run: AsyncGenerator[Event, None]) -> Result:
    """Take a run's events to the end and return its result. Cancelling stops the run."""
    async with aclosing(run) as events:
        async for event in events:
            if isinstance(event, Result):
                return event
    raise SandboxError("the run ended without a result")


class Executor:
    """Runs executions on the sandboxes of pools, which must be open for as long as it is used.

    The sandboxes of a second pool have the modules ``preloaded`` imported, for the programs that name one of them;
    forking such a sandbox costs a multiple. Taking one of the wrong kind costs time and nothing else.
    """

    def __init__(self, pools: Sequence[Pool], limits: Limits, *, preloaded: Collection[str] = ()) -> None:
        self.pools = tuple(pools)
        self.limits = limits
        self._preloaded = re.compile(rf"\b(?:{'|'.join(map(re.escape, preloaded))})\b")

    @property
    def pool(self) -> Pool:
        """The first pool, whose sandboxes have nothing preloaded."""
        return self.pools[0]

    def __repr__(self) -> str:
        return f"<Executor on {self.pool!r}>"

    async def run(self, code: str | Execution, **options: object) -> Result:
        """Run ``code`` and return its result; ``options`` are the other fields of `Execution`."""
        return await run(self, code if isinstance(code, Execution) else Execution(code, **options))  # type: ignore[arg-type]

    async def stream(
        self, execution: Execution, inputs: AsyncIterator[Input] | None = None
    ) -> AsyncGenerator[Event, None]:
        """Run, as `Runner.stream` says.

        Raises ``PoolBusyError`` or ``PoolClosedError`` when no sandbox is to be had.
        """
        asked = time.monotonic()
        transcript = Transcript(execution, self.limits)
        if execution.session and inputs is not None:
            transcript = session = SessionTranscript(execution, self.limits)
            inputs = session.note(inputs)
        async with self._pool_for(execution).lease() as sandbox:
            queue_time = (time.monotonic() - asked) * 1000
            transcript.begin(queue_time, str(sandbox.introduction.get("machine")))
            yield Started(execution.id, queue_time)
            try:
                async with aclosing(self._relay(sandbox, execution, inputs, transcript)) as events:
                    async for event in events:
                        yield event
            finally:
                if execution.session:
                    sandbox.lost("it had a session")
        for event in transcript.ending():
            yield event

    def _pool_for(self, execution: Execution) -> Pool:
        """Choose by a look at the source; for a plain program, either kind that is free beats waiting.

        What a session will import is not known, and it lives long enough to be worth the larger one.
        """
        plain, *loaded = self.pools
        if not loaded:
            return plain
        if execution.session or self._preloaded.search(execution.code):
            return loaded[0] if loaded[0].ready else plain
        return loaded[0] if loaded[0].book.idle and not plain.book.idle else plain

    async def _relay(
        self, sandbox: Sandbox, execution: Execution, inputs: AsyncIterator[Input] | None, transcript: Transcript
    ) -> AsyncGenerator[Event, None]:
        try:
            async with aclosing(sandbox.run(execution, inputs)) as events:
                async for event in events:
                    for each in transcript.take(event):
                        yield each
        except MuteSandboxError as error:
            log.warning("sandbox_mute", execution=execution.id, why=str(error))
            sandbox.lost(str(error))
            transcript.fail(Cause.WALL_TIME)  # true all the same: the run did not end within its time
        except SandboxError as error:
            sandbox.lost(str(error))
            if await sandbox.ran_out_of_memory():
                log.info("sandbox_out_of_memory", execution=execution.id)
                transcript.fail(Cause.MEMORY_LIMIT, signal.SIGKILL)
            else:
                log.warning("sandbox_broke", execution=execution.id, why=str(error))
                transcript.fail(Cause.INTERNAL)


class Transcript:
    """Collects what a run says and makes its result."""

    def __init__(self, execution: Execution | Cell, limits: Limits) -> None:
        self._execution = execution
        self._limits = limits
        self._text: dict[str, list[str]] = {"stdout": [], "stderr": []}
        # bytes may be cut anywhere, also in the middle of a character; what is no UTF-8 becomes U+FFFD
        self._decoders = {name: codecs.getincrementaldecoder("utf-8")("replace") for name in self._text}
        self._report = bytearray()
        self._records = {
            kind: RecordReader(limits.attachments + _SLACK) for kind in (EventType.DISPLAY, EventType.FILE)
        }
        self._displays: list[Display] = []
        self._files: list[File] = []
        self._files_omitted = 0
        self._given = {file.path: file.data for file in getattr(execution, "files", ())}
        self._outcome = Outcome(Cause.INTERNAL)
        self._queue_time = 0.0
        self._machine = ""
        self._began = time.monotonic()

    def begin(self, queue_time: float, machine: str) -> None:
        """It has a sandbox, on such a ``machine``, which it waited for ``queue_time`` milliseconds."""
        self._queue_time = queue_time
        self._machine = machine
        self._began = time.monotonic()

    def take(self, event: protocol.Event) -> Sequence[Event]:
        """Note one event of the sandbox; return what of it is for the caller now."""
        if event.type is EventType.RESULT:
            self._outcome = outcome_of(event)
            return self._flush()
        if event.type is EventType.REPORT:
            self._report += event.body
            return []
        if event.type is EventType.WAITING:
            return [Waiting()]
        if event.type is EventType.DISPLAY:
            return self._note_displays(event.body)
        if event.type is EventType.FILE:
            return self._note_files(event.body)
        name = _STREAMS[event.type]
        text = self._decoders[name].decode(event.body)
        return self._note(name, text)

    def _note_displays(self, body: bytes) -> list[Display]:
        records = self._records[EventType.DISPLAY].feed(body)
        shown = [Display(record.name, record.data) for record in records if record.name in _SHOWN]
        self._displays += shown
        return shown

    def _note_files(self, body: bytes) -> list[File]:
        """Note the files that are new or not what they were; their paths are the program's choice."""
        found = []
        for path, data in self._records[EventType.FILE].feed(body):
            if not path:
                self._files_omitted = int(data) if data.isdigit() and len(data) < _DIGITS else 0
            elif {"", ".", ".."}.intersection(path.split("/")):
                log.warning("file_outside_the_box", execution=self._execution.id)  # no agent names one so
            elif self._given.get(path) != data:
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
        reason = Reason(outcome.cause.name.lower()) if outcome.cause is not Cause.REPORTED else Reason.INTERNAL
        problems: tuple[Problem, ...] = ()
        if outcome.cause is Cause.REPORTED:
            reason, problems = self._read_report()
        output = "".join(self._text["stdout"])
        error = "".join(self._text["stderr"]).removesuffix("\n")
        sentence = "\n".join(_line(problem, reason) for problem in problems) or self._explain(reason)
        if sentence:
            error = f"{error}\n{sentence}" if error else sentence
        line, column = (problems[0].line, problems[0].column) if problems else (_traceback_line(error, reason), None)
        exited = reason in _EXITED and not outcome.signal
        return Result(
            id=self._execution.id,
            reason=reason,
            output=output,
            error=error,
            exit_code=outcome.exit_code if exited else None,
            signal=wording.signal_name(outcome.signal) if outcome.signal else None,
            syscall=self._syscall(),
            execution_time=outcome.wall_us / 1000,
            queue_time=self._queue_time,
            cpu_time=outcome.cpu_us / 1000,
            memory=outcome.memory,
            truncated=outcome.truncated,
            line=line,
            column=column,
            problems=problems,
            displays=tuple(self._displays),
            files=tuple(self._files),
            files_omitted=self._files_omitted,
        )

    def _read_report(self) -> tuple[Reason, tuple[Problem, ...]]:
        """Read the child's report: written before the program's first instruction, but bounded and checked."""
        try:
            report = json.loads(self._report)
            problems = tuple(Problem(int(p["line"]), int(p["column"]), str(p["message"])) for p in report["problems"])
            return _REPORTED[report["reason"]], problems
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            log.warning("report_malformed", execution=self._execution.id, why=str(error))
            return Reason.INTERNAL, ()

    def _syscall(self) -> str | None:
        number = self._outcome.syscall
        return verdict.forbidden_call(self._machine, number) if number != protocol.NO_SYSCALL else None

    def _explain(self, reason: Reason) -> str:
        limits = self._limits
        return verdict.explain(
            Cause[reason.name] if reason.name in Cause.__members__ else Cause.REPORTED,
            signal=self._outcome.signal,
            syscall=self._syscall(),
            wall_time=min(self._execution.timeout or limits.wall_time, limits.wall_time),
            cpu_time=limits.cpu_time,
            memory=limits.memory,
            output=limits.output,
            processes=limits.processes,
            disk=limits.disk,
        )


class CellTranscript(Transcript):
    """Collects what a cell says.

    What came of it is in the child's report, which the program can forge: it then lies to whoever wrote it, and about
    nothing but which of a cell's own ends this is.
    """

    def take(self, event: protocol.Event) -> Sequence[Event]:
        if event.type is not EventType.CELL_DONE:
            return super().take(event)
        self._outcome = outcome_of(event)
        caught = self._outcome.cause is Cause.CANCELLED and self._read_report()[0] is Reason.COMPLETED
        if caught:  # the interrupt, or it came too late
            self._outcome = replace(self._outcome, cause=Cause.REPORTED)
        return self._flush()

    def result(self) -> Result:
        result = super().result()
        report = self._report_object()
        code, line, memory = (_natural(report.get(name)) for name in ("exit_code", "line", "memory"))
        return replace(
            result,
            exit_code=code if result.exit_code is not None else None,
            line=result.line if result.problems else line,
            memory=result.memory or memory or 0,
        )

    def _read_report(self) -> tuple[Reason, tuple[Problem, ...]]:
        report = self._report_object()
        try:
            problems = tuple(Problem(int(p["line"]), int(p["column"]), str(p["message"])) for p in report["problems"])
            return _CELL_REPORTED[report["reason"]], problems
        except (ValueError, KeyError, TypeError, OverflowError):
            return Reason.EXCEPTION, ()

    def _report_object(self) -> dict[str, Any]:
        try:
            report = json.loads(self._report)
        except (ValueError, RecursionError):
            return {}
        return report if isinstance(report, dict) else {}


def _natural(value: object) -> int | None:
    return value if isinstance(value, int) and 0 <= value < _LARGEST else None


class SessionTranscript(Transcript):
    """Collects what a session says: a transcript for each cell, and its own for the end."""

    def __init__(self, execution: Execution, limits: Limits) -> None:
        super().__init__(execution, limits)
        self._cell: CellTranscript | None = None

    async def note(self, inputs: AsyncIterator[Input]) -> AsyncGenerator[Input, None]:
        """Pass inputs on; what comes after a cell is its."""
        async for item in inputs:
            if isinstance(item, Cell):
                self._cell = CellTranscript(item, self._limits)
                self._cell.begin(0.0, self._machine)
            yield item

    def take(self, event: protocol.Event) -> Sequence[Event]:
        cell = self._cell
        if event.type is EventType.CELL_DONE and cell is not None:
            self._cell = None
            return [*cell.take(event), CellDone(cell.result())]
        if event.type is EventType.RESULT or cell is None:
            super().take(event)
        return cell.take(event) if cell is not None else []

    def fail(self, cause: Cause, number: int = 0) -> None:
        super().fail(cause, number)
        if self._cell is not None:
            self._cell.fail(cause, number)

    def ending(self) -> list[Event]:
        return [CellDone(self._cell.result()), self.result()] if self._cell is not None else [self.result()]


_REPORTED = {
    "policy": Reason.POLICY,
    "syntax": Reason.SYNTAX,
    "disk_limit": Reason.DISK_LIMIT,
    "": Reason.COMPLETED,
}
_CELL_REPORTED = {
    **_REPORTED,
    "exception": Reason.EXCEPTION,
    "exit": Reason.EXIT,
    "memory_limit": Reason.MEMORY_LIMIT,
    "process_limit": Reason.PROCESS_LIMIT,
}
_LARGEST = 1 << 53
_SHOWN = frozenset({"image/png", "text/html"})
_SLACK = 4096
_DIGITS = 9
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


_FRAME = re.compile(r'^ *(?:\| *)*File "main\.py", line ([0-9]{1,9})\b', re.MULTILINE)  # int() has limits


def _traceback_line(error: str, reason: Reason) -> int | None:
    """Return the line of the program that a traceback ends in: a convenience, from what the program wrote."""
    if reason not in (Reason.EXCEPTION, Reason.MEMORY_LIMIT, Reason.PROCESS_LIMIT, Reason.DISK_LIMIT):
        return None
    lines = _FRAME.findall(error)
    return int(lines[-1]) if lines else None


def _line(problem: Problem, reason: Reason) -> str:
    if reason is Reason.SYNTAX and problem.message.startswith("  File"):
        return problem.message  # Python's own text, which names the line
    return f"Line {problem.line}, column {problem.column}: {problem.message}"
