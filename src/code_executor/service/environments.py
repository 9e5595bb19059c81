"""The environments of this process: what each has, which is asked of it once, and never taken from a file's word."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from code_executor.core.caller import Caller
from code_executor.core.environments import Contents, Environment, may_use
from code_executor.core.runner import Runner
from code_executor.sandbox import contents


@dataclass(frozen=True)
class Described:
    """What an operator says of an environment. ``kinds``: as of an `Environment`."""

    name: str
    kinds: tuple[tuple[str, tuple[str, ...]], ...]
    description: str = ""


class Environments:
    """An `EnvironmentDesk`. ``described``: the default first. ``known``: of which it is known already what they have.

    ``runner`` runs what asks the others; an environment that has no sandbox gets one for it.
    """

    def __init__(self, runner: Runner, described: Sequence[Described], known: Mapping[str, Contents]) -> None:
        self._runner = runner
        self._described = tuple(described)
        self._known = dict(known)
        self._asking = asyncio.Lock()

    async def list(self, caller: Caller) -> Sequence[Environment]:
        return [await self._environment(each) for each in self._described if may_use(caller, each.name)]

    async def _environment(self, described: Described) -> Environment:
        async with self._asking:
            found = self._known.get(described.name)
            if found is None:
                found = self._known[described.name] = await contents.read(self._runner, described.name)
        return Environment(
            name=described.name,
            python=found.python,
            packages=found.packages,
            kinds=described.kinds,
            digest=found.digest,
            default=described is self._described[0],
            description=described.description,
        )
