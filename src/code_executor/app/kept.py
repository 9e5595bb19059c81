"""What the server keeps: its database, which is opened when there is one, and the keys in it.

A server that keeps nothing opens nothing, and does not even import what that takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

import structlog

from code_executor.accounts.accounts import Accounts, KeySource
from code_executor.accounts.keyfile import KeyFile
from code_executor.accounts.keys import Key, KeyStore
from code_executor.accounts.secret import ServerSecret
from code_executor.app import hooks
from code_executor.app.access import is_loopback
from code_executor.app.settings import Settings
from code_executor.core.errors import ConfigurationError, StorageError
from code_executor.grading.store import SuiteStore
from code_executor.jobs.idempotency import AnswerStore
from code_executor.jobs.webhooks import WebhookStore

if TYPE_CHECKING:
    from code_executor.storage.database import Database
    from code_executor.storage.leases import SqlLeaseStore

log = structlog.get_logger()

OPEN = (
    "no key is configured: whoever can reach {host} can run programs. Make a key with `code-executor keys add`, or "
    "listen on 127.0.0.1"
)


class Kept:
    """See above. Use it as an async context manager. It is a `KeySource`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = contextlib.AsyncExitStack()
        self._opening = asyncio.Lock()
        self._database: Database | None = None
        self._store: KeyStore | None = None
        self._jobs: SqlLeaseStore | None = None
        self._answers: AnswerStore | None = None
        self._suites: SuiteStore | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def store(self) -> KeyStore | None:
        """Return the store of keys, None while there is no database; raise ``StorageError`` or ``SchemaError``."""
        return await self.make_store() if self._exists else None

    async def make_store(self) -> KeyStore:
        """Return the store of keys, in a database that is made if there is none."""
        if self._store is None:
            database = await self.database()
            from code_executor.storage.keys import SqlKeyStore  # noqa: PLC0415  # brings SQLAlchemy along

            self._store = SqlKeyStore(database)
        return self._store

    async def jobs(self, make: bool = False) -> SqlLeaseStore | None:
        """Return the store of jobs, None while there is no database, unless it is to be made; raise as `store`."""
        if self._jobs is None and (make or self._exists):
            database = await self.for_a_request()
            from code_executor.storage.leases import SqlLeaseStore  # noqa: PLC0415

            deliveries = hooks.deliveries_of(self._settings.request_limits())
            self._jobs = self._jobs or SqlLeaseStore(database, self._settings.job_rules(), deliveries)
        return self._jobs

    async def webhooks(self) -> WebhookStore | None:
        """Return the store of webhooks, None while there is no database; raise as `store`."""
        if not self._exists:
            return None
        database = await self.for_a_request()
        from code_executor.storage.webhooks import SqlWebhookStore  # noqa: PLC0415

        return SqlWebhookStore(database)

    async def answers(self) -> AnswerStore:
        """Return the store of answers that can be given again, in a database that is made if there is none."""
        if self._answers is None:
            database = await self.for_a_request()
            from code_executor.storage.answers import SqlAnswerStore  # noqa: PLC0415

            self._answers = SqlAnswerStore(database)
        return self._answers

    async def suites(self, make: bool = False) -> SuiteStore | None:
        """Return the store of suites, None while there is no database, unless it is to be made; raise as `store`."""
        if self._suites is None and (make or self._exists):
            database = await self.for_a_request()
            from code_executor.storage.suites import SqlSuiteStore  # noqa: PLC0415

            self._suites = SqlSuiteStore(database)
        return self._suites

    @property
    def _exists(self) -> bool:
        return self._database is not None or self._settings.database_exists()

    async def for_a_request(self) -> Database:
        """As `database`, for whoever is not to know what is wrong with it."""
        try:
            return await self.database()
        except ConfigurationError as error:
            log.error("database_not_opened", why=str(error))  # noqa: TRY400  # a sentence
            raise StorageError("the database cannot be opened; the log says why") from None

    async def database(self) -> Database:
        """Return the database, which is made if there is none; raise ``StorageError`` or ``SchemaError``."""
        async with self._opening:
            if self._database is None:
                # which take long to import: meanwhile programs run
                storage = await asyncio.to_thread(importlib.import_module, "code_executor.storage.database")
                schema = await asyncio.to_thread(importlib.import_module, "code_executor.storage.schema")
                async with contextlib.AsyncExitStack() as opening:
                    database = await opening.enter_async_context(storage.Database.open(self._settings.database_url()))
                    await schema.require(database)
                    await self._stack.enter_async_context(opening.pop_all())
                self._database = database
        return self._database

    async def keys(self) -> Sequence[Key]:
        store = await self.store()
        return () if store is None else await store.keys()


@contextlib.asynccontextmanager
async def open_accounts(settings: Settings, kept: Kept) -> AsyncIterator[Accounts]:
    """Open the keys of a process that answers HTTP, and make sure that they are this server's.

    Raises ``ConfigurationError`` or ``StorageError``: a server that cannot read its keys does not start.
    """
    sources: list[KeySource] = [kept]
    if settings.keys:
        sources.append(KeyFile(settings.keys))
    path = settings.secret_path()
    async with Accounts(sources, lambda: ServerSecret.read(path), closed=bool(settings.keys)) as accounts:
        _require_secret(path, accounts.secret, accounts.keys)
        if accounts.closed and accounts.secret is None:  # keys of a file that say nothing of it
            accounts.secret = ServerSecret.make(path)
        yield accounts


def _require_secret(path: str, secret: ServerSecret | None, keys: Sequence[Key]) -> None:
    for key in keys:
        if key.server and key.revoked is None and (secret is None or secret.fingerprint != key.server):
            raise ConfigurationError(
                f"the key {key.name} was made with another server secret than {path}"
                f"{' (which does not exist)' if secret is None else ''}: copy the one it was made with, "
                "or name it in CODE_EXECUTOR_SECRET_FILE"
            )


def exposure(settings: Settings, accounts: Accounts) -> str:
    """Return what is to be said of a server that strangers can reach and that needs no key; else an empty text."""
    if accounts.closed or is_loopback(settings.host):
        return ""
    return OPEN.format(host=settings.host)


def warn_of_exposure(settings: Settings, accounts: Accounts) -> None:
    """Log it; raise ``ConfigurationError`` if a key is required."""
    why = exposure(settings, accounts)
    if why and settings.require_key:
        raise ConfigurationError(f"CODE_EXECUTOR_REQUIRE_KEY is set, and {why}")
    if why:
        log.warning("open_to_the_network", why=why)
