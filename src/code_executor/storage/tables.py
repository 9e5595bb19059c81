"""The tables, as they are after the newest migration. Times are seconds since 1970, in UTC."""

from __future__ import annotations

from sqlalchemy import Column, Double, Index, Integer, LargeBinary, MetaData, String, Table, Text, text

METADATA = MetaData()

keys = Table(
    "keys",
    METADATA,
    Column("id", String(8), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("previous", LargeBinary(32)),  # the hash of the secret before, while that is valid
    Column("previous_until", Double),
    Column("server", String(16), nullable=False),  # which server secret its learner tokens depend on
    Column("scopes", Text, nullable=False),  # separated by blanks
    Column("limits", Text, nullable=False),  # JSON
    Column("created", Double, nullable=False),
    Column("expires", Double),
    Column("revoked", Double),
    Index(
        "keys_living_name",
        "name",
        unique=True,
        sqlite_where=text("revoked IS NULL"),
        postgresql_where=text("revoked IS NULL"),
    ),
)

suites = Table(
    "suites",
    METADATA,
    Column("owner", String(64), primary_key=True),  # the caller that a key is; empty while there are no keys
    Column("id", String(100), primary_key=True),
    Column("version", String(64), primary_key=True),  # SHA-256 of the text
    Column("text", LargeBinary, nullable=False),  # canonical JSON
    Column("stored", Double, nullable=False),  # when it was stored last: the newest is the one that a name alone means
    Index("suites_newest", "owner", "id", "stored"),
)

key_days = Table(
    "key_days",
    METADATA,
    Column("key", String(8), primary_key=True),
    Column("day", String(10), primary_key=True),  # 2026-11-29
    Column("seconds", Double, nullable=False),  # of sandboxes
)
