"""From what a sandbox says about an order to the answer: what came of a thing done with files."""

from __future__ import annotations

from collections.abc import Sequence

from code_executor.core.limits import Limits
from code_executor.core.models import FileAnswer, FileEntry
from code_executor.sandbox.conversation import outcome_of
from sandbox_agent.contract import claims, protocol
from sandbox_agent.contract.claims import ClaimError
from sandbox_agent.contract.protocol import Cause, EventType, RecordReader
from sandbox_agent.contract.report import LONGEST_MESSAGE

DISTURBED = FileAnswer(fault="DISTURBED")
"""The clerk did not come to the end of its answer: processes of the session can end it, or leave it no room."""

SLOW = FileAnswer(fault="SLOW")

_LONGEST_PATH = 1 << 16


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
    data = records[1].data if len(records) > 1 else b""
    try:
        head = claims.parsed(records[0].data if records else b"")
    except ClaimError:
        return DISTURBED
    fault = claims.text(head.get("fault", ""))
    entries = [_entry(each) for each in claims.listed(head.get("entries"), protocol.MAX_LISTING)]
    if fault is None or (not fault and claims.natural(head.get("size", 0)) != len(data)) or None in entries:
        return DISTURBED
    return FileAnswer(
        entries=tuple(entry for entry in entries if entry is not None),
        omitted=claims.natural(head.get("omitted")) or 0,
        data=data,
        made=head.get("made") is True,
        fault=fault,
        why=claims.text(head.get("why"), LONGEST_MESSAGE) or "",
    )


def _entry(claimed: object) -> FileEntry | None:
    match claimed:
        case [path, size] if (name := claims.relative(path, _LONGEST_PATH)) is not None:
            found = claims.natural(size)
            return FileEntry(name, found) if found is not None else None
    return None
