"""Alembic's part of a migration: it runs on the connection, and in the transaction, of `storage.schema`."""

from __future__ import annotations

from alembic import context

from code_executor.storage.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,  # SQLite's are too, since `storage.database` begins the transaction itself
)
with context.begin_transaction():
    context.run_migrations()
