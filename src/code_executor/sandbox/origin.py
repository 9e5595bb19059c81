"""What sandboxes are made of, and how old that is: for doctor. An old image is a warning, never a failure.

The image says it by labels, which `scripts/build-image` gives it; an image that somebody built by hand is as old as
Docker says. Of an interpreter it is told whether its libraries are those of ``requirements.lock``.
"""

from __future__ import annotations

import asyncio
import importlib.resources
import json
import re
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiodocker
import aiohttp

from code_executor.core.errors import EngineError

OLD = 30
"""Days after which an image should have taken Debian's updates."""

_PACKAGES = "code-executor.packages"
_BUILT = "org.opencontainers.image.created"
_BASE = "org.opencontainers.image.base.name"

_QUESTION = """
import importlib.metadata, json, platform
packages = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
print(json.dumps([platform.python_version(), packages]))
"""
_ANSWERS_WITHIN = 30.0
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)(?: ; (.*?))? *\\$", re.MULTILINE)


@dataclass(frozen=True)
class Origin:
    """What a sandbox is made of, as a line for people and as JSON; ``warning`` is what should be done about it."""

    line: str
    facts: dict[str, Any] = field(default_factory=dict)
    warning: str = ""


async def of_image(image: str, *, now: datetime | None = None) -> Origin:
    """Ask Docker's engine about ``image``; raise ``EngineError`` where it does not know it."""
    docker = aiodocker.Docker()
    try:
        seen = await docker.images.inspect(image)
    except (aiodocker.DockerError, aiohttp.ClientError, OSError) as error:
        raise EngineError(f"Docker: {error}") from None
    finally:
        await docker.close()
    return describe_image(image, seen, now or datetime.now(UTC))


def describe_image(image: str, seen: Mapping[str, Any], now: datetime) -> Origin:
    """Say what an image is, by what Docker's ``image inspect`` shows."""
    labels = (seen.get("Config") or {}).get("Labels") or {}
    built = _day(labels.get(_BUILT)) or _day(seen.get("Created"))
    packages = _day(labels.get(_PACKAGES)) or built
    base = labels.get(_BASE, "")
    facts = {
        "image": image,
        "built": f"{built:%F}" if built else None,
        "packages": f"{packages:%F}" if packages else None,
        "packagesDays": (now - packages).days if packages else None,
        "base": base or None,
    }
    line = f"image: {image}, built {_ago(built, now)}"
    if base:
        line += f" from {base.partition('@')[0]}"
    if packages is None or packages == built:
        line += ", with packages of that day"
    else:
        line += f", with packages of {packages:%F}"
    warning = ""
    if packages and (age := (now - packages).days) > OLD:
        warning = f"the packages of the image are {age} days old; `make image REFRESH=1` takes Debian's updates"
    return Origin(line, facts, warning)


def _day(text: object) -> datetime | None:
    """Read the day of a label, or of Docker's own time; None where there is none, or it is no day."""
    try:
        return datetime.strptime(str(text)[:10], "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None


def _ago(day: datetime | None, now: datetime) -> str:
    if day is None:
        return "on a day that is not known"
    days = (now - day).days
    return "today" if days <= 0 else "yesterday" if days == 1 else f"{days} days ago ({day:%F})"


async def of_interpreter(python: str, lock: Path | None = None) -> Origin:
    """Ask ``python`` what is installed for it; raise ``EngineError`` where it cannot be asked."""
    try:
        process = await asyncio.create_subprocess_exec(
            python, "-I", "-c", _QUESTION, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(_ANSWERS_WITHIN):
            version, installed = json.loads((await process.communicate())[0])
    except (OSError, ValueError, TimeoutError) as error:
        raise EngineError(f"cannot ask {python} what is installed for it: {error}") from None
    lock = lock or lock_file()
    line = f"python: {python} ({version})"
    facts: dict[str, Any] = {"python": python, "version": version, "matchesLock": None}
    if lock is None:
        return Origin(line, facts)
    other = differences(installed, lock.read_text())
    facts["matchesLock"] = not other
    return Origin(f"{line}; {_compared(other)}", facts)


def lock_file() -> Path | None:
    """Find ``requirements.lock``: in the checkout that this package is imported from, or installed with it."""
    checkout = Path(str(importlib.resources.files("code_executor"))).parents[1] / "requirements.lock"
    installed = Path(sysconfig.get_path("data"), "share/code-executor/requirements.lock")
    return next((path for path in (checkout, installed) if path.is_file()), None)


def differences(installed: Mapping[str, str], lock: str) -> dict[str, str]:
    """Return the packages of a lock that are not ``installed`` as it has them, and what is: a version, or nothing.

    A package that is locked in one version for some Pythons and in another for others may have either.
    """
    locked: dict[str, set[str]] = {}
    for name, version, marker in _PINNED.findall(lock):
        if "sys_platform" not in marker and "platform_system" not in marker:  # another system's
            locked.setdefault(_normal(name), set()).add(version)
    have = {_normal(name): version for name, version in installed.items()}
    return {name: have.get(name, "") for name, versions in sorted(locked.items()) if have.get(name) not in versions}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _compared(other: Mapping[str, str]) -> str:
    if not other:
        return "its libraries are those of requirements.lock"
    missing = [name for name, version in other.items() if not version]
    changed = [f"{name} {version}" for name, version in other.items() if version]
    parts = [f"without {', '.join(missing)}"] if missing else []
    parts += [f"with {', '.join(changed)}"] if changed else []
    return f"its libraries are not those of requirements.lock: {'; '.join(parts)}"
