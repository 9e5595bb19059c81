"""The accounts that a program finds: root, nobody, and its own under the name ``coderunner``.

A sandbox has a uid of its own, which no image can know, and the native engine would show the host's accounts. So
/etc/passwd and /etc/group are links into a directory that the supervisor fills when it starts.
"""

from __future__ import annotations

import contextlib
import os

NAME = "coderunner"
_NOBODY = 65534
_NO_SHELL = "/usr/sbin/nologin"


def write(directory: str, uid: int | None, home: str) -> None:
    """Write ``passwd`` and ``group`` for a program under ``uid`` (None: this process's own).

    Where that cannot be (the image by itself with ``--read-only``), only names are missing.
    """
    uid = os.getuid() if uid is None else uid
    users = [(NAME, uid, home), ("root", 0, "/root"), ("nobody", _NOBODY, "/nonexistent")]  # the first of two is found
    groups = [(NAME, uid), ("root", 0), ("nogroup", _NOBODY)]
    with contextlib.suppress(OSError):
        _write(f"{directory}/passwd", [f"{name}:x:{n}:{n}::{place}:{_NO_SHELL}" for name, n, place in users])
        _write(f"{directory}/group", [f"{name}:x:{n}:" for name, n in groups])


def _write(path: str, lines: list[str]) -> None:
    with open(path, "w") as file:
        file.write("".join(f"{line}\n" for line in lines))
    os.chmod(path, 0o644)
