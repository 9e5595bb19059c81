"""What both databases say in their own words, and how texts are kept."""

from __future__ import annotations

import json
import zlib
from typing import Any

from sqlalchemy import Insert, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


def insert_missing(connection: AsyncConnection, table: Table) -> Any:
    """Return an insertion that leaves a row alone that is there already."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return postgresql.insert(table).on_conflict_do_nothing()


def insert_or_set(connection: AsyncConnection, table: Table, row: dict[str, Any], *changed: str) -> Insert:
    """Return an insertion of ``row`` that changes these columns of a row that is there already."""
    made: Any = sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)
    keys = [column.name for column in table.primary_key]
    statement: Insert = made.values(row).on_conflict_do_update(
        index_elements=keys, set_={name: made.excluded[name] for name in changed}
    )
    return statement


def pack(value: Any) -> bytes:
    """Return a JSON value as compressed bytes."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return zlib.compress(text.encode("utf-8", "surrogatepass"))


def unpack(data: bytes) -> Any:
    return json.loads(zlib.decompress(data).decode("utf-8", "surrogatepass"))
