"""What is installed in a sandbox: asked of its own interpreter, by an ordinary execution."""

from __future__ import annotations

import importlib.resources

from code_executor.core.environments import Contents
from code_executor.core.errors import CodeExecutorError
from code_executor.core.models import Execution, Reason
from code_executor.core.runner import Runner, run
from sandbox_agent.contract import claims

_WITHIN = 30.0
"""Seconds: the metadata of a few hundred packages are as many files."""


async def read(runner: Runner, environment: str = "") -> Contents:
    """Ask a sandbox of this environment; raise ``CodeExecutorError`` where it does not say."""
    code = importlib.resources.files("code_executor.sandbox").joinpath("inventory.py").read_text()
    timeout = min(_WITHIN, runner.limits.wall_time)
    result = await run(runner, Execution(code, policy=False, timeout=timeout, environment=environment))
    if result.reason is not Reason.COMPLETED:
        raise CodeExecutorError(f"its packages could not be listed: {result.reason}: {result.error.strip()[-500:]}")
    try:
        answer = claims.parsed(result.output.encode())
        implementation, python, agent = (_text(answer[name]) for name in ("implementation", "python", "agent"))
        packages = {_text(name): _text(version) for name, version in answer["packages"].items()}
    except (claims.ClaimError, LookupError, AttributeError) as error:
        raise CodeExecutorError(f"its packages could not be listed: {error}") from None
    return Contents(implementation, python, packages, agent)


def _text(value: object) -> str:
    found = claims.text(value)
    if not found:
        raise claims.ClaimError("it is no text")
    return found
