"""The supervisor: PID 1 of a sandbox.

    start    import what runs are likely to import, freeze it, prepare the confinement
    repeat   fork a child, which confines itself and waits             (off anybody's path)
             say READY
             take a RUN: give the child its payload, pass on what it writes, watch the clock
             kill, send the RESULT
             prove empty, wipe, prove clean                            (off anybody's path)

Every child is a copy of this process, so one rule stands above all others: **nothing of a run may ever enter this
process's memory**. It reads frame headers and counts bytes; payload, stdin and output pass by inside the kernel
(`relay`). Status is made of what the kernel says (wait status, cgroup counters) and of this process's own clock, never
of anything a run wrote.

The end of a run is the death of the child, not the end of its pipes: what it left running is killed, and cannot hold a
result. Death is told by SIGCHLD through a wake-up pipe rather than a pidfd, because orphans of the run that are adopted
by PID 1 have to be collected during the run too, or their zombies would count against its processes.

Where anything is not as it should be after a run, the supervisor says FATAL and exits, and its container goes with it.
"""

from __future__ import annotations

import dataclasses
import gc
import importlib
import json
import os
import platform
import select
import signal
import time
from dataclasses import dataclass
from typing import Any

from sandbox_agent import child, collector, confinement, counters, kernel, landlock, reset
from sandbox_agent.config import AgentConfig
from sandbox_agent.confinement import ConfinementError
from sandbox_agent.policy import Policy
from sandbox_agent.protocol import (
    COLLECT,
    INTERACTIVE,
    MAX_REPORT,
    STDIN_OPEN,
    VERSION,
    Cause,
    Command,
    CommandHeader,
    EventType,
    Outcome,
    event,
)
from sandbox_agent.relay import Budget, HostGoneError, Inbound, Outbound, Source, available, close, discard
from sandbox_agent.reset import Box, Exit, ResetError

CONFINED_WITHIN = 20.0
"""Seconds a child may take to confine itself (a throttled sandbox is slow)."""

COLLECTED_WITHIN = 2.0
"""Seconds that reading the files of a run may take."""

_RECORD_OF_OMISSIONS = 32

_CAP_KILL, _CAP_SETGID, _CAP_SETUID = 1 << 5, 1 << 6, 1 << 7


@dataclass(frozen=True)
class Before:
    """Counters as they were when a run began; the CPU time is what the child used to get ready."""

    oom_kills: int
    refused_forks: int
    cpu_us: int


@dataclass(frozen=True)
class Waiting:
    """A confined child that waits for its run, and the supervisor's ends of its pipes."""

    pid: int
    stdin: int
    payload: int
    hint: int
    prompt: int
    output: Budget
    sources: list[Source]


class Clock:
    """The time a run has. Waiting for stdin, where a run says so, has a limit of its own and does not count."""

    def __init__(self, wall_ms: int, input_seconds: int) -> None:
        self._began = time.monotonic_ns()
        self._limit = wall_ms * 1_000_000
        self._input_limit = input_seconds * 1_000_000_000
        self._waited = 0
        self._waiting_since: int | None = None

    @property
    def waiting(self) -> bool:
        return self._waiting_since is not None

    def wait(self) -> None:
        self._waiting_since = time.monotonic_ns()

    def go_on(self) -> None:
        if self._waiting_since is not None:
            self._waited += time.monotonic_ns() - self._waiting_since
            self._waiting_since = None

    def left(self) -> float:
        """Return the seconds that are left of the limit that applies now."""
        now = time.monotonic_ns()
        if self._waiting_since is not None:
            return (self._input_limit - self._waited - (now - self._waiting_since)) / 1e9
        return (self._limit - (now - self._began - self._waited)) / 1e9

    def ran_us(self) -> int:
        """Return how long the run took until now, without its waiting, in microseconds."""
        self.go_on()
        return (time.monotonic_ns() - self._began - self._waited) // 1000


class Supervisor:
    """Serves runs from ``commands`` to ``events`` (descriptors) until the host closes the former."""

    def __init__(self, config: AgentConfig, commands: int = 0, events: int = 1) -> None:
        self._config = config
        self._inbound = Inbound(commands)
        self._outbound = Outbound(events)
        self._policy = Policy(**config.policy) if config.policy else Policy()
        self._interrupted = False
        self._stdin: int | None = None
        self._oom_kills = counters.oom_kills()
        self._refused_forks = counters.refused_forks()

    def serve(self) -> int:
        """Run until the host closes; return an exit status: 0, or 1 after a FATAL."""
        try:
            self._start()
            while True:
                waiting = self._fork_ahead()
                self._outbound.send(event(EventType.READY, 0, self._take_introduction()))
                self._serve_one(waiting)
                self._box.wipe()
        except HostGoneError:
            return 0
        except (ConfinementError, ResetError, OSError) as error:
            self._outbound.send(event(EventType.FATAL, 0, f"{type(error).__name__}: {error}".encode()))
            return 1

    # ---- start

    def _start(self) -> None:
        for mount in self._config.mounts:
            kernel.mount_tmpfs(mount.path, mount.options)
        if self._config.mounts:
            kernel.keep_capabilities(_CAP_KILL | _CAP_SETGID | _CAP_SETUID)
        self._wake, wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        missing = self._preload()
        self._confinement = confinement.prepare(self._config)
        self._box = Box(self._config.writable, self._config.uid)
        self._introduction = json.dumps(describe(missing)).encode()
        gc.collect()
        gc.freeze()

    def _preload(self) -> list[str]:
        """Import the configured modules; return those that are not there (which costs speed, not safety)."""
        missing = []
        for name in self._config.preload:
            try:
                importlib.import_module(name)
            except Exception as error:  # whatever a module does at import must not stop the sandbox
                missing.append(f"{name}: {error}")
        return missing

    def _take_introduction(self) -> bytes:
        introduction, self._introduction = self._introduction, b""
        return introduction

    # ---- fork ahead

    def _fork_ahead(self) -> Waiting:
        """Fork a child and wait until it is confined; raise ``ConfinementError`` with its reason if it cannot be."""
        pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(9)]
        stdin, stdout, stderr, payload, ready, report, hint, display, prompt = pipes
        theirs = [read if (read, write) in (stdin, payload) else write for read, write in pipes]
        supervisor = os.getpid()
        pid = os.fork()
        if pid == 0:
            child.main(self._confinement, theirs, self._policy, supervisor)
        for fd in theirs:
            os.close(fd)
        try:
            self._await_confinement(ready[0])
        finally:
            os.close(ready[0])
        output = Budget(0)
        sources = [
            Source(stdout[0], EventType.STDOUT, output),
            Source(stderr[0], EventType.STDERR, output),
            Source(report[0], EventType.REPORT, Budget(MAX_REPORT)),
            Source(display[0], EventType.DISPLAY, Budget(self._config.attachment_bytes)),
        ]
        return Waiting(pid, stdin[1], payload[1], hint[0], prompt[0], output, sources)

    @staticmethod
    def _await_confinement(ready: int) -> None:
        if not select.select([ready], [], [], CONFINED_WITHIN)[0]:
            raise ConfinementError("the child did not confine itself in time")
        word = os.read(ready, 4096)
        if word != b"\0":
            raise ConfinementError(word.decode(errors="replace") or "the child died while it confined itself")

    # ---- one run

    def _serve_one(self, waiting: Waiting) -> None:
        """Wait for a RUN, do it, and send its RESULT; afterwards the child and all it started are dead.

        Raises ``ResetError`` when the run ended in a way after which a sandbox is not used again.
        """
        run = self._await_run(waiting)
        clock = Clock(run.wall_ms, self._config.input_seconds)
        before = Before(self._oom_kills.read(), self._refused_forks.read(), _cpu_us(waiting.pid))
        waiting.output.left = run.output_bytes
        self._interrupted = False
        self._stdin = waiting.stdin
        self._outbound.begin(run.run, waiting.sources)
        self._inbound.forward(run.length, waiting.payload, last=True)
        stopped, exit_ = self._relay(waiting, run, clock)
        wall_us = clock.ran_us()
        if exit_ is None:
            exit_ = reset.kill_all(waiting.pid, self._wake)
        else:
            reset.kill()  # nobody writes any more; that nobody is left is proved when the caller has the result
        self._inbound.discard()
        close(self._stdin)
        self._outbound.drain()
        outcome = dataclasses.replace(self._judge(waiting, run, stopped, exit_, before), wall_us=wall_us)
        close(waiting.hint)
        close(waiting.prompt)
        if run.flags & COLLECT and self._config.box in self._box.dirty():
            self._collect()
        self._outbound.send(event(EventType.RESULT, run.run, outcome.pack()))
        reset.kill_all(waiting.pid, self._wake)
        if outcome.signal:
            raise ResetError(f"a run died of signal {outcome.signal}")

    def _collect(self) -> None:
        """Send the files that the run left. A confined process reads them; what takes it too long is left out."""
        reset.prove_empty(self._wake)
        read, write = os.pipe2(os.O_CLOEXEC)
        supervisor = os.getpid()
        pid = os.fork()
        if pid == 0:
            collector.main(self._confinement, write, supervisor)
        os.close(write)
        room = Budget(self._config.attachment_bytes + _RECORD_OF_OMISSIONS)
        self._outbound.begin(self._outbound.run, [Source(read, EventType.FILE, room)])
        deadline = time.monotonic() + COLLECTED_WITHIN
        while self._outbound.sources and not self._outbound.truncated and (left := deadline - time.monotonic()) > 0:
            events = select.poll()
            for fd, mask in self._outbound.wanted():
                events.register(fd, mask)
            events.poll(left * 1000)
            self._outbound.pump()
        reset.kill_all(pid, self._wake)
        self._outbound.drain()

    def _await_run(self, waiting: Waiting) -> CommandHeader:
        """Wait for the next RUN, dropping what is left of earlier runs' stdin."""
        while True:
            self._inbound.pump()
            host = self._poll(None)
            if reset.reap(waiting.pid)[0] is not None:
                raise ConfinementError("the waiting child died")
            header = self._inbound.read_header() if host and not self._inbound.busy else None
            if header is None:
                continue
            if header.type == Command.RUN:
                return header
            self._inbound.forward(header.length, None, last=False)

    def _relay(self, waiting: Waiting, run: CommandHeader, clock: Clock) -> tuple[Cause | None, Exit | None]:
        """Pass bytes on until the child dies or must be stopped.

        Returns why it must be stopped (None: it need not) and how it ended (None: it lives).
        """
        if not run.flags & STDIN_OPEN:
            close(self._stdin)
            self._stdin = None
        more = False
        prompt = waiting.prompt if run.flags & INTERACTIVE else None
        while (left := clock.left()) > 0:
            self._inbound.pump()
            host = self._poll(0 if more else left, prompt)
            exit_, _, more = reset.reap(waiting.pid)
            if exit_ is not None:
                return None, exit_
            self._outbound.pump()
            if self._outbound.truncated:
                return Cause.OUTPUT_LIMIT, None
            if (
                prompt is not None
                and discard(prompt)
                and not clock.waiting
                and self._stdin is not None
                and not available(self._stdin)
            ):
                clock.wait()
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
                os.kill(waiting.pid, signal.SIGINT)
            if ours and header.type == Command.STDIN:
                clock.go_on()
                self._inbound.forward(header.length, self._stdin, last=header.length == 0)
                self._stdin = self._stdin if header.length else None
            else:
                self._inbound.forward(header.length, None, last=False)
        return Cause.INPUT_TIME if clock.waiting else Cause.WALL_TIME, None

    def _poll(self, timeout: float | None, prompt: int | None = None) -> bool:
        """Wait, ``timeout`` seconds at most, until something can be done; True if that includes the host's side."""
        events = select.poll()
        host, mask = self._inbound.wanted()
        events.register(host, mask)
        events.register(self._wake, select.POLLIN)
        for fd, source_mask in self._outbound.wanted():
            events.register(fd, source_mask)
        if prompt is not None:
            events.register(prompt, select.POLLIN)
        ready = {fd for fd, _ in events.poll(None if timeout is None else timeout * 1000)}
        if self._wake in ready:
            reset.drain(self._wake)
        return host in ready

    # ---- verdict

    def _judge(
        self, waiting: Waiting, run: CommandHeader, stopped: Cause | None, exit_: Exit | None, before: Before
    ) -> Outcome:
        """Make an outcome of the kernel's word and our own, never of what the run wrote."""
        if exit_ is None:
            raise ResetError("the child was not collected")
        code, signal_ = _decode(exit_.status)
        cpu_us = max(0, exit_.cpu_us - before.cpu_us)
        truncated = self._outbound.truncated
        if stopped is None and truncated:
            stopped = Cause.OUTPUT_LIMIT
        if stopped is not None:
            return Outcome(stopped, truncated=truncated, cpu_us=cpu_us, memory=exit_.memory)
        if (code or signal_) and self._oom_kills.read() > before.oom_kills:
            cause = Cause.MEMORY_LIMIT
        elif self._interrupted and (code or signal_):
            cause = Cause.CANCELLED
        elif signal_:
            cause = _signal_cause(signal_, cpu_us, run.cpu_ms)
        elif self._outbound.report_bytes:
            cause = Cause.REPORTED
        else:
            cause = self._exit_cause(waiting, code, before)
        return Outcome(cause, code, signal_, cpu_us=cpu_us, memory=exit_.memory)

    def _exit_cause(self, waiting: Waiting, code: int, before: Before) -> Cause:
        """Tell apart how a program exits with a code of its own."""
        if code == 0:
            return Cause.COMPLETED
        hint = available(waiting.hint)
        if hint == child.HINT_MEMORY:
            return Cause.MEMORY_LIMIT
        if hint == child.HINT_DISK:
            return Cause.DISK_LIMIT
        refused = not self._refused_forks.available or self._refused_forks.read() > before.refused_forks
        if hint == child.HINT_PROCESSES and refused:
            return Cause.PROCESS_LIMIT
        return Cause.EXCEPTION if hint else Cause.EXIT


def _decode(status: int) -> tuple[int, int]:
    """Split a wait status into exit code and signal number; the other one is 0."""
    if os.WIFSIGNALED(status):
        return 0, os.WTERMSIG(status)
    return os.WEXITSTATUS(status), 0


def _signal_cause(number: int, cpu_us: int, cpu_ms: int) -> Cause:
    if number == signal.SIGSYS:
        return Cause.VIOLATION
    used_up = cpu_ms > 0 and cpu_us >= cpu_ms * 1000
    if number == signal.SIGXCPU or (number == signal.SIGKILL and used_up):
        return Cause.CPU_TIME
    return Cause.SIGNAL


def _cpu_us(pid: int) -> int:
    """CPU time of a process so far, in microseconds; its clock's id is made from its pid (clock_getcpuclockid(3))."""
    try:
        return time.clock_gettime_ns((~pid << 3) | 2) // 1000
    except OSError:
        return 0


def describe(missing: list[str]) -> dict[str, Any]:
    """Say what this sandbox is, for the log and for doctor. Nothing of any run."""
    with open("/proc/self/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    return {
        "protocol": VERSION,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "landlock": landlock.abi(),
        "cgroup": counters.limits(),
        "capabilities": status.get("CapPrm", ""),
        "no_new_privs": status.get("NoNewPrivs", ""),
        "seccomp": status.get("Seccomp", ""),
        "read_only_root": bool(os.statvfs("/").f_flag & os.ST_RDONLY),
        "interfaces": _interfaces(),
        "not_preloaded": missing,
    }


def _interfaces() -> list[str]:
    """The network interfaces of this namespace; the first two lines of the file are headings."""
    try:
        with open("/proc/net/dev") as file:
            return sorted(line.partition(":")[0].strip() for line in file.readlines()[2:])
    except OSError:
        return []


def main(argument: str) -> int:
    """Serve on the process's stdin and stdout, having put stderr and /dev/null in their places for stray prints."""
    commands, events = os.dup(0), os.dup(1)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return Supervisor(AgentConfig.from_json(argument), commands, events).serve()
