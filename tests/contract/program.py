"""What a program of the contract is."""

from __future__ import annotations

from textwrap import dedent
from typing import NamedTuple


class Program(NamedTuple):
    code: str
    stdin: str = ""
    args: tuple[str, ...] = ()


def program(code: str, stdin: str = "", args: tuple[str, ...] = ()) -> Program:
    """Make a program of an indented block."""
    return Program(dedent(code).removeprefix("\n"), stdin, args)
