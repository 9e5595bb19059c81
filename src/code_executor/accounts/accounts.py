"""Who asks, by key: the keys that this process knows, and how it learns of others.

All keys are in memory, so that a run waits for no database. A task looks for changes every `EVERY` seconds: a key that
was added, rotated or revoked elsewhere counts here after that long at most. If its source cannot be read, the keys that
are known go on for `STALE` seconds, and then none is good any more.

Without keys, everybody may ask for everything. Once there was a key, even a revoked one, there is no way back in this
process: it never opens because something could not be read.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol, Self

import structlog

from code_executor.accounts import credentials
from code_executor.accounts.keys import Key, MissingScopeError, Scope, UnknownCredentialError
from code_executor.accounts.learners import Tokens, checked_name, pseudonym
from code_executor.accounts.secret import ServerSecret
from code_executor.core.caller import Caller
from code_executor.core.errors import CodeExecutorError, ConfigurationError, StorageError

log = structlog.get_logger()

EVERY = 2.0
STALE = 3600.0

_DUMMY = credentials.digest("")


class KeySource(Protocol):
    """Where keys are written down."""

    async def keys(self) -> Sequence[Key]:
        """Return all of them; raise ``StorageError`` or ``ConfigurationError``."""


@dataclass(frozen=True, slots=True)
class Presented:
    """What a request says of who asks: a key or a token, and for which learner and course; None: nothing."""

    credential: str | None = None
    learner: bytes | None = None
    course: bytes | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, and what for it may. ``scopes`` None: everything. ``origins``: whose pages may use its key.

    ``is_token``: it is a learner, who asks with a token that a platform signed.
    """

    caller: Caller
    scopes: frozenset[Scope] | None = None
    origins: tuple[str, ...] = ()
    is_token: bool = False

    def require(self, scope: Scope) -> None:
        """Raise ``MissingScopeError`` unless it may."""
        if self.scopes is not None and scope not in self.scopes:
            raise MissingScopeError(scope)


class Accounts:
    """See above. Use it as an async context manager; entering it reads the keys, and raises what that raises.

    ``read_secret``: returns the server secret, None while there is none; learners need it. ``closed``: that a key is
    needed even while there is none.
    """

    def __init__(
        self,
        sources: Sequence[KeySource] = (),
        read_secret: Callable[[], ServerSecret | None] = lambda: None,
        *,
        closed: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.closed = closed
        self.secret: ServerSecret | None = None
        self._read_secret = read_secret
        self._sources = sources
        self._tokens = Tokens()
        self._now = now
        self._keys: dict[str, Key] = {}
        self._origins: frozenset[str] = frozenset()
        self._read_at = now()
        self._failing = False
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.refresh()
        if self._sources:
            self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    # ---- who asks

    def identify(self, presented: Presented, address: str) -> Identity:
        """Say who asks with this: while no key is needed, that is an address.

        Raises ``UnknownCredentialError``, ``MissingScopeError`` for whoever may not say for whom it asks, and
        ``LearnerNameError``.
        """
        if not self.closed:
            return Identity(Caller.of_address(address))
        credential = presented.credential
        if credential is None:
            raise UnknownCredentialError("this needs a key: send it as `Authorization: Bearer`")
        if not credential.startswith(credentials.PREFIX):
            identity = self._by_token(credential)
        else:
            key = self.find(credential)
            identity = Identity(key.caller, key.scopes, key.limits.origins)
        if presented.learner is None and presented.course is None:
            return identity
        identity.require(Scope.LEARNER_ANY)
        return replace(identity, caller=self._for_learner(identity.caller, presented))

    def _by_token(self, token: str) -> Identity:
        now = self._require_fresh()
        if self.secret is None:
            raise UnknownCredentialError("the key or token is not valid")
        ticket = self._tokens.read(token, self._keys.get, self.secret, now)
        return Identity(ticket.caller, ticket.scopes, ticket.key.limits.origins, is_token=True)

    def _for_learner(self, caller: Caller, presented: Presented) -> Caller:
        learner, course = presented.learner, presented.course
        if course is not None:
            caller = replace(caller, course=checked_name(course, "X-Course").decode())
        if learner is not None:
            name = checked_name(learner, "X-Learner")
            caller = replace(caller, learner=pseudonym(self._require_secret(), self._keys[caller.id[3:]], name))
        return caller

    def _require_secret(self) -> ServerSecret:
        if self.secret is None:
            raise StorageError("the server secret cannot be read; it is safe to try again")
        return self.secret

    def _require_fresh(self) -> float:
        now = self._now()
        if now - self._read_at > STALE:
            raise StorageError("the keys cannot be read; it is safe to try again")
        return now

    def find(self, credential: str) -> Key:
        """Return the key that has this secret; raise ``UnknownCredentialError``, which does not say why."""
        now = self._require_fresh()
        parsed = credentials.parse(credential)
        if parsed is not None:
            key = self._keys.get(parsed[0])
            digest = credentials.digest(parsed[1])
            is_current = hmac.compare_digest(digest, key.hash if key else _DUMMY)
            is_previous = hmac.compare_digest(digest, (key and key.previous) or _DUMMY)
            if key is not None and key.is_valid(now) and (is_current or (is_previous and key.has_previous(now))):
                return key
        raise UnknownCredentialError("the key or token is not valid")

    def is_origin(self, origin: str) -> bool:
        """Whether pages of this origin may use some key."""
        return origin in self._origins

    @property
    def has_origins(self) -> bool:
        """Whether any key has origins of its own."""
        return bool(self._origins)

    # ---- what there is

    @property
    def keys(self) -> Sequence[Key]:
        return tuple(self._keys.values())

    def key(self, key_id: str) -> Key | None:
        """Return the key with an id, whether it is valid or not."""
        return self._keys.get(key_id)

    async def refresh(self) -> None:
        """Read the keys again; raise ``StorageError`` or ``ConfigurationError``, and keep what is known."""
        keys = [key for source in self._sources for key in await source.keys()]
        if self.secret is None:
            self.secret = self._read_secret()
        # what has not changed stays the same object, so that what was made of it stays too
        by_id = {key.id: before if (before := self._keys.get(key.id)) == key else key for key in keys}
        if len(by_id) < len(keys):
            raise ConfigurationError("two keys have the same id, one in the file and one in the database")
        now = self._now()
        self._keys = by_id
        self._origins = frozenset(
            origin for key in by_id.values() if key.is_valid(now) for origin in key.limits.origins
        )
        self._read_at = now
        if keys and not self.closed:
            self.closed = True
            log.info("keys_needed", keys=len(keys))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self.refresh()
            except CodeExecutorError as error:
                if not self._failing:
                    log.error("keys_unreadable", why=str(error), known=len(self._keys))  # noqa: TRY400  # a sentence
                self._failing = True
            except Exception:
                log.exception("keys_failed")
            else:
                self._failing = False
