"""What a model may say of a lab. Whatever else stands in its answer is dropped; what is missing is told back to it."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from code_labs.errors import LabsError
from code_labs.labs.model import LONGEST_TASK, complaint

_LARGEST = 64 << 10
"""Characters of an answer."""

_MOST_TESTS = 12
_MOST_TRIES = 40
_FENCE = re.compile(r"```[\w-]*[ \t]*\n(.*?)\n[ \t]*```", re.DOTALL)

_Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
_Hint = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": _TEXT,
        "summary": _TEXT,
        "goals": _TEXTS,
        "difficulty": {"type": "integer", "enum": [1, 2, 3]},
        "task": _TEXT,
        "solution": _TEXT,
        "calls": _TEXTS,
        "inputs": _TEXTS,
        "hints": _TEXTS,
    },
    "required": ["title", "summary", "goals", "difficulty", "task", "solution", "calls", "inputs", "hints"],
    "additionalProperties": False,
}
"""As strict modes want it: all fields, and no bounds, which some services do not know."""


class AnswerError(LabsError):
    """An answer is none that a lab can be made of. The message is for the model."""


class Answer(BaseModel):
    """A lab as a model says it. Tests are ``calls`` of its functions, or ``inputs`` of its program: never results."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    title: _Line
    summary: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = ""
    goals: Annotated[tuple[_Line, ...], Field(max_length=4)] = ()
    difficulty: Annotated[int, Field(ge=1, le=3)] = 1
    task: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_TASK)]
    solution: Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
    calls: tuple[Annotated[str, StringConstraints(max_length=400)], ...] = ()
    inputs: tuple[Annotated[str, StringConstraints(max_length=2000)], ...] = ()
    hints: Annotated[tuple[_Hint, ...], Field(max_length=5)] = ()

    @field_validator("calls", "inputs")
    @classmethod
    def _no_more(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(values))[:_MOST_TESTS]

    @field_validator("solution")
    @classmethod
    def _program(cls, value: str) -> str:
        fenced = _FENCE.fullmatch(value.strip())
        return (fenced[1] if fenced else value).rstrip() + "\n"


def answer_of(text: str, *, cut: bool = False) -> Answer:
    """Read an answer: JSON, alone, in a fence, or with prose around it; raise ``AnswerError``."""
    if len(text) > _LARGEST:
        raise AnswerError(f"The answer has more than {_LARGEST:,} characters. Answer with a shorter JSON object.")
    said = _object(text)
    if said is None:
        why = "was cut off: be shorter" if cut else "is not a JSON object"
        raise AnswerError(f"The answer {why}. Answer with the JSON object and nothing else.")
    try:
        return Answer.model_validate(said)
    except ValidationError as error:
        raise AnswerError(f"A field of the JSON object is not as it must be: {complaint(error)}.") from None


def _object(text: str) -> dict[str, Any] | None:
    """Return the first JSON object with a solution that stands in a text."""
    for tried in (text, *(found[1] for found in _FENCE.finditer(text))):
        if (said := _parsed(tried)) is not None:
            return said
    decoder = json.JSONDecoder()
    at = -1
    for _ in range(_MOST_TRIES):
        at = text.find("{", at + 1)
        if at < 0:
            break
        try:
            said, _end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            continue
        if isinstance(said, dict) and "solution" in said:
            return said
    return None


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None
