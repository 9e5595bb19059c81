"""Who gives receipts: finds out where a submission was run, and signs what came of it with the key of this service.

Where no key can be kept, grades have no receipt: one that nobody can verify later would be worth nothing.
"""

from __future__ import annotations

import asyncio
import time

import structlog

from code_executor.core.caller import Caller
from code_executor.core.errors import CodeExecutorError, ConfigurationError, StorageError
from code_executor.core.limits import Limits, limits_of_run
from code_executor.grading import receipts
from code_executor.grading.outcomes import Grade, Submission
from code_executor.grading.receipts import Previous, Site, Subject
from code_executor.grading.signing import PublicKey, Ring, RingFile
from code_executor.service.ports import EnvironmentDesk, Health

log = structlog.get_logger()

_ASKS_FOR = 10.0
"""Seconds in which an environment must say what it has; it is asked once."""


class Issuer:
    """See above. ``file``: where the keys are; None: nowhere. ``limits``: those of the service."""

    def __init__(self, file: RingFile | None, environments: EnvironmentDesk, health: Health, limits: Limits) -> None:
        self._file = file
        self._environments = environments
        self._health = health
        self._limits = limits
        self._found: dict[tuple[str, ...], dict[str, str]] = {}
        self._engine = ""
        self._said = ""

    async def issue(self, grade: Grade, subject: Subject) -> Grade:
        """Return the grade with its receipts, or as it is if there cannot be one."""
        if self._file is None:
            return grade
        try:
            ring = await asyncio.to_thread(self._file.need)
            site = await self._site(subject.submission)
            return await asyncio.to_thread(receipts.issue, ring, grade, subject, site, time.time())
        except CodeExecutorError as error:
            if (why := str(error)) != self._said:
                self._said = why
                log.warning("receipt_not_made", why=why)
            return grade

    async def verified(self, text: str) -> Previous:
        """Return what a receipt of this service says; raise ``ReceiptError`` or ``StorageError``."""
        ring = await self.ring()
        keys = () if ring is None else ring.keys
        claims = await asyncio.to_thread(receipts.verify, text, keys)
        return Previous(claims, receipts.digest_of(text))

    async def suite_of(self, previous: Previous) -> str:
        """Return which suite a receipt of this service is of, as `receipts.suite_of` does."""
        ring = await self.ring()
        return "" if ring is None else await asyncio.to_thread(receipts.suite_of, previous.claims, ring)

    async def keys(self) -> tuple[PublicKey, ...]:
        """Return the keys that receipts of this service verify with; raise ``StorageError``."""
        ring = await self.ring()
        return () if ring is None else ring.keys

    async def ring(self) -> Ring | None:
        """Return the keys, None where none was made yet; raise ``StorageError``."""
        if self._file is None:
            return None
        try:
            return await asyncio.to_thread(self._file.find)
        except ConfigurationError as error:
            log.error("receipt_keys_not_read", why=str(error))  # noqa: TRY400  # a sentence
            raise StorageError("the keys of receipts cannot be read; the log says why") from None

    async def _site(self, submission: Submission) -> Site:
        if not self._engine:
            self._engine = (await self._health.readiness()).engine
        name, digest = await self._environment(submission.caller, submission.environment)
        limits = limits_of_run(submission.caller, None, submission.limits, self._limits)
        return Site(self._engine, name, digest, limits)

    async def _environment(self, caller: Caller, asked: str) -> tuple[str, str | None]:
        """Return the name and the digest of what a submission ran in; None: not known."""
        may_use = () if caller.terms is None else caller.terms.environments
        found = self._found.get(may_use)
        if found is None:
            try:
                listed = await asyncio.wait_for(self._environments.list(caller), _ASKS_FOR)
            except (CodeExecutorError, TimeoutError):
                return asked, None
            found = self._found[may_use] = {each.name: each.digest for each in listed}
        name = asked or next(iter(found), "")
        return name, found.get(name)
