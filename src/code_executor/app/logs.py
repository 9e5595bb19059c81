"""Log lines go to stderr: JSON for machines, or for people. Never a program's code or output.

The lines of libraries (uvicorn, asyncio, Docker's client) take the same way. A client can cause some of them as often
as it likes, so of each kind one is written now and then, with how many there were.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

from code_executor.app import telemetry
from code_executor.app.settings import Settings

_MOST_KINDS = 1000


class Seldom:
    """Lets one line of a kind through in so many ``seconds``, and counts the others."""

    def __init__(self, seconds: float = 10.0, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._now = now
        self._kinds: dict[str, tuple[float, int]] = {}

    def may(self, kind: str) -> int:
        """Return how many lines of this kind there were since one was let through; 0: this one is held back."""
        now = self._now()
        next_at, held = self._kinds.get(kind, (now, 0))
        if now < next_at:
            self._kinds[kind] = next_at, held + 1
            return 0
        if len(self._kinds) >= _MOST_KINDS:
            self._kinds.clear()
        self._kinds[kind] = now + self._seconds, 0
        return held + 1


class _Libraries(logging.StreamHandler[Any]):
    """Writes what libraries log."""

    def __init__(self, renderer: structlog.typing.Processor, shared: list[structlog.typing.Processor]) -> None:
        super().__init__(sys.stderr)
        self._seldom = Seldom()
        self.addFilter(self._count)
        drop = structlog.stdlib.ProcessorFormatter.remove_processors_meta
        self.setFormatter(
            structlog.stdlib.ProcessorFormatter(processors=[drop, renderer], foreign_pre_chain=[_told, *shared])
        )

    def _count(self, record: logging.LogRecord) -> bool:
        times = self._seldom.may(f"{record.name} {record.levelno} {record.msg}")
        record.__dict__["times"] = times
        return bool(times)


def _told(_: object, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Say which library speaks, and how many lines were like this one."""
    record: Any = line["_record"]
    return {**line, "event": str(line["event"]).strip(), "logger": record.name, "times": record.times}


def _readable(_: object, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape what would move a terminal's cursor, or colour it; tracebacks keep their lines."""
    for name, value in line.items():
        if isinstance(value, str) and not value.isprintable():
            kept = "\n" if name == "exception" else ""
            line[name] = "".join(c if c.isprintable() or c == kept else ascii(c)[1:-1] for c in value)
    return line


def configure_logging(settings: Settings) -> None:
    """Write lines as ``settings`` have it, in this process."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    level = getattr(logging, settings.log_level.upper())
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
        _readable,
    ]
    traced = [telemetry.note_trace] if telemetry.is_configured() and telemetry.is_installed() else []
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *traced, *shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),  # a line at once: workers write to the same stream
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, _Libraries)]:
        root.removeHandler(handler)
    root.addHandler(_Libraries(renderer, shared))
    root.setLevel(max(level, logging.WARNING))
    logging.captureWarnings(capture=True)
