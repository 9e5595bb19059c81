"""This process's stdin and Ctrl-C, as the inputs of an interactive run."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator

from code_executor.core.models import Cancel, Input, Interrupt, Stdin

_PIECE = 1 << 16


@contextlib.contextmanager
def inputs() -> Iterator[AsyncIterator[Input]]:
    """Yield what comes in on stdin, as it comes; the first Ctrl-C interrupts the program, the second ends it."""
    queue: asyncio.Queue[Input] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    # a daemon: nothing can make it return while it waits for somebody to type
    threading.Thread(target=_read, args=(loop, queue), daemon=True).start()
    pressed: list[Input] = [Cancel(), Interrupt()]
    loop.add_signal_handler(signal.SIGINT, lambda: queue.put_nowait(pressed.pop() if len(pressed) > 1 else pressed[0]))
    try:
        yield _items(queue)
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _read(loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[Input]) -> None:
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for it
        while data := _piece():
            loop.call_soon_threadsafe(queue.put_nowait, Stdin(decode(data)))
        loop.call_soon_threadsafe(queue.put_nowait, Stdin(decode(b"", final=True)))
        loop.call_soon_threadsafe(queue.put_nowait, Stdin(None))


def _piece() -> bytes:
    with contextlib.suppress(OSError):  # stdin is closed, or is nothing that can be read
        return os.read(0, _PIECE)
    return b""


async def _items(queue: asyncio.Queue[Input]) -> AsyncIterator[Input]:
    while True:
        yield await queue.get()
