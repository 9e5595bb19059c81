"""From a source to code: checked, compiled, and quoted by tracebacks."""

from __future__ import annotations

import ast
import io
import linecache
import traceback
import types

from sandbox_agent.contract import wording
from sandbox_agent.contract.policy import Policy, SourceProblem, check

_LONGEST_LINE, _LONGEST_TEXT = 1000, 8000  # characters of a syntax error: a line may be as long as the source


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
    """
    source = source.removeprefix("\ufeff")  # a byte order mark, as Python reads a file
    quote(source, name)
    try:
        # a str, never bytes: an encoding cookie must not make the compiler read another text than the checker
        tree = compile(source, name, "exec", ast.PyCF_ONLY_AST | flags, dont_inherit=True)
        problems = check(tree, policy) if policy is not None else []
        if problems:
            raise RefusedError("policy", problems)
        shown = last and tree.body and isinstance(tree.body[-1], ast.Expr) and not _has_semicolon(source, tree.body[-1])
        value = tree.body.pop() if shown else None
        code = [compile(tree, name, "exec", flags, dont_inherit=True, optimize=0)]
        if isinstance(value, ast.Expr):
            code.append(compile(ast.Expression(value.value), name, "eval", flags, dont_inherit=True, optimize=0))
    except SyntaxError as error:
        text = _syntax_text(error) if error.lineno else wording.uncompilable(error)
        raise RefusedError("syntax", [SourceProblem(error.lineno or 1, (error.offset or 1), text)]) from None
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise RefusedError("syntax", [SourceProblem(1, 1, wording.uncompilable(error))]) from None
    return code


def _has_semicolon(source: str, last: ast.Expr) -> bool:
    """Whether a semicolon follows the last statement of a source."""
    lines = io.StringIO(source, newline=None).readlines()  # as Python counts them, not as str.splitlines does
    line, column = (last.end_lineno or 1) - 1, last.end_col_offset  # of bytes
    return lines[line].encode("utf-8", "surrogatepass")[column:].lstrip(b" \t\f").startswith(b";")


def _syntax_text(error: SyntaxError) -> str:
    """Return Python's own words, without the line that they quote where nobody would read it."""
    if error.text and len(error.text) > _LONGEST_LINE:
        error.text = None
    return "".join(traceback.format_exception_only(error)).rstrip("\n")[:_LONGEST_TEXT]


def quote(source: str, name: str) -> None:
    """Have tracebacks and warnings quote the program, whose file is nowhere."""
    # not str.splitlines, which knows more line ends than Python's source has
    lines = io.StringIO(source, newline=None).readlines()
    if lines:
        lines[-1] = lines[-1].removesuffix("\n") + "\n"
    linecache.cache[name] = (len(source), None, lines, name)
