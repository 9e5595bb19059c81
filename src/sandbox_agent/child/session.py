"""A session, in the child: one interpreter that runs cells one after another in one ``__main__``, until it is killed.

Each cell is checked, compiled and run as a program is, under a name of its own (``cell 3``), so that a traceback quotes
the cell that a line stands in. Around the run of a cell the child writes a byte into ``READY``, one before and one
after; the supervisor counts them, and interrupts nobody but a cell. Before the second byte goes a report of what came
of it. The program can write all of these as well. It then lies to the one who wrote it: what ends a session (a limit, a
signal, the clock) is judged outside, and the sandbox serves nobody else afterwards.
"""

from __future__ import annotations

import json
import math
import os
import resource
import signal
from collections.abc import Iterator
from types import CodeType
from typing import Any, NoReturn

from sandbox_agent.child import callstack, display, ending, hooks, pipes, program, streams
from sandbox_agent.child.source import RefusedError, compiled, quote
from sandbox_agent.contract.policy import Policy

_REASONS = {
    pipes.HINT_EXCEPTION: "exception",
    pipes.HINT_MEMORY: "memory_limit",
    pipes.HINT_DISK: "disk_limit",
    pipes.HINT_PROCESSES: "process_limit",
}

_NEVER = 1_000_000.0
"""Seconds of processor time that no session has: more than a week."""


def serve(cells: Iterator[bytes], policy: Policy, most_displayed: int) -> NoReturn:
    """Run ``cells`` as they come; never returns."""
    try:
        display.open_on(pipes.DISPLAY, most_displayed, prompt=True)
        streams.prompt_for_input()
        hooks.install()
        interpreter = _Interpreter(policy, most_displayed)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        for cell in cells:
            interpreter.run(json.loads(cell))
    finally:  # also where the program closed our descriptors: it has no more cells then
        os._exit(1)


class _Interpreter:
    def __init__(self, policy: Policy, most_displayed: int) -> None:
        self._policy = policy
        self._most_displayed = most_displayed
        self._module = program.main_module([])
        self._on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._used = 0.0  # seconds of processor time, as RLIMIT_CPU counts them
        signal.setitimer(signal.ITIMER_PROF, _NEVER)

    def run(self, cell: dict[str, Any]) -> None:
        name = f"cell {cell['number']}"
        self._allow_processor(cell["cpu"])
        display.allow(self._most_displayed if cell["display"] else None)
        try:
            code = compiled(cell["code"], name, self._policy if cell["policy"] else None, last=cell["display"])
        except RefusedError as refused:
            report = _report(refused.reason, 1, problems=[problem._asdict() for problem in refused.problems])
            os.write(pipes.READY, b"\0")
        else:
            quote(cell["code"], name)
            report = self._execute(code, name)
            streams.flush()
            if not pipes.is_leader():  # a process that the cell forked has come to its end
                os._exit(0)
        pipes.send_report(**report, memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
        os.write(pipes.READY, b"\0")

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
            program.execute(code, self._module)
        except BaseException as error:
            failure = callstack.without_ours(error)
        else:
            return _report("", 0)
        status = ending.print_uncaught(failure)  # not while it is handled: it would be the context of what comes
        if status is not None:  # ends the cell
            return _report("exit" if status else "", status)
        return _report(_REASONS[program.kind_of(failure)], 1, line=program.line_of(failure, name))


def _report(reason: str, status: int, **more: Any) -> dict[str, Any]:
    return {"reason": reason, "exit_code": status, "problems": [], "line": None, **more}


def _ignore_interrupts() -> Any:
    """Ignore SIGINT from now on, even if one comes in this moment; return what was done on it."""
    while True:
        try:
            return signal.signal(signal.SIGINT, signal.SIG_IGN)
        except BaseException:
            pass
