"""What models are told. The texts are files, in a directory for each version, so that a draft can name what made it."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from string import Template

from code_labs.generation.model import Message

VERSION = "1"

_LANGUAGES = {
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "it": "Italian",
    "nl": "Dutch",
    "pt": "Portuguese",
    "ru": "Russian",
}


def first(said: str, *, kind: str, language: str, title: str) -> tuple[Message, ...]:
    """Return the messages that ask for a lab. ``said``: what is said in a stretch of a video, by anybody."""
    asked = Template(_text("task.md")).substitute(
        kind=tomllib.loads(_text("kinds.toml"))[kind],
        language=_LANGUAGES.get(language, f"with the code {language}" if language else "of what is said below"),
        title=f" “{_line(title)}”" if title else "",
        mark=_mark(said),
        transcript=said,
    )
    return Message("system", _text("system.md")), Message("user", asked)


def again(asked: Sequence[Message], answer: str, findings: Sequence[str]) -> tuple[Message, ...]:
    """Return the messages that ask for a repair: what was asked first, the last answer, and what was found in it."""
    found = "\n".join(f"- {finding}" for finding in findings)
    text = Template(_text("repair.md")).substitute(mark=_mark(found), findings=found)
    return (*asked[:2], Message("assistant", answer), Message("user", text))


def _mark(text: str) -> str:
    """Return a line that ends a text. No text has its own hash in it, so none can seem to end before it does."""
    return f"=== {hashlib.sha256(text.encode()).hexdigest()[:24]} ==="


def _line(text: str) -> str:
    return " ".join(text.split())[:200]


@cache
def _text(name: str) -> str:
    return (files(__name__) / VERSION / name).read_text(encoding="utf-8")
