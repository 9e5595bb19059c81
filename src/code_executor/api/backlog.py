"""What a run says, on its way to a client that may be slow: the run never waits for its reader.

A task takes the events of the run as they come, so that the run ends in its time and its sandbox is free, and puts them
here. Another sends them. What waits is part of what the client is owed (`outbox`), which bounds it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import structlog

from code_executor.api.outbox import Debt
from code_executor.api.pieces import PIECE, cost
from code_executor.api.problems import Refusal, from_failure
from code_executor.core.codec import Object
from code_executor.core.errors import CodeExecutorError
from code_executor.core.models import CellDone, Display, Event, File, Output, Result

log = structlog.get_logger()


class Streamed:
    """What of a result was sent as events: bytes of output (as UTF-8), and how many displays and files."""

    def __init__(self) -> None:
        self._bytes = {"stdout": 0, "stderr": 0}
        self._output = 0  # characters of stdout
        self._errors: list[str] = []
        self._displays = self._files = 0

    def note(self, event: Event) -> None:
        match event:
            case Output(stream=stream, data=text):
                self._bytes[stream] += len(text.encode("utf-8", "replace"))
                if stream == "stderr":
                    self._errors.append(text)
                else:
                    self._output += len(text)
            case Display():
                self._displays += 1
            case File():
                self._files += 1

    def rest(self, result: Result) -> Result:
        """Return a result without what was sent: of ``error``, what is said beside stderr is left."""
        written = "".join(self._errors).removesuffix("\n")
        error = result.error
        if written and error.startswith(written):
            error = error[len(written) :].removeprefix("\n")
        return replace(
            result,
            output=result.output[self._output :],
            error=error,
            displays=result.displays[self._displays :],
            files=result.files[self._files :],
            stdout=None,
            stderr=None,
        )

    def object(self) -> Object:
        return {**self._bytes, "displays": self._displays, "files": self._files}


class Backlog:
    """The events of one run that wait to be sent to the client that is owed ``debt``."""

    def __init__(self, debt: Debt) -> None:
        self.streamed = Streamed()
        self._debt = debt
        self._items: deque[tuple[Event | Refusal, int]] = deque()
        self._cost = 0
        self._ended = False
        self._changed = asyncio.Event()

    async def fill(self, first: Event | None, events: AsyncGenerator[Event, None]) -> None:
        """Take what a run says to its end, after what was taken already; a failure of ours is said last."""
        try:
            async with aclosing(events):
                if first is not None:
                    self._put(first)
                async for event in events:
                    self._put(event)
        except CodeExecutorError as error:
            self._add(from_failure(error), 0)
        except Exception:
            log.exception("run_failed")
            self._add(Refusal(500, "The service failed."), 0)
        finally:
            self._ended = True
            self._changed.set()

    def _put(self, event: Event) -> None:
        if isinstance(event, CellDone | Result):
            event = self.streamed.rest(event.result if isinstance(event, CellDone) else event)
        self.streamed.note(event)
        self._add(event, cost(event))

    def _add(self, item: Event | Refusal, size: int) -> None:
        if self._ended:
            return
        self._items.append((item, size))
        self._cost += size
        self._changed.set()
        self._debt.hold(size)

    def finish(self, problem: Refusal) -> None:
        """Let a problem be the next and last thing that is sent."""
        self.clear()
        self._items.append((problem, 0))
        self._ended = True
        self._changed.set()

    def clear(self) -> None:
        """Let go of everything."""
        self._items.clear()
        self._debt.release(self._cost)
        self._cost = 0

    async def get(self) -> tuple[Event | Refusal, int] | None:
        """Return the next thing to send and what it costs to hold it, until `sent` is called; None after the last.

        What was written to one stream in many small pieces comes as one.
        """
        while not self._items:
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        item, size = self._items.popleft()
        return self._joined(item, size) if isinstance(item, Output) and self._items else (item, size)

    def _joined(self, first: Output, size: int) -> tuple[Output, int]:
        texts, raw = [first.data], [first.raw]
        while self._items and size < PIECE:
            item, more = self._items[0]
            if not isinstance(item, Output) or item.stream != first.stream:
                break
            self._items.popleft()
            texts.append(item.data)
            raw.append(item.raw)
            size += more
        return Output(first.stream, "".join(texts), b"".join(raw)), size

    def sent(self, size: int) -> None:
        """Note that what `get` returned is not held any more."""
        self._cost -= size
        self._debt.release(size)
