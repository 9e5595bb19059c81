"""The store of answers that are given again: an `AnswerStore` of `jobs`."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Sequence

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from code_executor.jobs.idempotency import Answer, AnswerPendingError, OtherRequestError
from code_executor.storage.database import Database
from code_executor.storage.tables import idempotency as table

_PENDING = "the first request with this key is still being answered"


class SqlAnswerStore:
    """Answers in a database, whose schema must be up to date. Bodies are kept compressed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, name: bytes, fingerprint: bytes, claim: str, until: float) -> Answer | None:
        now = time.time()
        try:
            async with self._database.writing() as connection:
                found = await connection.execute(select(table).where(table.c.id == name).with_for_update())
                row = found.one_or_none()
                if row is not None and row.until > now:
                    if bytes(row.fingerprint) != fingerprint:
                        raise OtherRequestError("the key was used for a request with another body")
                    if row.claim is not None:
                        raise AnswerPendingError(_PENDING)
                    return Answer(row.status, json.loads(row.headers), zlib.decompress(bytes(row.body)))
                if row is not None:
                    await connection.execute(delete(table).where(table.c.id == name))
                values = {"id": name, "fingerprint": fingerprint, "claim": claim, "until": until}
                await connection.execute(insert(table).values(values))
        except IntegrityError:  # another server claimed it in the same moment
            raise AnswerPendingError(_PENDING) from None
        return None

    async def renew(self, names: Sequence[bytes], claim: str, until: float) -> None:
        async with self._database.writing() as connection:
            which = table.c.id.in_(names) & (table.c.claim == claim)
            await connection.execute(update(table).where(which).values(until=until))

    async def keep(self, name: bytes, claim: str, answer: Answer, until: float) -> None:
        values = {
            "claim": None,
            "until": until,
            "status": answer.status,
            "headers": json.dumps(dict(answer.headers)),
            "body": zlib.compress(answer.body, 1),
        }
        async with self._database.writing() as connection:
            which = (table.c.id == name) & (table.c.claim == claim)
            await connection.execute(update(table).where(which).values(values))

    async def drop(self, name: bytes, claim: str) -> None:
        async with self._database.writing() as connection:
            await connection.execute(delete(table).where((table.c.id == name) & (table.c.claim == claim)))
