"""Code Executor: untrusted Python in locked-down containers, faster than a bare ``python3 -c``."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from code_executor.library import BlockingExecutor, Executor
    from code_executor.models import Execution, Limits, Output, Reason, Result, Status

__version__ = "0.2.0"
__all__ = ["BlockingExecutor", "Execution", "Executor", "Limits", "Output", "Reason", "Result", "Status"]

_HOMES = {"BlockingExecutor": "library", "Executor": "library"}


def __getattr__(name: str) -> Any:
    """Import on first use (PEP 562), so that importing a part does not import all."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415

    return getattr(importlib.import_module(f"code_executor.{_HOMES.get(name, 'models')}"), name)
