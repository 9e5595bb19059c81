"""Code Executor: untrusted Python in locked-down containers, faster than a bare ``python3 -c``."""

from typing import TYPE_CHECKING, Any

from code_executor._version import __version__

if TYPE_CHECKING:
    from code_executor.app.library import BlockingExecutor, Executor
    from code_executor.core.limits import Limits
    from code_executor.core.models import Entry, Excerpt, Execution, File, Output, Reason, Result, RunLimits, Status

__all__ = [
    "BlockingExecutor",
    "Entry",
    "Excerpt",
    "Execution",
    "Executor",
    "File",
    "Limits",
    "Output",
    "Reason",
    "Result",
    "RunLimits",
    "Status",
    "__version__",
]

_HOMES = {"BlockingExecutor": "app.library", "Executor": "app.library", "Limits": "core.limits"}


def __getattr__(name: str) -> Any:
    """Import on first use (PEP 562), so that importing a part does not import all."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415

    return getattr(importlib.import_module(f"code_executor.{_HOMES.get(name, 'core.models')}"), name)
