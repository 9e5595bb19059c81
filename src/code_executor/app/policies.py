"""The policies of a server: its own (``CODE_EXECUTOR_POLICY``), and those that requests may choose (``..._POLICIES``).

Both kinds are either built in, and have a name, or the path of a TOML file. They go to the sandboxes as the tables that
they are written as: the agent makes policies of them.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from code_executor.core.environments import NAME
from code_executor.core.errors import ConfigurationError
from code_executor.core.policies import OFF, STRICT
from sandbox_agent.contract.policy import Policy

BUILT_IN = (STRICT, OFF)

MOST = 64 << 10
"""Bytes of all tables together: they are part of one argument of a program, which the kernel bounds."""


def checked(values: tuple[str, ...]) -> tuple[str, ...]:
    """Return ``strict``, ``off`` and ``name=path`` as they are; raise ``ValueError`` for anything else."""
    names = [_parted(value)[0] for value in values]
    for value, name in zip(values, names, strict=True):
        path = _parted(value)[1]
        if name in BUILT_IN and path:
            raise ValueError(f"{name!r} is built in, so a file must have another name")
        if not NAME.fullmatch(name) or not (path or value in BUILT_IN):
            raise ValueError(f"not a policy: {value!r} (as strict, off, or week3=/etc/code-executor/week3.toml)")
        if names.count(name) > 1:
            raise ValueError(f"{name!r} is there twice")
    return values


def offered(own: str, policies: Sequence[str]) -> tuple[str, ...]:
    """Return the names that requests may choose: that of the server's own as well, if it is built in."""
    names = [_parted(value)[0] for value in policies]
    return tuple(dict.fromkeys([own, *names] if own in BUILT_IN else names))


def tables(own: str, policies: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    """Return what `Policy.from_table` takes, by name; the empty name has the server's own.

    Raises ``ConfigurationError``, which names the setting, for a file that is no policy.
    """
    found = {"": _table(own, "CODE_EXECUTOR_POLICY")}
    if own in BUILT_IN:
        found[own] = found[""]
    for value in policies:
        name, path = _parted(value)
        found[name] = _table(path or name, "CODE_EXECUTOR_POLICIES")
    if (size := len(json.dumps(found))) > MOST:
        which = "CODE_EXECUTOR_POLICIES" if policies else "CODE_EXECUTOR_POLICY"
        raise ConfigurationError(f"{which}: all policies together have {size} bytes, and at most {MOST}")
    return found


def _parted(value: str) -> tuple[str, str]:
    name, _, path = value.partition("=")
    return name.strip(), path.strip()


def _table(policy: str, setting: str) -> dict[str, Any]:
    """Return the table of a policy that is built in, or in a file."""
    if policy in BUILT_IN:
        return {"extends": policy}
    try:
        with open(policy, "rb") as file:
            table = tomllib.load(file)
        Policy.from_table(table)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{setting}: {policy}: {error}") from None
    return table
