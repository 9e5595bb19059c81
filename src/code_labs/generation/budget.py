"""How many tokens may be used: for a lab, and on a day. All processes of a machine count in one file."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime

from code_labs.errors import LabsError


class BudgetError(LabsError):
    """No tokens are left, or nobody can count them."""


class Ledger:
    """The tokens of today (UTC). ``path``: the file that they are counted in; empty: this process counts alone."""

    def __init__(self, most: int, path: str = "") -> None:
        self._most = most
        self._path = path
        self._kept = ""

    def take(self, tokens: int) -> None:
        """Take tokens before they are used; raise ``BudgetError`` if so many are not left."""
        used = self._add(tokens, most=self._most)
        if used is None:
            raise BudgetError(
                f"the tokens of today are used up (CODE_LABS_MODEL_TOKENS_PER_DAY is {self._most:,}): "
                "try again tomorrow, or raise it"
            )

    def give_back(self, tokens: int) -> None:
        """Give back what was taken and not used. Negative: more was used."""
        self._add(-tokens, most=None)

    def used(self) -> int:
        """Return the tokens of today."""
        return self._add(0, most=None) or 0

    def _add(self, tokens: int, *, most: int | None) -> int | None:
        """Add tokens and return the sum, or None: it would be more than that, and nothing was added."""
        if not self._path:
            self._kept, total = _added(self._kept, tokens, most)
            return total
        try:
            os.makedirs(os.path.dirname(self._path) or ".", exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "r+", encoding="ascii", errors="replace") as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # closing the file ends it
                said, total = _added(file.read(1024), tokens, most)
                if total is not None:
                    file.seek(0)
                    file.write(said)
                    file.truncate()
                return total
        except OSError as error:
            raise BudgetError(
                f"tokens cannot be counted in {self._path} ({error.strerror}): set CODE_LABS_MODEL_LEDGER to another"
            ) from None


def _added(said: str, tokens: int, most: int | None) -> tuple[str, int | None]:
    today = datetime.now(UTC).date().isoformat()
    try:
        kept = json.loads(said)
        before = int(kept["tokens"]) if kept["day"] == today else 0
    except (ValueError, KeyError, TypeError, RecursionError):
        before = 0
    total = max(0, before + tokens)
    if most is not None and total > most:
        return said, None
    return json.dumps({"day": today, "tokens": total}), total


@dataclass(frozen=True)
class Budget:
    """``answer``: tokens of one answer. ``job``: of all that one lab takes. ``pause``: seconds before a first retry."""

    ledger: Ledger
    answer: int = 6_000
    job: int = 60_000
    pause: float = 1.0
