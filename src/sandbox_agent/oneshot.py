"""The image by itself: one JSON object in on stdin, one run, one JSON object out.

    echo '{"code": "print(1)", "timeout": 5}' | docker run --rm -i code-executor:latest

Where nobody can write to stdin (a job of a cloud, say), the variable CODE_EXECUTOR_REQUEST holds the request instead.

A plain ``docker run`` gives no tmpfs to size, no memory limit and more capabilities than are needed. So the box is a
directory of the container's /dev/shm (64 MB unless Docker is told otherwise), memory is held by an rlimit per process,
processes by one per uid, the network by seccomp, and the rest (uid, Landlock, seccomp, clock, output) is as it always
is. This process reads the request; the supervisor is a child of it and reads nothing, as always.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import platform
import random
import select
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any, NoReturn

from sandbox_agent.confinement import kernel
from sandbox_agent.contract import protocol, report, verdict
from sandbox_agent.contract.config import ACCOUNTS, AgentConfig
from sandbox_agent.contract.limits import Limits
from sandbox_agent.contract.protocol import (
    STDIN_OPEN,
    Cause,
    Command,
    EventReader,
    EventType,
    Outcome,
    ProtocolError,
)
from sandbox_agent.contract.report import Report, ReportError
from sandbox_agent.contract.verdict import REASONS, Reason, Status
from sandbox_agent.supervisor.loop import Supervisor

REQUEST_VARIABLE = "CODE_EXECUTOR_REQUEST"

LIMITS = Limits()
MAX_REQUEST = 8 << 20

_BOOT_WITHIN = 60.0
_UIDS = range(52000, 59000)
_SHARED_MEMORY = "/dev/shm"


class RequestError(Exception):
    """The request is not one."""


def read_request(text: bytes) -> dict[str, Any]:
    """Check a request and fill in what it leaves out; raise ``RequestError`` with a sentence."""
    if os.getuid() != 0:
        raise RequestError("The container must start as root (no --user). It gives root up before it runs the program.")
    if len(text) > MAX_REQUEST:
        raise RequestError(f"The request is larger than {MAX_REQUEST} bytes.")
    try:
        request = json.loads(text)
    except ValueError as error:
        raise RequestError(f"The request is not valid JSON: {error}") from None
    if not isinstance(request, dict):
        raise RequestError("The request must be a JSON object.")
    code, stdin, args = request.get("code"), request.get("stdin", ""), request.get("args", [])
    timeout = request.get("timeout", LIMITS.wall_time)
    if not isinstance(code, str):
        raise RequestError("The request must have `code`, a text.")
    if request.get("language", "python") != "python":
        raise RequestError("`language` must be python.")
    if not isinstance(stdin, str):
        raise RequestError("`stdin` must be a text.")
    if not isinstance(args, list) or not all(isinstance(arg, str) for arg in args):
        raise RequestError("`args` must be a list of texts.")
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= LIMITS.wall_time:
        raise RequestError(f"`timeout` must be more than 0 and at most {LIMITS.wall_time:g} seconds.")
    return {"code": code, "stdin": stdin, "args": args, "timeout": timeout}


def main() -> int:
    """Answer the request on stdin; return 0 whatever came of the run, 1 where there was none."""
    began = time.monotonic()
    # process 1 has no default action: `docker stop` would wait its ten seconds
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        request = read_request(os.environ.pop(REQUEST_VARIABLE, "").encode() or sys.stdin.buffer.read(MAX_REQUEST + 1))
    except RequestError as error:
        _answer(Status.ERROR, "", str(error), (time.monotonic() - began) * 1000)
        return 1
    run = _run(request)
    told = run.told()
    _answer(
        told.reason.status,
        run.text("stdout"),
        run.error(told, LIMITS.for_run(request["timeout"])),
        run.outcome.wall_us / 1000,
    )
    return 0 if told.reason is not Reason.INTERNAL else 1


def _answer(status: Status, output: str, error: str, milliseconds: float) -> None:
    print(json.dumps({"status": status, "output": output, "error": error, "execution_time": round(milliseconds)}))


@dataclass
class RunRecord:
    """What the supervisor said about the run."""

    outcome: Outcome = field(default_factory=lambda: Outcome(Cause.INTERNAL))
    streams: dict[str, bytearray] = field(default_factory=lambda: {"stdout": bytearray(), "stderr": bytearray()})
    report: bytearray = field(default_factory=bytearray)
    fatal: str = ""

    def take(self, event: protocol.Event) -> bool:
        """Note an event; True if it was the last of the run."""
        if event.type is EventType.RESULT:
            self.outcome = Outcome.unpack(event.body)
        elif event.type is EventType.FATAL:
            self.fatal = event.body.decode(errors="replace")
        elif event.type is EventType.REPORT:
            self.report += event.body
        elif event.type in (EventType.STDOUT, EventType.STDERR):
            self.streams[event.type.name.lower()] += event.body
        return event.type in (EventType.RESULT, EventType.FATAL)

    def text(self, name: str) -> str:
        return codecs.decode(self.streams[name], "utf-8", "replace")

    def told(self) -> Report:
        """Return why the run ended: the supervisor's word, or the child's report where that has the say."""
        if self.outcome.cause is not Cause.REPORTED:
            return Report(REASONS[self.outcome.cause])
        try:
            return report.read(bytes(self.report))
        except ReportError:
            return Report(Reason.INTERNAL)

    def error(self, told: Report, limits: Limits) -> str:
        """Return stderr, and a sentence about why the run was stopped."""
        sentence = report.describe(told.problems, told.reason) or verdict.explain(
            told.reason,
            limits,
            signal=self.outcome.signal,
            syscall=verdict.forbidden_call(platform.machine(), self.outcome.syscall),
        )
        if told.reason is Reason.INTERNAL and self.fatal:
            sentence = f"{sentence} ({self.fatal})"
        return report.error_text(self.text("stderr"), sentence)


def _run(request: dict[str, Any]) -> RunRecord:
    """Fork a supervisor, have it run the request, and end it."""
    command_read, command_write = os.pipe()
    event_read, event_write = os.pipe()
    supervisor = os.fork()
    if supervisor == 0:
        os.close(command_write)
        os.close(event_read)
        _supervise(command_read, event_write)
    os.close(command_read)
    os.close(event_write)
    record = RunRecord()
    try:
        _converse(request, record, command_write, event_read)
    except (ProtocolError, OSError, TimeoutError) as error:
        record.fatal = record.fatal or str(error)
    finally:
        os.close(command_write)
        with contextlib.suppress(ProcessLookupError):
            os.kill(supervisor, signal.SIGKILL)
        os.waitpid(supervisor, 0)
    return record


def _supervise(commands: int, events: int) -> NoReturn:
    status = 1
    try:
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)  # orphans of the run come to it, as they would to PID 1
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(2, 1)
        config = _config()
        os.environ |= {"HOME": config.box, "TMPDIR": config.box, "MPLCONFIGDIR": f"{config.box}/matplotlib"}
        status = Supervisor(config, commands, events).serve()
    finally:
        os._exit(status)


def _config() -> AgentConfig:
    uid = random.choice(_UIDS)  # noqa: S311  # not a secret: kernel quotas are per uid, and two rarely meet
    box = tempfile.mkdtemp(prefix="work-", dir=_SHARED_MEMORY)
    os.chown(box, uid, uid)
    return AgentConfig(
        uid=uid,
        box=box,
        writable=(box,),
        uid_processes=LIMITS.tasks + 1,  # and the holder of the memory
        accounts=ACCOUNTS,
        policies={"": {"extends": "strict"}},
    )


def _converse(request: dict[str, Any], record: RunRecord, commands: int, events: int) -> None:
    """Send the run when the supervisor is ready, feed it stdin, and take what it says until the end."""
    reader = EventReader()
    outgoing = b""
    deadline = time.monotonic() + _BOOT_WITHIN
    started = False
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the supervisor is mute")
        ready = select.select([events], [commands] if outgoing else [], [], left)
        if ready[1]:
            outgoing = outgoing[os.write(commands, outgoing[: select.PIPE_BUF]) :]
        if not ready[0]:
            continue
        data = os.read(events, 1 << 16)
        if not data:
            raise ProtocolError("the supervisor ended")
        for event in reader.feed(data):
            if event.type is EventType.READY and not started:
                started = True
                deadline = time.monotonic() + request["timeout"] + 5
                outgoing = _commands(request)
            elif record.take(event):
                return


def _commands(request: dict[str, Any]) -> bytes:
    payload = {
        "code": request["code"],
        "args": request["args"],
        "policy": "",
        "check": False,
        "cpu": None,
        "display": False,
        "interactive": False,
        "files": [],
    }
    stdin = request["stdin"].encode("utf-8", "replace")
    run = protocol.command(
        Command.RUN,
        1,
        json.dumps(payload).encode(),
        flags=STDIN_OPEN if stdin else 0,
        wall_ms=int(request["timeout"] * 1000),
        output_bytes=LIMITS.output,
    )
    if not stdin:
        return run
    return run + protocol.command(Command.STDIN, 1, stdin) + protocol.command(Command.STDIN, 1)
