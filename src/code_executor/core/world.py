"""What a program finds: what is run of a request, under which name, and which variables its environment has.

And how its output is shown if that is long. Plain values, and the rules that hold for each.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from code_executor.core import paths

MAX_MODULE = 255
"""Characters of a module's name."""

MAX_VARIABLES = 32
MAX_VARIABLE_NAME = 128
MAX_VARIABLE = 4096
"""Variables of an environment; characters of the name of one, and of its value."""

MODULE = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
"""The name of a module, with the packages that it is in."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_VARIABLE = re.compile(rf"[A-Za-z_][A-Za-z0-9_]{{0,{MAX_VARIABLE_NAME - 1}}}")

NEVER = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "TMPDIR", "TZDIR", "IFS", "ENV", "BASH_ENV", "BASH_FUNC_*"),
    *("LD_*", "DYLD_*", "GLIBC_*", "MALLOC_*", "GCONV_PATH", "LOCPATH", "NLSPATH", "LOCALDOMAIN", "RES_OPTIONS"),
    *("HOSTALIASES", "RESOLV_*", "GETCONF_DIR", "OPENSSL_*", "SSL_*", "PYTHON*", "MPLBACKEND", "MPLCONFIGDIR"),
    "*_NUM_THREADS",
)
"""Names, and globs of names, that no request gives a value to: what the sandbox sets itself, and what decides where
programs, libraries and modules come from."""


class WorldError(ValueError):
    """What is asked for cannot be. ``field``: which part of a request it is."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Entry:
    """What is run instead of the code: the file of the request at ``path``, or ``module``, as ``python -m`` does."""

    path: str = ""
    module: str = ""

    def __post_init__(self) -> None:
        if bool(self.path) == bool(self.module):
            raise WorldError("entry", "exactly one of path and module is needed")
        if self.path:
            try:
                object.__setattr__(self, "path", paths.normal(self.path))
            except paths.PathError as error:
                raise WorldError("entry.path", str(error)) from None
        elif len(self.module) > MAX_MODULE or not re.fullmatch(MODULE, self.module):
            raise WorldError("entry.module", "not the name of a module (as app, or app.tool)")


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Of a stream of more than ``head`` + ``tail`` bytes, only so many of its beginning and of its end are shown."""

    head: int
    tail: int

    def of(self, text: str) -> tuple[str, int]:
        """Return what is shown of a text, and how many bytes of UTF-8 are left out."""
        if len(text) <= (self.head + self.tail) // 4:
            return text, 0
        data = text.encode("utf-8", "replace")
        left = len(data) - self.head - self.tail
        if left <= 0:
            return text, 0
        # whole characters alone: what is cut is left out as well
        head = data[: self.head].decode("utf-8", "ignore")
        tail = data[len(data) - self.tail :].decode("utf-8", "ignore")
        left = len(data) - len(head.encode()) - len(tail.encode())
        return f"{head}\n[… {left} bytes left out …]\n{tail}", left


def require_name(name: str) -> None:
    """Raise ``WorldError`` unless a program's file can be called so."""
    try:
        clean = paths.normal(name)
    except paths.PathError as error:
        raise WorldError("name", str(error)) from None
    if "/" in name or clean != name:
        raise WorldError("name", "must be a file's name, without a directory")
    if _CONTROL.search(name):
        raise WorldError("name", "must have no control characters")


def require_environment(variables: Mapping[str, str], allowed: Iterable[str] | None = None) -> None:
    """Raise ``WorldError`` for variables that a program cannot be given.

    ``allowed``: names and globs of those that it may be given; None: whatever is not among `NEVER`.
    """
    if len(variables) > MAX_VARIABLES:
        raise WorldError("env", f"must have at most {MAX_VARIABLES} variables")
    allowed = None if allowed is None else tuple(allowed)
    for name, value in variables.items():
        field = f"env.{name[:MAX_VARIABLE_NAME]}"
        if not _VARIABLE.fullmatch(name):
            raise WorldError("env", "a variable's name has 1 to 128 letters, digits and _, and begins with no digit")
        if is_reserved(name):
            raise WorldError(field, "this variable cannot be set: the sandbox, or what starts programs, depends on it")
        if allowed is not None and not _matches(name, allowed):
            raise WorldError(field, "this service does not allow this variable (CODE_EXECUTOR_ENV)")
        if "\0" in value or len(value) > MAX_VARIABLE or not _is_text(value):
            raise WorldError(field, f"must be text of at most {MAX_VARIABLE} characters, without a null character")


def is_reserved(name: str) -> bool:
    """Whether no request may set a variable."""
    return _matches(name.upper(), NEVER)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
