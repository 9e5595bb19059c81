"""The commands of whoever administers a service: `db`, and what `keycommands` and `receiptcommands` have."""

from __future__ import annotations

import asyncio
from typing import Any

from code_executor.app import keycommands, receiptcommands
from code_executor.app.settings import Settings


def add_parsers(commands: Any) -> None:
    """Add the commands to those of the command line."""
    keycommands.add_parsers(commands)
    keycommands.add_token_parser(commands)
    receiptcommands.add_parser(commands)
    db = commands.add_parser("db", help="the database: bring its schema up to date, or check it")
    parts = db.add_subparsers(dest="action", required=True)
    parts.add_parser("upgrade", help="bring the schema up to date; make it, if there is none")
    parts.add_parser("check", help="say whether the schema is up to date; the exit status is 1 if it is not")


def run_db(options: dict[str, Any]) -> int:
    """`db upgrade` and `db check`."""
    return asyncio.run(_db(options["action"], Settings.load()))


async def _db(action: str, settings: Settings) -> int:
    from code_executor.storage import schema  # noqa: PLC0415  # brings SQLAlchemy along, for this command alone
    from code_executor.storage.database import Database  # noqa: PLC0415

    if action == "check" and not settings.database_exists():
        print(f"there is no database yet: {settings.database_url()}")
        return 1
    async with Database.open(settings.database_url()) as database:
        if action == "check":
            standing = await schema.check(database)
            print(standing)
            return 0 if standing.is_current else 1
        before = await schema.upgrade(database)
        if before.is_current:
            print(before)
        else:
            print(f"the schema of {before.name} was {before.version or 'not made yet'}, and is now {schema.NEWEST}")
        return 0


COMMANDS = {
    "db": run_db,
    "keys": keycommands.run,
    "token": keycommands.run_token,
    "receipts": receiptcommands.run,
}
