"""Environments: interpreters with the libraries of each, side by side. A request names one, or gets the default."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from code_executor.core.caller import Caller
from code_executor.core.errors import EnvironmentRefusedError, EnvironmentUnknownError

DEFAULT = "default"
"""What the default environment is called, if nothing else is said."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Contents:
    """What an environment has, as it was found inside a sandbox.

    ``implementation``: "cpython". ``python``: its version, "3.13.1". ``packages``: names, in lower case and with
    dashes, and versions. ``agent``: a hash of the sources of what runs programs there.
    """

    implementation: str
    python: str
    packages: Mapping[str, str]
    agent: str

    @property
    def digest(self) -> str:
        """Equal for what is equal, wherever and whenever it is looked at: "sha256:" and 64 hexadecimal digits."""
        whole = [self.implementation, self.python, sorted(self.packages.items()), self.agent]
        return f"sha256:{hashlib.sha256(json.dumps(whole).encode()).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Environment:
    """What a client is told of an environment.

    ``kinds``: of its sandboxes, and the modules that each has imported beyond those before it.
    """

    name: str
    python: str
    packages: Mapping[str, str]
    kinds: tuple[tuple[str, tuple[str, ...]], ...]
    digest: str
    default: bool
    description: str = ""

    def as_object(self) -> dict[str, Any]:
        """Return it in JSON, as an answer shows it: without a ``type``."""
        return {
            "name": self.name,
            "python": self.python,
            "packages": dict(sorted(self.packages.items())),
            "kinds": [{"name": name, "preload": list(modules)} for name, modules in self.kinds],
            "digest": self.digest,
            "default": self.default,
            "description": self.description,
        }

    @classmethod
    def of_object(cls, message: dict[str, Any]) -> Environment:
        """Return what `as_object` was of."""
        kinds = tuple((kind["name"], tuple(kind["preload"])) for kind in message["kinds"])
        rest = (message[name] for name in ("digest", "default", "description"))
        return cls(message["name"], message["python"], message["packages"], kinds, *rest)


def may_use(caller: Caller, name: str) -> bool:
    """Whether the key of a caller may be used for an environment."""
    terms = caller.terms
    return terms is None or not terms.environments or name in terms.environments


def choose(asked: str, caller: Caller, known: Sequence[str]) -> str:
    """Return the environment that a request gets. ``asked`` is empty if it names none; ``known``: the default first.

    Whose key may not use the default gets the first that it may. Raises ``EnvironmentRefusedError``, also for a name
    that there is not if the key may not use it, and ``EnvironmentUnknownError``.
    """
    allowed = [name for name in known if may_use(caller, name)]
    if not allowed:
        raise EnvironmentRefusedError("this key may use none of the environments of this service")
    if not asked:
        return allowed[0]
    if not may_use(caller, asked):
        raise EnvironmentRefusedError(f"this key may not use that environment, but {_listed(allowed)}")
    if asked not in allowed:
        raise EnvironmentUnknownError(f"there is no environment {asked!r} here, but {_listed(allowed)}")
    return asked


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
