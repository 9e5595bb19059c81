"""From what a sandbox says about an order to the answer: what came of a thing done with files."""

from __future__ import annotations

import json
from collections.abc import Sequence

from code_executor.core.limits import Limits
from code_executor.core.models import FileAnswer, FileEntry
from code_executor.sandbox.conversation import outcome_of
from sandbox_agent.contract import protocol
from sandbox_agent.contract.protocol import Cause, EventType, RecordReader

DISTURBED = FileAnswer(fault="DISTURBED")
"""The clerk did not come to the end of its answer: processes of the session can end it, or leave it no room."""

SLOW = FileAnswer(fault="SLOW")


class AnswerTranscript:
    """Collects the answers of the clerk, one after the other. What is no answer counts as none."""

    def __init__(self, limits: Limits) -> None:
        self._most = limits.attachments + protocol.MAX_LISTING + protocol.ANSWER_SLACK
        self._begin()

    def _begin(self) -> None:
        self._reader = RecordReader(self._most)
        self._records: list[protocol.Record] = []

    def take(self, event: protocol.Event) -> Sequence[FileAnswer]:
        """Note a piece of an answer, or return the answer at its end."""
        if event.type is EventType.FILE:
            self._records += self._reader.feed(event.body)
            return []
        cause, records = outcome_of(event).cause, self._records
        self._begin()
        if cause is Cause.WALL_TIME:
            return [SLOW]
        return [_answer(records) if cause is Cause.REPORTED else DISTURBED]


def _answer(records: list[protocol.Record]) -> FileAnswer:
    try:
        head = json.loads(records[0].data)
        data = records[1].data if len(records) > 1 else b""
        if len(data) != head.get("size", 0):
            return DISTURBED
        return FileAnswer(
            entries=tuple(FileEntry(str(path), int(size)) for path, size in head.get("entries", ())),
            omitted=int(head.get("omitted", 0)),
            data=data,
            made=bool(head.get("made", False)),
            fault=str(head.get("fault", "")),
            why=str(head.get("why", "")),
        )
    except (ValueError, TypeError, IndexError, AttributeError, RecursionError):
        return DISTURBED
