"""Our failures. A program's own failure is never one of these: it is a `Result`."""

from __future__ import annotations


class CodeExecutorError(Exception):
    """Root of everything this package raises on purpose."""


class ConfigurationError(CodeExecutorError):
    """A setting, a policy file or the host does not allow what was asked for."""


class EngineError(CodeExecutorError):
    """The engine did not do what it was asked to: no Docker, no image, no bubblewrap."""


class SandboxError(CodeExecutorError):
    """A sandbox broke or broke the protocol; it must be destroyed."""


class PoolBusyError(CodeExecutorError):
    """Every sandbox is busy, and stayed so for as long as a caller may wait.

    ``retry_after``: seconds after which it makes sense to ask again.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class CallerBusyError(CodeExecutorError):
    """The caller has as many executions waiting as one may have, while others may still come.

    ``retry_after``: seconds after which it makes sense to ask again.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PoolClosedError(CodeExecutorError):
    """The service is stopping and takes no new executions."""


class EnvironmentUnknownError(CodeExecutorError):
    """A request names an environment that there is not."""


class EnvironmentRefusedError(CodeExecutorError):
    """The caller's key may not be used for that environment."""


class PolicyUnknownError(CodeExecutorError):
    """A request names a policy that is not offered."""


class PolicyRefusedError(CodeExecutorError):
    """The caller's key may not be used with that policy."""


class StorageError(CodeExecutorError):
    """The database could not do what it was asked to: it is full, locked, or out of reach. Nothing was changed."""


class SchemaError(ConfigurationError):
    """The database has another schema than this program needs."""


class SessionError(CodeExecutorError):
    """A session cannot be opened, or not do now what it was asked to."""


class SessionsOffError(SessionError):
    """This service has no sessions."""


class SessionRefusedError(SessionError):
    """The caller's key has limits that a session cannot be held to."""


class SessionUnknownError(SessionError):
    """No session of that name is the client's: there never was one, or it is over."""


class SessionKeyError(SessionError):
    """A key that another session was opened with, in another way."""


class CellUnknownError(SessionError):
    """The result of that cell is not kept, or there was no such cell."""


class SessionBusyError(SessionError):
    """A cell is under way where none may be, or none where one must be."""


class FileError(SessionError):
    """What was asked of a session's files cannot be done. ``fault``: why, as `core.files` has it."""

    def __init__(self, message: str, *, fault: str) -> None:
        super().__init__(message)
        self.fault = fault


class SessionsFullError(SessionError):
    """No more sessions can be open now. ``own``: because of the client's own ones."""

    def __init__(self, message: str, *, own: bool) -> None:
        super().__init__(message)
        self.own = own


class WebhookRefusedError(CodeExecutorError):
    """No webhook is sent for that caller, or to that address."""


class WebhookUnknownError(CodeExecutorError):
    """The job has no webhook, or it is not kept any more."""
