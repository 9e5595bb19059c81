"""The supervisor: PID 1 of a sandbox.

    start    import what runs are likely to import, make it immortal, prepare the confinement
    repeat   fork a child, which confines itself and waits             (off anybody's path)
             say READY
             take a RUN: give the child its payload, pass on what it writes, watch the clock
             kill, send the RESULT
             prove empty, wipe, prove clean                            (off anybody's path)

Every child is a copy of this process, so one rule stands above all others: **nothing of a run may ever enter this
process's memory**. It reads frame headers and counts bytes; payload, stdin and output pass by inside the kernel
(`relay`). Status is made of what the kernel says (wait status, cgroup counters) and of this process's own clock, never
of anything a run wrote. A run that is a session (`cells`) is the last of its sandbox.

The end of a run is the death of the child, not the end of its pipes: what it left running is killed, and cannot hold a
result. Death is told by SIGCHLD through a wake-up pipe rather than a pidfd, because orphans of the run that are adopted
by PID 1 have to be collected during the run too, or their zombies would count against its processes.

Where anything is not as it should be after a run, the supervisor says FATAL and exits, and its container goes with it.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import time

from sandbox_agent.child import callstack, imports, life, pipes, stand_ins
from sandbox_agent.confinement import confine, kernel
from sandbox_agent.confinement.confine import ConfinementError
from sandbox_agent.confinement.kernel import available
from sandbox_agent.contract.config import AgentConfig
from sandbox_agent.contract.policy import Policy
from sandbox_agent.contract.protocol import (
    COLLECT,
    INTERACTIVE,
    MAX_LINE,
    MAX_REPORT,
    SESSION,
    STDIN_OPEN,
    Cause,
    Command,
    CommandHeader,
    EventType,
    Hold,
    Outcome,
    event,
)
from sandbox_agent.supervisor import collector, counters, hugepages, mounts, reset, warm
from sandbox_agent.supervisor.cells import COUNT_ROOM, CellRelay
from sandbox_agent.supervisor.clock import Clock
from sandbox_agent.supervisor.errands import Errands
from sandbox_agent.supervisor.immortal import immortalize
from sandbox_agent.supervisor.introduction import describe
from sandbox_agent.supervisor.judge import KILLED, Judge
from sandbox_agent.supervisor.relay import (
    REST,
    Budget,
    HostGoneError,
    Inbound,
    Outbound,
    ReadyChild,
    Source,
    both_ends,
    close,
)
from sandbox_agent.supervisor.reset import Box, Exit, ResetError
from sandbox_agent.supervisor.surroundings import Surroundings
from sandbox_agent.supervisor.warm import UnfitError
from sandbox_agent.supervisor.watch import Watch

CONFINED_WITHIN = 20.0
"""Seconds a child may take to confine itself (a throttled sandbox is slow)."""

COLLECTED_WITHIN = 2.0
"""Seconds that reading the files of a run may take."""

_EXPECTED = (0, signal.SIGINT)
"""Signals that a run may die of without a doubt: none, and the one that Python sends itself after an interrupt."""


class Supervisor:
    """Serves runs from ``commands`` to ``events`` (descriptors) until the host closes the former."""

    def __init__(self, config: AgentConfig, commands: int = 0, events: int = 1) -> None:
        self._config = config
        self._inbound = Inbound(commands)
        self._outbound = Outbound(events)
        self._policies = {name: Policy.from_table(table) for name, table in config.policies.items()}
        self._interrupted = False
        self._stdin: int | None = None
        self._judge = Judge()
        self._hold: Hold | None = None
        self._watch: Watch | None = None

    def serve(self) -> int:
        """Run until the host closes; return an exit status: 0, or 1 after a FATAL."""
        try:
            self._start()
            while True:
                child = self._fork_ahead()
                self._judge.begin(child.pid)
                self._outbound.send(event(EventType.READY, 0, self._take_introduction()))
                self._serve_one(child)
                self._box.wipe()
                self._surroundings.prove_unchanged()
        except HostGoneError:
            return 0
        except (ConfinementError, ResetError, UnfitError, OSError) as error:
            self._outbound.send(event(EventType.FATAL, 0, f"{type(error).__name__}: {error}".encode()))
            return 1

    # ---- start

    def _start(self) -> None:
        shared = mounts.make(self._config)
        confine.default_signals()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # a program with this uid may send it
        self._wake, wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        stand_ins.install()
        self._box = Box(self._config.writable, self._config.uid)
        footing = warm.Footing()
        missing = warm.preload(self._config.standard, self._config.uid)
        before = warm.weight()
        missing += warm.preload(self._config.preload, self._config.uid)
        preloaded = warm.weight() - before
        footing.check()
        self._box.wipe()  # of what the libraries made there for themselves
        memory = counters.limits()["memory"]
        memory_held = memory is not None and memory <= self._config.limits.memory + self._config.boot_room
        self._confinement = confine.prepare(self._config, pipes.HINT, memory_held=memory_held, inherited=preloaded.data)
        self._surroundings = Surroundings(self._config.watched, self._config.writable, self._config.uid)
        callstack.find()
        imports.hide(self._config.preload)
        gc.collect()
        immortalize()
        kernel.trim_heap()
        filled = hugepages.collapse()
        self._introduction = json.dumps(describe(missing, preloaded.memory + filled, shared)).encode()
        gc.freeze()

    def _take_introduction(self) -> bytes:
        introduction, self._introduction = self._introduction, b""
        return introduction

    # ---- fork ahead

    def _fork_ahead(self) -> ReadyChild:
        """Fork a child and wait until it is confined; raise ``ConfinementError`` with its reason if it cannot be."""
        ends = [os.pipe2(os.O_CLOEXEC) for _ in range(11)]
        stdin, stdout, stderr, payload, ready, report, hint, display, prompt, line, given = ends
        theirs = [read if (read, write) in (stdin, payload) else write for read, write in ends]
        theirs[pipes.PROMPT] = both_ends(prompt[1])
        supervisor = os.getpid()
        pid = os.fork()
        if pid == 0:
            life.main(self._confinement, theirs, self._policies, supervisor)
        for fd in theirs:
            os.close(fd)
        self._await_confinement(ready[0])
        output = Budget(0)
        sources = [
            Source(stdout[0], EventType.STDOUT, output),
            Source(stderr[0], EventType.STDERR, output),
            Source(report[0], EventType.REPORT, Budget(MAX_REPORT)),
            Source(display[0], EventType.DISPLAY, Budget(self._config.limits.attachments)),
        ]
        return ReadyChild(pid, stdin[1], payload[1], ready[0], hint[0], prompt[0], line[0], given[0], output, sources)

    @staticmethod
    def _await_confinement(ready: int) -> None:
        if not select.select([ready], [], [], CONFINED_WITHIN)[0]:
            raise ConfinementError("the child did not confine itself in time")
        word = os.read(ready, 4096)
        if word != b"\0":
            raise ConfinementError(word.decode(errors="replace") or "the child died while it confined itself")

    # ---- one run

    def _serve_one(self, child: ReadyChild) -> None:
        """Wait for a RUN, do it, and send its RESULT; afterwards the child and all it started are dead.

        Raises ``ResetError`` when the run ended in a way after which a sandbox is not used again.
        """
        self._hold = None
        run = self._await_run(child)
        held = self._hold
        self._watch = Watch(held, child.pid, run.cpu_ms, self._judge, self._box) if held is not None else None
        clock = Clock(run.wall_ms, int(self._config.limits.input_time))
        child.output.left = run.output_bytes
        self._interrupted = False
        self._stdin = child.stdin
        self._outbound.begin(run.run, child.sources, REST)
        is_session = bool(run.flags & SESSION)
        self._inbound.forward(run.length, child.payload, last=not is_session)
        notes = child.given
        if is_session:
            errands = Errands(self._confinement, self._policies, child.given)
            run, clock, stopped, exit_ = self._relay_session(child, run, clock, errands)
            notes = errands.end()
        else:
            stopped, exit_ = self._relay(child, run, clock)
        wall_us = clock.ran_us()
        if exit_ is None:
            exit_ = reset.kill_all(child.pid, self._wake)
        else:
            reset.kill()  # nobody writes any more; that nobody is left is proved when the caller has the result
        self._inbound.discard()
        done = [*self._outbound.drain(), child.ready, child.hint, child.prompt, child.line, notes]
        hint = available(child.hint)
        outcome = self._outcome(run, stopped, exit_, wall_us, hint)
        if hint:
            self._outbound.begin(run.run, [Source(child.line, EventType.LINE, Budget(MAX_LINE))])
            self._outbound.drain()
        if run.flags & COLLECT and self._has_files():
            self._collect(notes)
        self._outbound.send(event(EventType.RESULT, run.run, outcome.pack()))
        for fd in (*done, self._stdin):
            close(fd)
        reset.kill_all(child.pid, self._wake)
        if outcome.signal not in _EXPECTED and stopped not in KILLED:
            raise ResetError(f"a run died of signal {outcome.signal}")
        if is_session:
            raise ResetError("a session is the last run of a sandbox")

    def _outcome(
        self, run: CommandHeader, stopped: Cause | None, exit_: Exit | None, wall_us: int, hint: int
    ) -> Outcome:
        if exit_ is None:
            raise ResetError("the child was not collected")
        truncated = self._outbound.truncated
        if stopped is None and truncated:
            stopped = Cause.OUTPUT_LIMIT
        if stopped is not None:
            return self._judge.stopped(stopped, exit_, wall_us, truncated=truncated)
        return self._judge.ended(
            exit_,
            wall_us,
            cpu_ms=run.cpu_ms,
            interrupted=self._interrupted,
            reported=run.type == Command.RUN and self._outbound.report_bytes > 0,  # a cell's says nothing of the end
            hint=hint,
            beyond=self._watch.afterwards(exit_) if self._watch is not None else None,
            held=self._hold is not None and self._hold.tasks > 0,
        )

    def _has_files(self) -> bool:
        return self._box.is_dirty(self._config.box)

    def _collect(self, notes: int) -> None:
        """Send what the run left that is not as it was given. A confined process reads it, and the ``notes`` of what
        was given; what takes it too long is left out.
        """
        reset.prove_empty(self._wake)
        read, write = os.pipe2(os.O_CLOEXEC)
        supervisor = os.getpid()
        pid = os.fork()
        if pid == 0:
            collector.main(self._confinement, write, notes, supervisor)
        os.close(write)
        room = Budget(self._config.limits.attachments + COUNT_ROOM)
        self._outbound.begin(self._outbound.run, [Source(read, EventType.FILE, room)])
        deadline = time.monotonic() + COLLECTED_WITHIN
        while self._outbound.sources and not self._outbound.truncated and (left := deadline - time.monotonic()) > 0:
            events = select.poll()
            for fd, mask in self._outbound.wanted():
                events.register(fd, mask)
            events.poll(left * 1000)
            self._outbound.pump()
        reset.kill_all(pid, self._wake)
        for fd in self._outbound.drain():
            close(fd)

    def _await_run(self, child: ReadyChild) -> CommandHeader:
        """Wait for the next RUN, dropping what is left of earlier runs' stdin."""
        while True:
            self._inbound.pump()
            host = self._poll(None, set())
            if reset.reap(child.pid)[0] is not None:
                raise ConfinementError("the waiting child died")
            header = self._inbound.read_header() if host and not self._inbound.busy else None
            if header is None:
                continue
            if header.type == Command.RUN:
                return header
            if header.type == Command.HOLD:
                self._hold = Hold.of_header(header)
            self._inbound.forward(header.length, None, last=False)

    def _relay(self, child: ReadyChild, run: CommandHeader, clock: Clock) -> tuple[Cause | None, Exit | None]:
        """Pass bytes on until the child dies or must be stopped.

        Returns why it must be stopped (None: it need not) and how it ended (None: it lives).
        """
        if not run.flags & STDIN_OPEN:
            close(self._stdin)
            self._stdin = None
        more = False
        watched = {child.prompt} if run.flags & INTERACTIVE else set()
        while (left := clock.left()) > 0:
            self._inbound.pump()
            if self._watch is not None:
                left = min(left, self._watch.rest())
            host = self._poll(0 if more else left, watched)
            exit_, _, more = reset.reap(child.pid)
            if exit_ is not None:
                return None, exit_
            self._outbound.pump()
            if self._outbound.truncated:
                return Cause.OUTPUT_LIMIT, None
            if self._watch is not None and (beyond := self._watch.look()) is not None:
                return beyond, None
            if watched and self._inbound.is_awaited(self._stdin, child.prompt) and not clock.waiting:
                clock.wait()
                self._outbound.flush()  # what it asked comes before the news that it waits
                self._outbound.send(event(EventType.WAITING, run.run))
            header = self._inbound.read_header() if host and not self._inbound.busy else None
            if header is None:
                continue
            ours = header.run == run.run
            if ours and header.type == Command.CANCEL:
                return Cause.CANCELLED, None
            if ours and header.type == Command.INTERRUPT:
                self._interrupted = True
                clock.go_on()
                os.kill(child.pid, signal.SIGINT)
            if ours and header.type == Command.STDIN:
                clock.go_on()
                if watched:
                    self._outbound.hasten()
                self._inbound.forward(header.length, self._stdin, last=header.length == 0)
                self._stdin = self._stdin if header.length else None
            else:
                self._inbound.forward(header.length, None, last=False)
        return Cause.INPUT_TIME if clock.waiting else Cause.WALL_TIME, None

    def _relay_session(
        self, child: ReadyChild, run: CommandHeader, clock: Clock, errands: Errands
    ) -> tuple[CommandHeader, Clock, Cause | None, Exit | None]:
        """Relay a session to its end; return what it ended in (a cell, or itself), its clock, and as `_relay`."""
        cells = CellRelay(
            self._inbound,
            self._outbound,
            self._judge,
            run=run.run,
            child=child,
            limits=self._config.limits,
            errands=errands,
            has_files=self._has_files,
        )
        self._stdin = None
        stopped, exit_ = cells.relay(self._poll)
        cell = cells.ended()
        if cell is not None:
            run, clock, self._interrupted = cell.header, cell.clock, cell.interrupted
        return run, clock, stopped, exit_

    def _poll(self, timeout: float | None, watched: set[int]) -> bool:
        """Wait, ``timeout`` seconds at most, until something can be done; True if that includes the host's side.

        A descriptor of ``watched`` that nobody can write to any more is taken out of it.
        """
        events = select.poll()
        host, mask = self._inbound.wanted()
        events.register(host, mask)
        events.register(self._wake, select.POLLIN)
        rest = self._outbound.rest()
        if rest > 0:
            timeout = rest if timeout is None else min(timeout, rest)
        else:
            for fd, source_mask in self._outbound.wanted():
                events.register(fd, source_mask)
        for fd in watched:
            events.register(fd, select.POLLIN)
        ready = dict(events.poll(None if timeout is None else timeout * 1000))
        watched -= {fd for fd, found in ready.items() if not found & select.POLLIN}
        if self._wake in ready:
            reset.drain(self._wake)
        return host in ready


def main(argument: str) -> int:
    """Serve on the configured socket, or else on the process's stdin and stdout, and keep both from stray prints."""
    config = AgentConfig.from_json(argument)
    commands, events = _connect(config.socket) or (os.dup(0), os.dup(1))
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return Supervisor(config, commands, events).serve()


def _connect(path: str) -> tuple[int, int] | None:
    """Connect to the host's Unix socket; None where there is none, or none that can be reached."""
    if not path:
        return None
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        stream.connect(path)
    except OSError:
        stream.close()
        return None
    commands = stream.detach()
    return commands, os.dup(commands)
