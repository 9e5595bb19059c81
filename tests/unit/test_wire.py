"""The head of an answer leaves with the first piece of its body, or when there will be none."""

from __future__ import annotations

import asyncio
from typing import Any

from code_executor.app.wire import HeadWithBody

HEAD, BODY = b"HTTP/1.1 200 OK\r\n\r\n", b"body"


class Written(asyncio.Transport):
    """A transport that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.told.append(bytes(data))

    def close(self) -> None:
        self.told.append("close")

    def is_closing(self) -> bool:
        return "close" in self.told


def test_a_head_waits_for_the_body() -> None:
    transport = Written()
    answer = HeadWithBody(transport)
    answer.holds = True
    answer.write(HEAD)
    assert transport.told == []
    answer.write(BODY)
    answer.write(BODY)
    assert transport.told == [HEAD + BODY, BODY]


def test_what_is_no_head_leaves_at_once() -> None:
    transport = Written()
    answer = HeadWithBody(transport)
    answer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert transport.told == [b"HTTP/1.1 100 Continue\r\n\r\n"]


def test_a_head_without_a_body_is_sent_before_the_end() -> None:
    transport = Written()
    answer = HeadWithBody(transport)
    answer.holds = True
    answer.write(HEAD)
    answer.close()
    assert transport.told == [HEAD, "close"]
    assert answer.is_closing()
