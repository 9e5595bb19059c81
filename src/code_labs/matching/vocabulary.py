"""The words with which a teacher speaks of what a program uses. They are data: `vocabulary.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files


@cache
def vocabulary(language: str) -> Mapping[str, str]:
    """Return concept → words, with spaces between them. A language that has no table gets the English one.

    English words are said in lectures of all languages: print, list, range.
    """
    tables: dict[str, dict[str, str]] = tomllib.loads(
        files("code_labs.matching").joinpath("vocabulary.toml").read_text(encoding="utf-8")
    )
    return tables.get(language) or tables["en"]
