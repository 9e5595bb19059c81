"""Environments in a TOML file (``CODE_EXECUTOR_ENVIRONMENTS``), beside the default that the settings describe.

    [environments.py311]
    image = "code-executor:py311"          # Docker
    python = "/srv/py311/bin/python"       # native
    kinds = { data = ["numpy", "pandas"] }
    description = "Python 3.11, for last year's course"

What the table of the default environment leaves out is as the settings say.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from code_executor.app import preloads
from code_executor.app.settings import PREFIX, Settings
from code_executor.core.environments import DEFAULT, NAME
from code_executor.core.errors import ConfigurationError

_LOCAL_PYTHON = ".sandbox/bin/python"
_INTERPRETER = re.compile(r"(/(?!\.\.?/)[^/]+)+/bin/[^/]+")
_KIND = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True)
class EnvironmentSettings:
    """``image`` and ``interpreter``: of a Docker engine; ``python``: of the native one. Empty: as the settings say.

    ``kinds``: names and modules, the plain kind first. ``minimum``: plain sandboxes that are kept warm, and one of each
    further kind; 0: sandboxes are made when somebody asks for one.
    """

    name: str
    image: str = ""
    interpreter: str = ""
    python: str = ""
    kinds: tuple[tuple[str, tuple[str, ...]], ...] = ((preloads.PLAIN, ()),)
    minimum: int = 0
    description: str = ""

    @property
    def further(self) -> tuple[tuple[str, ...], ...]:
        """What each kind has beyond those before it, from the second on."""
        return tuple(modules for _, modules in self.kinds[1:])


def _interpreter(path: str) -> str:
    if not _INTERPRETER.fullmatch(path):
        raise ValueError("not the path of an interpreter in an image (as /opt/py311/bin/python)")
    return path


def _kinds(kinds: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    for name, modules in kinds.items():
        if not _KIND.fullmatch(name) or name == preloads.PLAIN:
            raise ValueError(f"a kind cannot be called {name!r}")
        if not modules:
            raise ValueError(f"the kind {name} has no modules")
        for module in modules:
            if not _MODULE.fullmatch(module):
                raise ValueError(f"not a module: {module!r}")
    return kinds


class _Table(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    image: str | None = Field(None, min_length=1)
    interpreter: Annotated[str | None, AfterValidator(lambda path: path and _interpreter(path))] = Field(
        None, min_length=1
    )
    python: str | None = Field(None, min_length=1)
    kinds: Annotated[dict[str, list[str]] | None, AfterValidator(lambda kinds: kinds and _kinds(kinds))] = None
    minimum: int | None = Field(None, ge=0)
    default: bool = False
    description: str = Field("", max_length=1000)


def load(settings: Settings) -> tuple[EnvironmentSettings, ...]:
    """Return the environments, the default first; raise ``ConfigurationError``, in one line, for a bad file."""
    if not settings.environments:
        return (_of_settings(settings),)
    try:
        with open(settings.environments, "rb") as file:
            return read(tomllib.load(file), settings)
    except (OSError, ValueError, ConfigurationError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"{PREFIX}ENVIRONMENTS: {settings.environments}: {why}") from None


def interpreter(settings: Settings) -> str:
    """Return the path of the Python that programs run on under the native engine, in the default environment."""
    local = os.path.abspath(_LOCAL_PYTHON)
    return settings.python or (local if os.path.exists(local) else sys.executable)


def alone(environments: tuple[EnvironmentSettings, ...], name: str, settings: Settings) -> EnvironmentSettings:
    """Return the environment of that name (empty: the default) for a command that runs one program in it.

    Raises ``ConfigurationError``.
    """
    for environment in environments:
        if name in ("", environment.name):
            return replace(environment, kinds=environment.kinds[:1], minimum=settings.pool_min)
    known = ", ".join(environment.name for environment in environments)
    raise ConfigurationError(f"there is no environment {name!r} here, but {known}")


def require_room(environments: tuple[EnvironmentSettings, ...], settings: Settings) -> None:
    """Raise ``ConfigurationError`` if one is to keep more sandboxes than there may be."""
    for environment in environments:
        if environment.minimum > settings.pool_size:
            raise ConfigurationError(
                f"{PREFIX}ENVIRONMENTS: environments.{environment.name}: minimum: must not be more than "
                f"{PREFIX}POOL_SIZE ({settings.pool_size})"
            )


def read(document: dict[str, Any], settings: Settings) -> tuple[EnvironmentSettings, ...]:
    """Read a whole document; raise ``ConfigurationError`` that names the table."""
    tables = document.pop("environments", {})
    if document or not isinstance(tables, dict):
        raise ConfigurationError(
            f"has {next(iter(document), 'environments')!r}, and must have tables [environments.NAME] alone"
        )
    found = {name: _read_table(name, table) for name, table in tables.items()}
    default = _name_of_default(found)
    environments = [_made(default, found.pop(default, _read_table(default, {})), _of_settings(settings), settings)]
    for name, table in found.items():
        environments.append(_made(name, table, EnvironmentSettings(name), settings))
    return tuple(environments)


def _read_table(name: str, table: object) -> _Table:
    if not NAME.fullmatch(name):
        raise ConfigurationError(
            f"environments.{name}: a name has up to 64 letters, digits, dots, dashes and underscores"
        )
    try:
        return _Table.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, (name, *first["loc"])))
        raise ConfigurationError(f"environments.{where}: {first['msg'].removeprefix('Value error, ')}") from None


def _name_of_default(tables: dict[str, _Table]) -> str:
    named = [name for name, table in tables.items() if table.default]
    if len(named) > 1:
        raise ConfigurationError(f"environments.{named[1]}: {named[0]} is the default already")
    if named and named[0] != DEFAULT and DEFAULT in tables:
        raise ConfigurationError(f"environments.{DEFAULT}: must have another name, since {named[0]} is the default")
    return named[0] if named else DEFAULT


def _made(name: str, table: _Table, rest: EnvironmentSettings, settings: Settings) -> EnvironmentSettings:
    """Return what a table says; what it leaves out is as in ``rest``. For the number of kinds see `Settings.kinds`."""
    kinds = rest.kinds
    if table.kinds is not None:
        named = [(kind, tuple(modules)) for kind, modules in table.kinds.items()]
        kinds = (rest.kinds[0], *(named[:1] if settings.reuse <= 1 else named))
    return EnvironmentSettings(
        name=name,
        image=table.image or rest.image,
        interpreter=table.interpreter or rest.interpreter,
        python=_executable(table.python or rest.python),
        kinds=kinds,
        minimum=rest.minimum if table.minimum is None else table.minimum,
        description=table.description,
    )


def _executable(python: str) -> str:
    """Return the path of an interpreter, of which only the directory may be given."""
    return os.path.join(python, "bin", "python") if os.path.isdir(python) else python


def _of_settings(settings: Settings) -> EnvironmentSettings:
    """Return the default environment as the settings describe it."""
    kinds = settings.kinds()
    return EnvironmentSettings(
        name=DEFAULT,
        image=settings.image,
        python=interpreter(settings),
        kinds=tuple(zip(preloads.names(kinds), ((), *kinds), strict=True)),
        minimum=settings.pool_min,
    )
