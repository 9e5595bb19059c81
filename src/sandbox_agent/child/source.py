"""From a source to code: checked, compiled, and quoted by tracebacks."""

from __future__ import annotations

import _warnings
import ast
import contextlib
import io
import linecache
import sys
import traceback
import types
import warnings
from collections.abc import Iterator
from typing import Any

from sandbox_agent.child import callstack
from sandbox_agent.contract import wording
from sandbox_agent.contract.policy import Policy, SourceProblem, check

_LONGEST_LINE, _LONGEST_TEXT = 1000, 8000  # characters of a syntax error: a line may be as long as the source

_DEEP = 20_000
"""A recursion limit for making and compiling trees: Python 3.11 reads deeper sources than it lets be trees."""

_HAS_DEEP_TREES = sys.version_info >= (3, 12)
"""Whether a tree can be as deep as a source."""

_IGNORE = ("ignore", None, Warning, None, 0)
_FAIL = ("error", None, Warning, None, 0)
"""Filters of warnings."""


class RefusedError(Exception):
    """A source is not run, and why: ``reason`` is that of the report."""

    def __init__(self, reason: str, problems: list[SourceProblem]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.problems = problems


def compiled(source: str, name: str, policy: Policy | None, *, last: bool, flags: int = 0) -> list[types.CodeType]:
    """Check (unless ``policy`` is None) and compile a source as the file ``name``; raise ``RefusedError``.

    Returns the program, followed, if ``last``, by its last expression alone, whose value is to be displayed; a
    semicolon after it says, as in a notebook, that it is not. ``flags``: of the compiler.

    What is checked is what is compiled: both are made of this one text, with the same flags. It is a str, never bytes:
    an encoding cookie must not make the compiler read another text than the checker.
    """
    source = source.removeprefix("\ufeff")  # a byte order mark, as Python reads a file
    try:
        _require_text(source, name)
        tree, is_quiet = _checked_tree(source, name, flags) if policy is not None else (None, False)
        if tree is not None and policy is not None and (problems := check(tree, policy)):
            raise RefusedError("policy", problems)
        # as deep as Python itself can, and with its warnings
        text = tree if _HAS_DEEP_TREES and is_quiet and not last else source
        with _warnings_of(source):
            code = [callstack.call(compile, text, name, "exec", flags, True, 0)]
        return _with_last(source, name, tree or _tree(source, name, flags), code, flags) if last else code
    except SyntaxError as error:
        text = _syntax_text(error, source) if error.lineno else wording.uncompilable(error)
        raise RefusedError("syntax", [SourceProblem(error.lineno or 1, (error.offset or 1), text)]) from None
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise RefusedError("syntax", [SourceProblem(1, 1, wording.uncompilable(error))]) from None


def _checked_tree(source: str, name: str, flags: int) -> tuple[ast.Module, bool]:
    """Return the tree of a source, and whether nothing was to be warned of while it was made."""
    if _HAS_DEEP_TREES:
        with deep_and_quiet(_FAIL):
            try:
                return callstack.call(compile, source, name, "exec", ast.PyCF_ONLY_AST | flags, True, 0), True
            except (SyntaxError, Warning):
                pass  # which can be a warning; if it is not, it comes again
    return _tree(source, name, flags), False


def _tree(source: str, name: str, flags: int) -> ast.Module:
    with deep_and_quiet():
        return callstack.call(compile, source, name, "exec", ast.PyCF_ONLY_AST | flags, True, 0)  # type: ignore[no-any-return]


def _with_last(
    source: str, name: str, tree: ast.Module, code: list[types.CodeType], flags: int
) -> list[types.CodeType]:
    """Return the code of a program whose last expression, if it has one to be shown, is a code of its own."""
    value = tree.body[-1] if tree.body else None
    if not isinstance(value, ast.Expr) or _has_semicolon(source, value):
        return code
    del tree.body[-1]
    with deep_and_quiet():
        return [
            callstack.call(compile, tree, name, "exec", flags, True, 0),
            callstack.call(compile, ast.Expression(value.value), name, "eval", flags, True, 0),
        ]


@contextlib.contextmanager
def deep_and_quiet(about_warnings: tuple[Any, ...] = _IGNORE) -> Iterator[None]:
    """Let trees be deep, and nothing be warned of: `compiled` has the compiler say each warning once."""
    before = sys.getrecursionlimit()
    # where the compiler looks for what is ignored; `catch_warnings` would put another list there, and it might stay
    filters = getattr(sys.modules.get("warnings"), "filters", _warnings.filters)
    filters.insert(0, about_warnings)
    try:
        sys.setrecursionlimit(_DEEP)
        yield
    finally:
        sys.setrecursionlimit(before)
        filters.remove(about_warnings)


@contextlib.contextmanager
def _warnings_of(source: str) -> Iterator[None]:
    """Have what the compiler warns of quote the source. It would read the file up to the line, for each warning."""
    if "warnings" in sys.modules:  # whose functions read a file once
        yield
        return
    lines: list[str] = []

    def show(told: warnings.WarningMessage) -> None:
        if not lines:
            lines.extend(_lines(source))
        line = "".join(lines[told.lineno - 1 : told.lineno]).strip()
        quoted = f"  {line}\n" if line else ""
        with contextlib.suppress(Exception):
            sys.stderr.write(f"{told.filename}:{told.lineno}: {told.category.__name__}: {told.message}\n{quoted}")

    stand_in: Any = types.SimpleNamespace(
        filters=_warnings.filters, WarningMessage=warnings.WarningMessage, _showwarnmsg=show
    )
    sys.modules["warnings"] = stand_in
    try:
        yield
    finally:
        if sys.modules.get("warnings") is stand_in:
            del sys.modules["warnings"]


def _require_text(source: str, name: str) -> None:
    """Raise the ``SyntaxError`` of a null character, with its place, which the compiler knows only of a file."""
    at = source.find("\0")
    if at >= 0:
        lines = io.StringIO(source[:at], newline=None).read().split("\n")
        where = (name, len(lines), len(lines[-1]) + 1, lines[-1])
        raise SyntaxError("source code cannot contain null bytes", where)


def _has_semicolon(source: str, last: ast.Expr) -> bool:
    """Whether a semicolon follows the last statement of a source."""
    lines = _lines(source)
    line, column = (last.end_lineno or 1) - 1, last.end_col_offset  # of bytes
    return lines[line].encode("utf-8", "surrogatepass")[column:].lstrip(b" \t\f").startswith(b";")


def _syntax_text(error: SyntaxError, source: str) -> str:
    """Return Python's own words, with the line that they are about.

    Python takes the line from the file, for what the compiler finds out and the parser does not.
    """
    lines = _lines(source)
    if error.text is None and error.lineno is not None and 0 < error.lineno <= len(lines):
        error.text = lines[error.lineno - 1]
    if error.text and len(error.text) > _LONGEST_LINE:
        error.text = None
    text = "".join(traceback.format_exception_only(error)).rstrip("\n")[:_LONGEST_TEXT]
    return f"{text}\n{wording.uncompilable(error)}" if "\0" in source else text


def quote(source: str, name: str) -> None:
    """Have tracebacks and warnings quote a source whose file is nowhere."""
    lines = _lines(source)
    if lines:
        lines[-1] = lines[-1].removesuffix("\n") + "\n"
    linecache.cache[name] = (len(source), None, lines, name)


def _lines(source: str) -> list[str]:
    """Split a source as Python does: not as str.splitlines, which knows more line ends."""
    return io.StringIO(source, newline=None).readlines()
