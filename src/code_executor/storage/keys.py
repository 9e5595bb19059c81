"""The store of keys: a `KeyStore` of `accounts`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import Row, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from code_executor.accounts.keys import Key, KeyLimits, KeyNameError, Scope
from code_executor.storage.database import Database
from code_executor.storage.tables import key_days
from code_executor.storage.tables import keys as table

_ADD = text(
    "INSERT INTO key_days (key, day, seconds) VALUES (:key, :day, :seconds) "
    "ON CONFLICT (key, day) DO UPDATE SET seconds = key_days.seconds + excluded.seconds"
)


class SqlKeyStore:
    """Keys in a database, whose schema must be up to date."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keys(self) -> Sequence[Key]:
        async with self._database.reading() as connection:
            rows = await connection.execute(select(table).order_by(table.c.created, table.c.id))
            return [_key(row) for row in rows]

    async def add(self, key: Key) -> None:
        try:
            async with self._database.writing() as connection:
                await connection.execute(insert(table).values(_row(key)))
        except IntegrityError:
            raise KeyNameError(f"there is a key with the name {key.name} already") from None

    async def replace(self, key: Key) -> None:
        async with self._database.writing() as connection:
            await connection.execute(update(table).where(table.c.id == key.id).values(_row(key)))

    async def add_seconds(self, day: str, seconds: Mapping[str, float]) -> Mapping[str, float]:
        async with self._database.writing() as connection:
            for key, each in sorted(seconds.items()):  # in one order, so that two servers do not wait for each other
                await connection.execute(_ADD, {"key": key, "day": day, "seconds": each})
            used = await connection.execute(select(key_days.c.key, key_days.c.seconds).where(key_days.c.day == day))
            return {row.key: row.seconds for row in used}


def _row(key: Key) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "hash": key.hash,
        "generation": key.generation,
        "previous": key.previous,
        "previous_until": key.previous_until,
        "server": key.server,
        "scopes": " ".join(sorted(key.scopes)),
        "limits": json.dumps(key.limits.model_dump(exclude_defaults=True)),
        "created": key.created,
        "expires": key.expires,
        "revoked": key.revoked,
    }


def _key(row: Row[tuple[object, ...]]) -> Key:
    return Key(
        id=row.id,
        name=row.name,
        hash=bytes(row.hash),
        server=row.server,
        scopes=frozenset(map(Scope, row.scopes.split())),
        limits=KeyLimits.read(json.loads(row.limits)),
        generation=row.generation,
        previous=None if row.previous is None else bytes(row.previous),
        previous_until=row.previous_until,
        created=row.created,
        expires=row.expires,
        revoked=row.revoked,
    )
