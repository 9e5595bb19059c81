"""``code-executor environments``, and what ``doctor`` says of environments: each is started once, and asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from code_executor.app.bootstrap import choose_engine, make_engine, require, visit
from code_executor.app.environments import EnvironmentSettings, load
from code_executor.app.settings import Settings
from code_executor.core.environments import Contents, Environment
from code_executor.core.errors import CodeExecutorError


@dataclass(frozen=True)
class Visit:
    """What came of starting a sandbox of an environment; ``why``: it does not work, or is empty."""

    environment: EnvironmentSettings
    contents: Contents | None = None
    why: str = ""

    @property
    def line(self) -> str:
        """What there is to say of it, for people."""
        if self.contents is None:
            return f"FAILS: {self.why}"
        return f"Python {self.contents.python}, {len(self.contents.packages)} packages, {self.contents.digest[:19]}"

    def as_object(self, *, default: bool) -> dict[str, Any]:
        """Return it in JSON: as a service would list it, or why it cannot."""
        each = self.environment
        if self.contents is None:
            return {"name": each.name, "default": default, "why": self.why}
        found = self.contents
        told = Environment(each.name, found.python, found.packages, each.kinds, found.digest, default, each.description)
        return told.as_object()


async def visit_all(environments: Sequence[EnvironmentSettings], settings: Settings, engine: str) -> list[Visit]:
    """Start a sandbox of each environment, under the engine of this name, one after another."""
    visits = []
    for environment in environments:
        try:
            made = make_engine(settings, environment, engine)
            await made.start()
            try:
                findings, contents = await visit(made, settings.limits())
            finally:
                await made.close()
            require(findings, engine, settings)
        except CodeExecutorError as error:
            visits.append(Visit(environment, why=str(error)))
        else:
            visits.append(Visit(environment, contents))
    return visits


def run(options: dict[str, Any], settings: Settings) -> int:
    """`environments`: list them, with what is in each; the exit status is 1 if one does not work."""
    visits = asyncio.run(_all(settings))
    if options["json"]:
        print(json.dumps([each.as_object(default=number == 0) for number, each in enumerate(visits)]))
    else:
        for each in visits:
            print(f"{each.environment.name}: {each.line}")
            if each.environment.description:
                print(f"  {each.environment.description}")
            if each.contents is not None:
                print(f"  {', '.join(f'{name} {version}' for name, version in sorted(each.contents.packages.items()))}")
    return 0 if all(each.contents is not None for each in visits) else 1


async def _all(settings: Settings) -> list[Visit]:
    environments = load(settings)
    engine = await choose_engine(settings, environments[0])
    return await visit_all(environments, settings, engine.name)
