"""A lab, and its one JSON form. Its suite is said as ``POST /api/grade`` takes suites, with two kinds of tests.

JSON has names as ``exitCode``, Python as ``exit_code``. What has its default is left out of the JSON.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from code_labs.errors import LabError
from code_labs.matching.course import Query
from code_labs.matching.features import features_of

LARGEST_FILE = 1 << 20
"""Characters of the starter, the solution, or one file."""

LONGEST_TASK = 16_384
MOST_TESTS = 200
KINDS = ("write", "repair", "fill", "order", "predict")
"""What a learner does with a program."""

ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_PATH = re.compile(r"(?!.*(?:^|/)\.{1,2}(?:/|$))[A-Za-z0-9._-][A-Za-z0-9._/ -]{0,199}(?<!/)")
_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")


def _id(value: str) -> str:
    if not ID.fullmatch(value):
        raise ValueError("must be 1 to 64 lower-case letters, digits, '.', '_' and '-', the first a letter or digit")
    return value


def _path(value: str) -> str:
    if not _PATH.fullmatch(value) or "//" in value:
        raise ValueError(f"{value!r} must be a relative path, as data/rain.csv")
    return value


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} must be the name of a function, as total or Stack.push")
    return value


def _python(value: str) -> str:
    try:
        ast.parse(value)
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"is not Python: {error}") from None
    except (RecursionError, MemoryError):
        raise ValueError("is nested too deep") from None
    return value


_Program = Annotated[str, Field(max_length=LARGEST_FILE)]
_Line = Annotated[str, Field(min_length=1, max_length=200)]
_Lines = Annotated[tuple[_Line, ...], Field(max_length=20)]


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True, allow_inf_nan=False
    )


class File(_Part):
    """A text file beside the program."""

    path: Annotated[str, AfterValidator(_path)]
    content: Annotated[str, Field(max_length=LARGEST_FILE)]


def _in_order(files: tuple[File, ...]) -> tuple[File, ...]:
    return tuple(sorted(files, key=lambda file: file.path))


class Checker(_Part):
    """How output is compared. ``lines``: without spaces at the ends of lines and lines at the end."""

    type: Literal["lines", "exact", "tokens", "float", "unordered-lines", "contains", "regex", "json"] = "lines"
    ignore_case: bool = False
    abs: float | None = Field(default=None, ge=0)
    rel: float | None = Field(default=None, ge=0)
    nan: bool = False
    full: bool = False


class _Test(_Part):
    id: Annotated[str, AfterValidator(_id)]
    name: Annotated[str, Field(max_length=200)] = ""
    group: Annotated[str, Field(max_length=100)] = ""
    weight: float = Field(default=1.0, ge=0, le=1000)
    visibility: Literal["full", "input", "result", "hidden"] = "full"
    timeout: float | None = Field(default=None, gt=0, le=60)
    files: tuple[File, ...] = ()


class IoTest(_Test):
    """Run the program with ``stdin`` and ``args``, and compare what it prints.

    ``exit_code``: the one that it must exit with; None: it must come to its end.
    """

    kind: Literal["io"] = "io"
    stdin: str = ""
    args: tuple[str, ...] = ()
    expected: str
    exit_code: int | None = Field(default=None, ge=0, le=255)
    checker: Checker = Checker()


class Raises(_Part):
    """The exception that a call must end with. ``message`` None: any."""

    type: Annotated[str, AfterValidator(_name)]
    message: str | None = None


class CallTest(_Test):
    """Call a function with JSON values, and compare what it returns (``expected``), prints and does to its arguments.

    ``setup``: code that runs in the learner's module before. ``stdout``, ``arguments`` None: nobody looks.
    """

    kind: Literal["call"] = "call"
    call: Annotated[str, AfterValidator(_name)]
    args: tuple[JsonValue, ...] = ()
    kwargs: dict[str, JsonValue] = {}
    expected: JsonValue = None
    raises: Raises | None = None
    stdout: str | None = None
    arguments: tuple[JsonValue, ...] | None = None
    setup: Annotated[str, AfterValidator(_python)] = ""
    stdin: str = ""
    rel: float | None = Field(default=None, ge=0)
    abs: float | None = Field(default=None, ge=0)
    loose_sequences: bool = False

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if self.raises is not None and self.expected is not None:
            raise ValueError("has both expected and raises: give one")
        return self


class Suite(_Part):
    """The tests of a lab. ``module``: what the learner's program is called where tests import it."""

    tests: Annotated[
        tuple[Annotated[IoTest | CallTest, Field(discriminator="kind")], ...],
        Field(min_length=1, max_length=MOST_TESTS),
    ]
    module: Annotated[str, AfterValidator(_name)] = "solution"

    @model_validator(mode="after")
    def _whole(self) -> Self:
        ids = [test.id for test in self.tests]
        if twice := next((name for name in ids if ids.count(name) > 1), None):
            raise ValueError(f"two tests have the id {twice!r}")
        if not any(test.weight for test in self.tests):
            raise ValueError("no test counts anything: each has the weight 0")
        return self


class VideoLink(_Part):
    """Where in a video the lab belongs, in seconds. A teacher has said so: it is a pin."""

    video: _Line
    start: float = Field(ge=0, le=12 * 3600)
    end: float | None = Field(default=None, ge=0, le=12 * 3600)

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"ends at {self.end:g} seconds, and starts at {self.start:g}")
        return self


class Lab(_Part):
    """An exercise. ``task`` is Markdown; ``hints`` are given one after the other; ``concepts`` as ``loops.for``.

    ``kind``: what the learner does: write a program, repair one, fill its gaps, predict what one prints, or put lines
    in order. ``policy`` off: its programs need what the strict policy refuses, as ``open``.
    """

    id: Annotated[str, AfterValidator(_id)]
    title: _Line
    summary: Annotated[str, Field(max_length=500)] = ""
    goals: _Lines = ()
    concepts: _Lines = ()
    difficulty: int = Field(default=1, ge=1, le=3)
    language: Annotated[str, Field(pattern=r"^(?:[a-z]{2})?$")] = ""
    kind: Literal["write", "repair", "fill", "order", "predict"] = "write"
    policy: Literal["strict", "off"] = "strict"
    task: Annotated[str, Field(min_length=1, max_length=LONGEST_TASK)]
    starter: Annotated[_Program, AfterValidator(_python)] = ""
    solution: Annotated[_Program, AfterValidator(_python)] = ""
    suite: Suite | None = None
    hints: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=2000)], ...], Field(max_length=10)] = ()
    files: Annotated[tuple[File, ...], Field(max_length=50), AfterValidator(_in_order)] = ()
    video: VideoLink | None = None
    status: Literal["draft", "published", "retired"] = "draft"

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.solution and self.solution.strip() == self.starter.strip():
            raise ValueError("the starter is the solution")
        if self.solution.strip() and any(self.solution.strip() in hint for hint in self.hints):
            raise ValueError("a hint has the whole solution in it")
        names = [file.path for file in self.files]
        if len(set(names)) < len(names):
            raise ValueError("two files have the same path")
        return self

    @property
    def tags(self) -> tuple[str, ...]:
        """Its concepts: those that it names, and otherwise those that its solution uses."""
        return self.concepts or features_of(self.solution).concepts

    @property
    def query(self) -> Query:
        """What the matcher asks."""
        return Query(self.id, self.task, ". ".join((self.title, *self.goals)), self.solution, self.language)


def lab_of(said: Mapping[str, Any]) -> Lab:
    """Read the JSON form; raise ``LabError`` that names the field."""
    try:
        return Lab.model_validate(dict(said))
    except ValidationError as error:
        raise LabError(complaint(error)) from None
    except RecursionError:
        raise LabError("the lab is nested too deep") from None


def lab_object(lab: Lab) -> dict[str, Any]:
    """Return the JSON form."""
    said: dict[str, Any] = lab.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if lab.suite:  # the kind says which test it is, though it is the default of its class
        for test, made in zip(said["suite"]["tests"], lab.suite.tests, strict=True):
            test["kind"] = made.kind
    return said


def read_json(text: str | bytes) -> Lab:
    """Read a lab from JSON text; raise ``LabError``."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LabError(f"this is not JSON: {error}") from None
    if not isinstance(said, dict):
        raise LabError("a lab is a JSON object")
    return lab_of(said)


def complaint(error: ValidationError) -> str:
    """Say what is wrong first, and where: ``suite.tests.2.expected: Field required``."""
    first = error.errors(include_url=False)[0]
    steps = first["loc"]
    is_kind = [n >= 2 and steps[n - 2] == "tests" for n in range(len(steps))]  # it stands after the number of a test
    where = ".".join(str(step) for step, kind in zip(steps, is_kind, strict=True) if not kind)
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
