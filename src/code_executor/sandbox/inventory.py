"""Runs inside a sandbox and prints as JSON what is installed there. Standard library only."""

import hashlib
import json
import os
import platform
import re
import sys
from importlib import metadata

AGENT = "/opt/agent/sandbox_agent"
"""The sources of what runs programs: the same path in every sandbox."""


def packages() -> dict[str, str]:
    """Return the names and versions of what a program can import, the one that it would get where there are two."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), distribution.version)
    return found


def agent() -> str:
    """Return a hash of its sources."""
    whole = hashlib.sha256()
    for directory, below, names in os.walk(AGENT):
        below.sort()
        for name in sorted(names):
            if name.endswith(".py"):
                path = os.path.join(directory, name)
                with open(path, "rb") as file:
                    data = file.read()
                whole.update(f"{os.path.relpath(path, AGENT)} {len(data)}\n".encode() + data)
    return whole.hexdigest()


answer = {
    "implementation": sys.implementation.name,
    "python": platform.python_version(),
    "packages": packages(),
    "agent": agent(),
}
print(json.dumps(answer))
