"""What other packages add: found by their entry points, if the settings ask for them, and given what they need."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from code_executor.accounts.learners import checked_name
from code_executor.accounts.secret import ServerSecret
from code_executor.api.mounts import GROUP, Given, Mounting
from code_executor.app.settings import Settings
from code_executor.core.errors import ConfigurationError, StorageError

if TYPE_CHECKING:
    from code_executor.app.kept import Kept

_DAY = 86_400.0


def mounts(settings: Settings, kept: Kept) -> Sequence[Mounting]:
    """Return those that the settings ask for; raise ``ConfigurationError`` if one is not installed."""
    if not settings.labs:
        return ()
    given = Given(
        kept.for_a_request,
        functools.partial(_pseudonym, settings.secret_path()),
        settings.offered_policies,
        settings.policy,
        settings.labs_retention * _DAY,
    )
    found = entry_points(group=GROUP, name="labs")
    if not found:
        raise ConfigurationError(f"CODE_EXECUTOR_LABS is set, and nothing is installed as {GROUP}: labs")
    try:
        makers = [each.load() for each in found]
    except ImportError as error:
        raise ConfigurationError(
            f"CODE_EXECUTOR_LABS is set, and {error.name} is missing: pip install 'code-executor[labs]'"
        ) from None
    return [functools.partial(make, given=given) for make in makers]


def _pseudonym(path: str, name: bytes) -> str:
    """Return what a learner is known by who comes without a key; raise ``LearnerNameError`` or ``StorageError``."""
    return _secret(path).derive(b"open", checked_name(name, "X-Learner"))[:16].hex()


@functools.cache
def _secret(path: str) -> ServerSecret:
    try:
        return ServerSecret.make(path)
    except ConfigurationError as error:
        raise StorageError(str(error)) from None
