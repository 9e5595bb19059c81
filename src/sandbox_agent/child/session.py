"""A session, in the child: one interpreter that runs cells one after another in one ``__main__``, until it is killed.

Each cell is checked, compiled and run as a program is, under a name of its own (``cell 3``), so that a traceback quotes
the cell that a line stands in. Around the run of a cell the child writes a byte into ``READY``, one before and one
after; the supervisor counts them, and interrupts nobody but a cell. Before the second byte goes a report of what came
of it. The program can write all of these as well. It then lies to the one who wrote it: what ends a session (a limit, a
signal, the clock) is judged outside, and the sandbox serves nobody else afterwards.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import json
import math
import os
import resource
import signal
import sys
from dataclasses import replace
from types import CodeType
from typing import Any, NoReturn

from sandbox_agent.child import asking, callstack, display, ending, hooks, notebook, pipes, program, raised, streams
from sandbox_agent.child.eventloop import EventLoop
from sandbox_agent.child.source import RefusedError, compiled, quote
from sandbox_agent.child.stdin import CellInput
from sandbox_agent.contract.policy import MAX_PROBLEMS, Policy, SourceProblem
from sandbox_agent.contract.report import LONGEST_VALUE

_REASONS = {
    pipes.HINT_EXCEPTION: "exception",
    pipes.HINT_MEMORY: "memory_limit",
    pipes.HINT_DISK: "disk_limit",
    pipes.HINT_PROCESSES: "process_limit",
}

_FUTURES = sum({getattr(__future__, name).compiler_flag for name in __future__.all_feature_names})
"""The flags of what a cell imports from ``__future__``."""

_NEVER = 1_000_000.0
"""Seconds of processor time that no session has: more than a week."""


def serve(messages: pipes.Messages, policy: Policy, most_displayed: int, refused: list[SourceProblem]) -> NoReturn:
    """Run the cells that come as ``messages``; never returns.

    ``refused``: what ``policy`` refuses in the session's files.
    """
    try:
        display.open_on(pipes.DISPLAY, most_displayed, prompt=True)
        hooks.install()
        stdin = CellInput(messages)
        asking.install()
        loop = EventLoop()
        interpreter = _Interpreter(policy, most_displayed, refused, stdin, loop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        for message in messages:
            said = json.loads(message or "0")
            if isinstance(said, int):  # 0: the end of a stdin that nobody waits for any more
                stdin.skip(said)
            else:
                interpreter.run(said)
            loop.run_until(messages)
    finally:  # also where the program closed our descriptors: it has no more cells then
        os._exit(1)


class _Interpreter:
    def __init__(
        self, policy: Policy, most_displayed: int, refused: list[SourceProblem], stdin: CellInput, loop: EventLoop
    ) -> None:
        self._policy = policy
        self._refused = refused
        self._most_displayed = most_displayed
        self._stdin = stdin
        self._loop = loop
        self._flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self._module = program.main_module([])
        self._not_made = set(vars(self._module))
        sys.ps1, sys.ps2 = ">>> ", "... "
        self._on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._used = 0.0  # seconds of processor time, as RLIMIT_CPU counts them
        signal.setitimer(signal.ITIMER_PROF, _NEVER)

    def run(self, cell: dict[str, Any]) -> None:
        name = f"cell {cell['number']}"
        self._allow_processor(cell["cpu"])
        display.allow(self._most_displayed if cell["display"] else None)
        try:
            self._stdin.begin(cell["stdin"])
            code = self._compiled(cell, name)
            self._loop.expect(cell["code"], code)
        except RefusedError as refused:
            report = _refusal(refused)
            os.write(pipes.READY, b"\0")
        else:
            report = self._execute(code, name)
            streams.flush()
            if not pipes.is_leader():  # a process that the cell forked has come to its end
                os._exit(0)
        self._stdin.end()
        pipes.send_report(**report, memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
        os.write(pipes.READY, b"\0")

    def _rules(self) -> Policy:
        """Return the policy of a cell, to which the names that cells before it have made are the program's own.

        Raises ``RefusedError`` where the session's files are refused already.
        """
        if self._refused:
            raise RefusedError("policy", self._refused[:MAX_PROBLEMS])
        made = self._policy.names.keys() & vars(self._module).keys() - self._not_made
        return replace(self._policy, own=sorted(made))

    def _compiled(self, cell: dict[str, Any], name: str) -> list[CodeType]:
        policy = self._rules() if cell["policy"] else None
        try:
            code = compiled(cell["code"], name, policy, last=cell["display"], flags=self._flags)
        except RefusedError as refused:
            plain = notebook.plain(cell["code"]) if refused.reason == "syntax" else None
            if plain is None:
                raise
            code = compiled(plain, name, policy, last=cell["display"], flags=self._flags)
        quote(cell["code"], name)
        self._flags |= code[0].co_flags & _FUTURES
        return code

    def _evaluate(self, code: CodeType, names: dict[str, Any]) -> Any:
        value = self._loop.evaluate(code, names)
        if value is not None:
            known = vars(builtins)
            known.update(_=value, __=known.get("_"), ___=known.get("__"))
        return value

    def _execute(self, code: list[CodeType], name: str) -> dict[str, Any]:
        """Run a cell; an interrupt, until the last moment, is the cell's."""
        try:
            report = self._attempt(code, name)
            self._on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        except BaseException:
            self._on_interrupt = _ignore_interrupts()
            return _report("exception", 1)
        return report

    def _allow_processor(self, seconds: int) -> None:
        """Let the next cell use so many seconds more, as far as the session has them.

        The kernel counts them for this limit in ticks, which are up to a third more, or less, than the time that it
        tells. It tells them only by what is left of a timer.
        """
        left, _ = signal.setitimer(signal.ITIMER_PROF, _NEVER)
        self._used += _NEVER - left
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        # below the hard limit, whose signal does not say what it is for
        soft = max(1, min(math.ceil(self._used) + seconds, hard - 1))
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))

    def _attempt(self, code: list[CodeType], name: str) -> dict[str, Any]:
        try:
            # None: the program put something there that Python does not know
            signal.signal(signal.SIGINT, self._on_interrupt or signal.default_int_handler)
            os.write(pipes.READY, b"\0")
            text = program.execute(code, self._module, self._evaluate)
        except BaseException as error:
            failure = callstack.without_ours(error)
        else:
            return _report("", 0, value=text if text is None else text[:LONGEST_VALUE])
        status = ending.print_uncaught(failure)  # not while it is handled: it would be the context of what comes
        if status is not None:  # ends the cell
            return _report("exit" if status else "", status)
        line, told = program.line_of(failure, name), raised.described(failure)
        return _report(_REASONS[program.kind_of(failure)], 1, line=line, exception=told)


def _report(reason: str, status: int, **more: Any) -> dict[str, Any]:
    return {"reason": reason, "exit_code": status, "problems": [], "line": None, **more}


def _refusal(refused: RefusedError) -> dict[str, Any]:
    told = None
    error = refused.__context__
    if refused.reason == "syntax" and isinstance(error, SyntaxError):
        raised.remember(error.with_traceback(None))
        told = raised.described(error)
    problems = [problem._asdict() for problem in refused.problems]
    return _report(refused.reason, 1, problems=problems, exception=told)


def _ignore_interrupts() -> Any:
    """Ignore SIGINT from now on, even if one comes in this moment; return what was done on it."""
    while True:
        try:
            return signal.signal(signal.SIGINT, signal.SIG_IGN)
        except BaseException:
            pass
