"""Starts strace and reads its log: `follow` attaches to processes and to what they fork; `parse` reads."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

OPTIONS = ("--absolute-timestamps=format:unix,precision:ns", "--syscall-times=ns")
_ENDED_WITHIN = 10.0

_LINE = re.compile(r"^(?:(?P<pid>\d+) +)?(?P<at>\d+\.\d+) (?P<rest>.*)$")
_WHOLE = re.compile(r"^(?P<name>\w+)\((?P<args>.*)\) += (?P<result>-?\w+|\?)(?P<note>.*?)(?: <(?P<took>[\d.]+)>)?$")
_RESUMED = re.compile(r"^<\.\.\. (?P<name>\w+) resumed>(?P<tail>.*)$")
_UNFINISHED = " <unfinished ...>"


@dataclass(frozen=True)
class Call:
    """One system call. ``start`` and ``end`` are seconds of the wall clock; ``result`` is None if it never returned.

    ``pid`` is 0 in the log of a single process, because strace leaves it out there.
    """

    pid: int
    name: str
    arguments: str
    result: int | None
    error: str
    start: float
    end: float

    @property
    def descriptor(self) -> int | None:
        """Its first argument, if that is a number."""
        first = self.arguments.partition(",")[0]
        return int(first) if first.isdigit() else None


def read(log: Path) -> list[Call]:
    """Return the calls of a log that `follow` wrote."""
    return parse(log.read_text(errors="replace").splitlines())


def parse(lines: Iterable[str]) -> list[Call]:
    """Return the calls in the order in which they began. Lines about signals and exits are left out."""
    calls: list[Call] = []
    begun: dict[int, tuple[str, float]] = {}
    for line in lines:
        if not (match := _LINE.match(line.rstrip("\n"))):
            continue
        pid, at, rest = int(match["pid"] or 0), float(match["at"]), match["rest"]
        if rest.endswith(_UNFINISHED):
            begun[pid] = rest.removesuffix(_UNFINISHED), at
            continue
        start = at
        if resumed := _RESUMED.match(rest):
            if pid not in begun:
                continue
            head, start = begun.pop(pid)
            rest = head + resumed["tail"]
        if call := _call(pid, rest, start):
            calls.append(call)
    calls += [call for pid, (head, start) in begun.items() if (call := _call(pid, head + ") = ?", start))]
    return sorted(calls, key=lambda call: call.start)


def _call(pid: int, text: str, start: float) -> Call | None:
    match = _WHOLE.match(text)
    if match is None:
        return None
    result = _number(match["result"])
    error = match["note"].split()[0] if result == -1 and match["note"].split() else ""
    return Call(pid, match["name"], match["args"], result, error, start, start + float(match["took"] or 0))


def _number(text: str) -> int | None:
    """Read ``-1``, ``0x7f``, ``022`` (a umask, octal) or ``?`` (it never returned)."""
    with contextlib.suppress(ValueError):
        return int(text, 8 if re.fullmatch("0[0-7]+", text) else 0)
    return None


def present() -> bool:
    return shutil.which("strace") is not None


@contextlib.contextmanager
def follow(pids: Sequence[int], log: Path, *, forks: bool = True, strings: int = 96) -> Iterator[None]:
    """Trace ``pids`` into ``log`` while the block runs; with ``forks`` also what they fork from now on.

    Raises ``RuntimeError`` with strace's message if it cannot attach (you must be root, or the same user without Yama).
    """
    command = ["strace", *OPTIONS, "-o", str(log), "-s", str(strings), *(["-f"] if forks else [])]
    for pid in pids:
        command += ["-p", str(pid)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        for _ in pids:
            line = process.stderr.readline()  # "strace: Process PID attached"
            if "attached" not in line:
                raise RuntimeError(line.strip() or "strace ended")
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=_ENDED_WITHIN)
