"""What can be wrong with a file of a session, in words."""

from __future__ import annotations

from code_executor.core.errors import FileError

FAULTS = {
    "ENOENT": "there is no such file",
    "ENOTDIR": "a part of its path is no directory",
    "ELOOP": "a part of its path is no directory",
    "EISDIR": "it is a directory",
    "NO_FILE": "it is no regular file",
    "TOO_LARGE": "it is larger than the service sends",
    "CHANGED": "it changed while it was read; try again",
    "EACCES": "the program does not let it be read or written",
    "EPERM": "the program does not let it be read or written",
    "EINVAL": "it is no relative path below the working directory",
    "ENAMETOOLONG": "its name is too long",
    "ENOSPC": "the disk of the session is full",
    "EDQUOT": "the disk of the session is full",
    "EFBIG": "the disk of the session is full",
    "EMFILE": "its path has too many directories",
    "SLOW": "the session did not get it done in time; try again",
    "DISTURBED": "the session's own processes did not let it be done; try again",
}
"""Why nothing was done: what the agent calls it, and a sentence. Whatever else it says counts as ``EIO``."""

OTHER = "EIO"
REFUSED = "REFUSED"
"""The policy refuses what is in the file."""
FULL = frozenset({"ENOSPC", "EDQUOT", "EFBIG"})


def failure(path: str, fault: str, why: str = "") -> FileError:
    """Return the exception for a fault that was answered about ``path``."""
    if fault == REFUSED:
        return FileError(f"the policy refuses it: {why}", fault=fault)
    known = fault if fault in FAULTS else OTHER
    return FileError(f"{path!r}: {FAULTS.get(known, 'it cannot be read or written')}", fault=known)
