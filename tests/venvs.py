"""Interpreters with libraries of their own, made in no time and without a network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BASE = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")


def make_venv(directory: Path, python: Path = BASE, **packages: str) -> Path:
    """Make a virtual environment with packages of these versions, each a module that knows its own; return it."""
    subprocess.run([python, "-m", "venv", "--without-pip", directory], check=True, timeout=60)
    (site,) = directory.glob("lib/python3*/site-packages")
    for name, version in packages.items():
        install(site, name, version)
    return directory


def install(site: Path, name: str, version: str) -> None:
    """Put a package there, as an installer leaves it."""
    (site / f"{name}.py").write_text(f"VERSION = {version!r}\n")
    metadata = site / f"{name}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
