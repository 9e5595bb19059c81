"""Running things as a user without rights, where the tests are root: this is how most people use the native engine."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

UID = 52_322

_START = """
base=$1 locked=$2; shift 2
if [ -n "$locked" ]; then
    mount --bind "$base" /mnt && mount -t tmpfs -o mode=0755 tmpfs "$locked" && mkdir -p "$base" &&
        mount --bind /mnt "$base" && umount --lazy /mnt || exit 1
fi
mount -t tmpfs -o mode=1777 tmpfs /tmp && exec "$@"
"""


def command() -> list[str]:
    """Return what is put before a command so that another user runs it, who can reach this interpreter."""
    base = Path(sys.base_prefix)
    locked = next((str(each) for each in reversed(base.parents) if not each.stat().st_mode & 0o001), "")
    drop = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "env", "HOME=/tmp"]
    return ["unshare", "--mount", "sh", "-c", _START, "sh", str(base), locked, *drop]


@cache
def lacks() -> str:
    """Return why that cannot be done here; empty if it can."""
    if os.geteuid() != 0:
        return "the tests do not run as root"
    probe = [*command(), "unshare", "--user", sys.executable, "-c", "import code_executor"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False, timeout=60)
    return f"no other user can run this here: {done.stderr.strip()}" if done.returncode else ""
