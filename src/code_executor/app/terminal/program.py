"""The program that ``code-executor run`` is given: its options, and the execution that comes of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from code_executor.core import paths
from code_executor.core.errors import CodeExecutorError
from code_executor.core.limits import LimitError, Limits, RunLimits
from code_executor.core.models import Entry, Execution, File
from code_executor.core.sizes import parse_size

MOST_FILES = 64
"""Files of a module that is run, and of what is given with a program."""

_FLAGS = {"wall_time": "--timeout"}


class UsageError(CodeExecutorError):
    """The command line does not say what to do."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what says how a program is run, and what it may use."""
    parser.add_argument("file", nargs="?", metavar="FILE", help="the program; with -m, its first argument")
    parser.add_argument("args", nargs="*", metavar="ARG", help="sys.argv[1:] of the program")
    parser.add_argument("-m", "--module", help="run a module of this directory, as python -m does")
    parser.add_argument("--name", help="what the program's file is called there (main.py)")
    parser.add_argument(
        "--with", action="append", default=[], dest="beside", metavar="PATH", help="a file or directory to give it"
    )
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="a variable to give it")
    limits = parser.add_argument_group("limits of this run, below those of the settings")
    limits.add_argument("--cpu-time", type=float, metavar="SECONDS", help="of the processor")
    limits.add_argument("--memory", type=_size, metavar="SIZE", help="as 128m")
    limits.add_argument("--output", type=_size, metavar="SIZE", help="of stdout and stderr together")
    limits.add_argument("--processes", type=int, metavar="N", help="beside the first one")
    limits.add_argument("--disk", type=_size, metavar="SIZE", help="of its files")


def _size(text: str) -> int:
    try:
        size = parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not isinstance(size, int):
        raise argparse.ArgumentTypeError("not a size")
    return size


def execution_of(options: Mapping[str, Any], limits: Limits) -> Execution:
    """Read the program and what it is given; raise ``CodeExecutorError``. ``limits``: those of the settings."""
    module, file = options["module"], options["file"]
    if not module and not file:
        raise UsageError("give a FILE to run (-: from stdin), or -m MODULE")
    args = tuple(options["args"])
    if module and file:
        args = (file, *args)
    beside = [each for path in [*options["beside"], *([_place(module)] if module else [])] for each in _files(path)]
    if len(beside) > MOST_FILES:
        raise CodeExecutorError(f"these are {len(beside)} files; a program can be given {MOST_FILES}")
    try:
        return Execution(
            "" if module else read(file),
            args=args,
            timeout=options["timeout"],
            environment=options["environment"],
            files=tuple(beside),
            limits=_limits(options, limits),
            name=options["name"] or paths.PROGRAM,
            entry=Entry(module=module) if module else None,
            env=dict(_variable(each) for each in options["env"]),
        )
    except LimitError as error:
        flag = _FLAGS.get(error.name, f"--{error.name.replace('_', '-')}")
        raise CodeExecutorError(f"{flag} {error}") from None
    except ValueError as error:
        raise CodeExecutorError(str(error)) from None


def _limits(options: Mapping[str, Any], limits: Limits) -> RunLimits | None:
    names = ("cpu_time", "memory", "output", "processes", "disk")
    given = {name: options[name] for name in names if options[name] is not None}
    if not given:
        return None
    asked = RunLimits(**given)
    asked.require_within(limits)
    return asked


def _variable(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise CodeExecutorError(f"--env {text}: must be NAME=VALUE")
    return name, value


def _place(module: str) -> str:
    """Return where a module of this directory is: of a package, the outermost directory."""
    top = module.partition(".")[0]
    for path in (Path(top), Path(f"{top}.py")):
        if path.exists():
            return str(path)
    raise CodeExecutorError(f"there is no {top}.py here, and no directory {top}")


def _files(path: str) -> Iterator[File]:
    """Yield the files at or below a path, which is relative to this directory."""
    top = Path(path)
    try:
        found = sorted(each for each in top.rglob("*") if each.is_file()) if top.is_dir() else [top]
        for each in found:
            if "__pycache__" not in each.parts:
                yield File(paths.normal(each.as_posix()), each.read_bytes())
    except paths.PathError as error:
        raise CodeExecutorError(f"{path}: {error}") from None
    except OSError as error:
        raise CodeExecutorError(f"{path}: {error.strerror}") from None


def read(path: str) -> str:
    """Return the text of a program (-: of stdin); raise ``CodeExecutorError``."""
    try:
        if path == "-":
            return sys.stdin.read()
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError as error:
        raise CodeExecutorError(f"{path}: {error.strerror}") from None
