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

key_days = Table(
    "key_days",
    METADATA,
    Column("key", String(8), primary_key=True),
    Column("day", String(10), primary_key=True),  # 2026-11-29
    Column("seconds", Double, nullable=False),  # of sandboxes
)

# ---- webhooks

webhooks = Table(
    "webhooks",
    METADATA,
    Column("id", String(32), primary_key=True),  # of the message
    Column("job", String(64), nullable=False, unique=True),
    Column("key", String(8), nullable=False),  # whose secret signs
    Column("url", Text, nullable=False),
    Column("host", String(300), nullable=False),  # and port
    Column("body", LargeBinary, nullable=False),
    Column("trace", String(64), nullable=False),
    Column("state", String(9), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Double, nullable=False),  # while it is being sent: when the lease ends
    Column("lease", String(16)),  # of who sends it
    Column("status", Integer),  # of the last answer
    Column("error", Text, nullable=False),
    Column("created", Double, nullable=False),
    Index(
        "webhooks_due",
        "next_at",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
)

webhook_secrets = Table(
    "webhook_secrets",
    METADATA,
    Column("key", String(8), primary_key=True),
    Column("generation", Integer, nullable=False),  # without a row it is 1
    Column("previous_until", Double),
)
