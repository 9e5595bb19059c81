"""What is run of a request: its code, one of its files, or a module as ``python -m`` finds it."""

from __future__ import annotations

import io
import os
import sys
import tokenize
import types
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sandbox_agent.child import imports, program
from sandbox_agent.child.given import GivenFile
from sandbox_agent.child.source import RefusedError
from sandbox_agent.contract.policy import Policy, SourceProblem


class Entry(NamedTuple):
    """One of both: the ``path`` of a file of the request, or the name of a ``module``."""

    path: str = ""
    module: str = ""

    @classmethod
    def read(cls, asked: Mapping[str, Any] | None) -> Entry | None:
        return None if asked is None else cls(**asked)

    def enter(self) -> None:
        """Have Python look for modules where it would if it were started with this entry."""
        directory, _ = os.path.split(self.path)
        if directory:
            sys.path[0] = os.path.join(os.getcwd(), directory)

    def make_way(self, files: Sequence[GivenFile]) -> None:
        """Take out what is imported and what files beside the entry are meant instead of."""
        directory, _ = os.path.split(self.path)
        if directory:
            within = f"{directory}/"
            imports.make_way(file.path.removeprefix(within) for file in files if file.path.startswith(within))

    def source(self, files: Sequence[GivenFile]) -> str:
        """Return the text of the file that is run; raise ``RefusedError`` where it is none."""
        data = next(file.data for file in reversed(files) if file.path == self.path)
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
            return data.decode(encoding)
        except (SyntaxError, ValueError, LookupError) as error:
            text = f"SyntaxError: {self.path} cannot be read: {error}"
            raise RefusedError("syntax", [SourceProblem(1, 1, text)]) from None

    def require_own(self, files: Sequence[GivenFile], policy: Policy) -> None:
        """Raise ``RefusedError`` for a module that is not of the request: what it runs, no policy has looked at."""
        stem = self.module.replace(".", "/")
        if policy.empty or any(file.path in (f"{stem}.py", f"{stem}/__main__.py") for file in files):
            return
        text = f"`python -m {self.module}` is not allowed here: only a module among the request's files can be run."
        raise RefusedError("policy", [SourceProblem(1, 1, text)])


def main_module(entry: Entry, arguments: list[str]) -> types.ModuleType:
    """Make ``__main__``, as `program.main_module` does."""
    if entry.module:
        return program.module_as_main(entry.module, arguments)
    return program.main_module(arguments, os.path.join(os.getcwd(), entry.path), entry.path)


def run(entry: Entry, code: list[types.CodeType], module: types.ModuleType) -> int:
    """Run it to the end of its main thread; return its exit status so far."""
    if entry.module:
        return program.run_module(entry.module, module)
    return program.run(code, module, os.path.join(os.getcwd(), entry.path))
