"""Running things as a user without rights, where the tests are root: this is how most people use the native engine."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

UID = 52_322

_REPOSITORY = Path(__file__).resolve().parents[1]
_PLACE = Path("/mnt/repository")
"""Where that user finds the repository, which may be in a directory that only root can enter."""

_START = """
base=$1 locked=$2 repository=$3; shift 3
mount -t tmpfs -o mode=0755 tmpfs /mnt && mkdir /mnt/base /mnt/repository &&
    mount --bind "$base" /mnt/base && mount --bind "$repository" /mnt/repository || exit 1
if [ -n "$locked" ]; then
    mount -t tmpfs -o mode=0755 tmpfs "$locked" && mkdir -p "$base" && mount --bind /mnt/base "$base" || exit 1
fi
mount -t tmpfs -o mode=1777 tmpfs /tmp && cd /mnt/repository && exec "$@"
"""


def python() -> list[str]:
    """Return the command by which another user runs this interpreter, in this repository."""
    executable = Path(sys.executable)
    if executable.is_relative_to(_REPOSITORY):
        executable = _PLACE / executable.relative_to(_REPOSITORY)
    return [*_command(), "env", f"PYTHONPATH={_PLACE / 'src'}", str(executable), "-B"]


def _command() -> list[str]:
    base = Path(sys.base_prefix)
    locked = next((str(each) for each in reversed(base.parents) if not each.stat().st_mode & 0o001), "")
    drop = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "env", "HOME=/tmp"]
    return ["unshare", "--mount", "sh", "-c", _START, "sh", str(base), locked, str(_REPOSITORY), *drop]


@cache
def lacks() -> str:
    """Return why that cannot be done here; empty if it can."""
    if os.geteuid() != 0:
        return "the tests do not run as root"
    probe = [*_command(), "unshare", "--user", *python()[-4:], "-c", "import code_executor"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False, timeout=60)
    return f"no other user can run this here: {done.stderr.strip()}" if done.returncode else ""
