"""What a suite and a request to grade may hold, and what a grade holds: for checks and for the description.

What a schema cannot say, `grading.forms` looks at.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from code_executor.api.schemas import FileIn, Files, Language, ProblemOut
from code_executor.api.schemas.requests import CHOSEN, POLICY_CHOSEN, LimitsIn
from code_executor.api.schemas.values import Argument, EnvironmentName, PolicyName
from code_executor.grading.comparers import CheckerType
from code_executor.grading.outcomes import GradeVerdict, Verdict
from code_executor.grading.receipts import MOST_TEXT as MOST_RECEIPT
from code_executor.grading.suite import MOST_GROUPS, MOST_TESTS, NAME

_MODEL = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)
_NAME = rf"^{NAME.pattern}$"
_CALL = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*){0,9}$"
_REFERENCE = rf"^{NAME.pattern}(@[0-9a-f]{{64}})?$"

Name = Annotated[str, Field(pattern=_NAME)]
Level = Literal["full", "input", "result", "hidden"]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Tolerance = Annotated[float, Field(ge=0, allow_inf_nan=False)]
JsonValue = Annotated[
    Any,
    Field(description='A value as JSON: `{"$tuple": [1, 2]}`, `{"$float": "nan"}` and so on for what JSON lacks.'),
]


def _instant(text: str) -> str:
    try:
        datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ValueError("not an instant, as 2027-02-01T12:00:00Z") from None
    return text


class AfterIn(BaseModel):
    """A visibility that changes: `before` until an instant, `level` from then on."""

    model_config = _MODEL

    after: Annotated[str, AfterValidator(_instant), Field(json_schema_extra={"format": "date-time"})] = Field(
        description="2027-02-01T12:00:00Z; in UTC if it names no zone."
    )
    level: Level = "full"
    before: Level = "hidden"


Visibility = Level | AfterIn


class CheckerIn(BaseModel):
    """How an output is compared."""

    model_config = _MODEL

    type: CheckerType = Field(CheckerType.LINES, strict=False)
    ignore_case: bool = Field(False, description="Of `tokens`.")
    abs: Tolerance | None = Field(None, description="Of `float`: how far a number may be off; 1e-6 if left out.")
    rel: Tolerance | None = Field(None, description="Of `float`: the same, times what was expected; 1e-6 if left out.")
    nan: bool = Field(False, description="Of `float`: whether a NaN is right where one is expected.")
    full: bool = Field(False, description="Of `regex`: whether the whole output must match.")
    code: str | None = Field(
        None,
        description="Of `program`: Python with `check(input, output, answer)`, or a script with testlib's statuses.",
    )


class _TestIn(BaseModel):
    model_config = _MODEL

    id: Name | None = Field(None, description="Its number, from 1, if left out.")
    name: Annotated[str, Field(max_length=200)] | None = Field(None, description="What it is called for people.")
    group: Name | None = None
    weight: Weight | None = Field(None, description="What it counts; 1 if left out.")
    visibility: Visibility | None = Field(None, description="What is told of it; the suite's if left out.")
    timeout: Seconds | None = Field(None, description="Seconds; the suite's, or the service's, if left out.")
    limits: LimitsIn | None = Field(None, description="What its runs of the program are held to.")
    files: Files | None = Field(None, description="Files for the working directory, for this test alone.")
    hint: Annotated[str, Field(max_length=1000)] | None = Field(
        None, description="What a learner who did not pass it is told, from the visibility `input` upwards."
    )


class IoTestIn(_TestIn):
    """Run the program, and compare what it writes to stdout."""

    kind: Literal["io"]
    expected: str = Field(description="What it must write.")
    stdin: str | None = ""
    args: Annotated[list[Argument], Field(max_length=64)] | None = None
    exit_code: Annotated[int, Field(ge=0, le=255)] | None = Field(
        None, description="The status that it must exit with. If left out, it must come to its end."
    )
    checker: CheckerIn | None = Field(None, description="The suite's if left out.")


class RaisesIn(BaseModel):
    """An exception that a call must end with."""

    model_config = _MODEL

    type: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")] = Field(
        description="The name of its class, or of one above it."
    )
    message: str | None = Field(None, description="Its text; any if left out.")


class CallTestIn(_TestIn):
    """Call a function, and compare what it returns."""

    kind: Literal["call"]
    call: Annotated[str, Field(pattern=_CALL, max_length=200)] = Field(description="`fib`, or `stack.push`.")
    args: Annotated[list[JsonValue], Field(max_length=64)] | None = None
    kwargs: dict[str, JsonValue] | None = None
    expected: JsonValue = None
    raises: RaisesIn | None = None
    stdout: str | None = Field(None, description="What the call must print; null: nobody looks.")
    arguments: list[JsonValue] | None = Field(None, description="What `args` must be afterwards; null: nobody looks.")
    setup: str | None = Field(None, description="Code that runs in the program's module before the call.")
    stdin: str | None = ""
    rel: Tolerance | None = Field(None, description="How far floats may be off, times what was expected.")
    abs: Tolerance | None = Field(None, description="How far floats may be off.")
    loose_sequences: bool = Field(False, description="Whether a tuple is right where a list is expected.")


class InteractiveTestIn(_TestIn):
    """Let the program talk with one of the suite, which decides."""

    kind: Literal["interactive"]
    interactor: str = Field(
        description="Python with `interact(input)`, or a script with testlib's statuses. It reads what the program "
        "prints, and prints what the program reads."
    )
    input: str | None = Field("", description="What the interactor is given; the program is not.")
    args: Annotated[list[Argument], Field(max_length=64)] | None = None


class _UnitTestIn(_TestIn):
    files: Files = Field(description="The tests: `test*.py`, `*_test.py`, and what they need. The program has none.")
    isolation: Literal["proxy", "process"] | None = Field(
        "proxy", description="`process`: tests and program in one process. The program can then write its own verdict."
    )
    weights: Annotated[dict[str, Weight], Field(max_length=1000)] | None = Field(
        None, description="What single tests count, by a glob of their ids; 1 if none fits."
    )


class UnittestIn(_UnitTestIn):
    """Run tests of unittest that import the program as a module."""

    kind: Literal["unittest"]


class PytestIn(_UnitTestIn):
    """Run tests of pytest that import the program as a module."""

    kind: Literal["pytest"]


TestIn = IoTestIn | CallTestIn | InteractiveTestIn | UnittestIn | PytestIn


class GroupIn(BaseModel):
    """Tests that belong together."""

    model_config = _MODEL

    id: Name
    points: Weight | None = Field(
        None, description="What it counts in the mode `groups`; its tests' weights if left out."
    )
    depends_on: Annotated[list[Name], Field(max_length=MOST_GROUPS)] | None = Field(
        None, description="Groups that must be passed, or its tests are skipped."
    )


class ScoringIn(BaseModel):
    """How points are added up."""

    model_config = _MODEL

    mode: Literal["sum", "all", "groups"] = "sum"
    max: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] | None = Field(
        None, description="Points for everything; if left out, what the tests or the groups count together."
    )


class SuiteIn(BaseModel):
    """The tests of a task."""

    model_config = _MODEL

    tests: Annotated[
        list[Annotated[TestIn, Field(discriminator="kind")]],
        Field(min_length=1, max_length=MOST_TESTS),
    ]
    groups: Annotated[list[GroupIn], Field(max_length=MOST_GROUPS)] | None = None
    checker: CheckerIn | None = Field(None, description="Of the tests `io` that have none.")
    visibility: Visibility | None = Field(None, description="Of the tests that have none; `full` if left out.")
    scoring: ScoringIn | None = None
    stop_on_failure: Literal["group"] | bool | None = Field(
        False,  # a default
        description='true: after the first failure, all other tests are skipped. "group": those of its group.',
    )
    module: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")] | None = Field(
        "solution", description="The name that the program has as a module, for `call`, `unittest` and `pytest`."
    )
    timeout: Seconds | None = Field(None, description="Seconds, of the tests that have none.")
    files: Files | None = Field(None, description="Files for the working directory, for every test.")

    def object(self) -> dict[str, Any]:
        """Return what `grading.forms.suite_of` reads."""
        said = self.model_dump(mode="python", by_alias=True)
        _give_files(self, said)
        for model, test in zip(self.tests, said["tests"], strict=True):
            _give_files(model, test)
        return said


def _give_files(model: SuiteIn | TestIn, said: dict[str, Any]) -> None:
    """Leave the files as they came: their bytes were decoded once already."""
    files: list[FileIn] = model.files or []
    said["files"] = [{"path": file.path, "data": file.data()} for file in files]


class GradeRequest(BaseModel):
    """A program to grade, and the suite: itself, or the name of one that is stored."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        alias_generator=to_camel,
        json_schema_extra={
            "oneOf": [
                {"required": ["suite"], "properties": {"suite": {"type": "object"}}},
                {"required": ["suiteId"], "properties": {"suiteId": {"type": "string"}}},
                {
                    "required": ["regradeOf"],
                    "properties": {
                        "regradeOf": {"type": "string"},
                        "suite": {"type": "null"},
                        "suiteId": {"type": "null"},
                    },
                },
            ]
        },
    )

    code: str = Field(description="The source of the program.")
    language: Language | None = Field("python", description="The language of the program.")
    files: Files | None = Field(
        default_factory=list, description="Files for the working directory. The suite's come instead of those."
    )
    environment: EnvironmentName | None = Field(None, description=CHOSEN)
    limits: LimitsIn | None = Field(None, description="What each run of the program is held to.")
    suite: SuiteIn | None = None
    suite_id: Annotated[str, Field(pattern=_REFERENCE)] | None = Field(
        None, description="`week-1`, which is its newest version, or `week-1@` and 64 hexadecimal digits."
    )
    policy: PolicyName | None = Field(None, description=POLICY_CHOSEN)

    regrade_of: Annotated[str, Field(max_length=MOST_RECEIPT)] | None = Field(
        None,
        description="The receipt of an earlier grade, to compare with. If the suite is left out, or named without a "
        "version, it is the version of the receipt.",
    )

    @model_validator(mode="after")
    def _one_suite(self) -> Self:
        if self.suite is not None and self.suite_id is not None:
            raise ValueError("only one of suite and suiteId may be given")
        if self.suite is None and self.suite_id is None and self.regrade_of is None:
            raise ValueError("exactly one of suite and suiteId is needed")
        return self


class SuiteStored(BaseModel):
    """A version of a suite. Nothing changes it any more."""

    id: str
    version: str = Field(description="SHA-256 of what it says, in hexadecimal digits.")
    tests: int = Field(description="Number of tests.")


class SuiteResponse(SuiteStored):
    """A version of a suite, and what it says, with everything that was left out."""

    suite: dict[str, Any]


class DiffOut(BaseModel):
    """The first place where something is wrong; white space is visible."""

    line: int | None = Field(description="Of the output, from 1.")
    expected: str | None
    got: str | None


class CaseOut(BaseModel):
    """What came of one unit test."""

    id: str
    verdict: Verdict
    weight: float
    message: str | None = Field(None, description="What the test says; for whoever may see everything of it.")


class TestOut(BaseModel):
    """What came of a test. How much there is depends on its visibility, and on who asks."""

    model_config = ConfigDict(alias_generator=to_camel)

    id: str
    name: str | None
    group: str | None
    verdict: Verdict | Literal["failed"] = Field(
        description="`failed`: it was not passed, and the visibility `result` says no more."
    )
    score: float = Field(description="Its points, by itself.")
    max: float
    reason: str | None = Field(None, description="Why its run ended, as of a run.")
    message: str | None = Field(None, description="What is wrong.")
    hint: str | None = Field(None, description="What the author of the test says to whoever did not pass it.")
    line: int | None = Field(None, description="Of the output (io), or of the program (call).")
    stdout: str | None = None
    stderr: str | None = None
    got: str | None = Field(None, description="What a call returned.")
    input: dict[str, Any] | None = Field(None, description="What the program was given.")
    time: float | None = Field(None, description="Milliseconds.")
    cpu_time: float | None = Field(None, description="Milliseconds of processor time.")
    memory: int | None = Field(None, description="Peak memory in bytes.")
    trust: str | None = Field(
        None, description="`isolated`: what decided was out of the program's reach. `cooperative`: it was not."
    )
    cases: list[CaseOut] | None = Field(None, description="Of `unittest` and `pytest`: what came of each of its tests.")
    detail: str | None = Field(None, description="More of what is wrong: of the checker or the tests themselves.")
    expected: str | None = None
    diff: DiffOut | None = None
    flaky: bool | None = Field(
        None, description="true: it printed something else when the same was graded before (`regradeOf`)."
    )


class GroupOut(BaseModel):
    id: str
    passed: bool
    score: float
    max: float


class UsageOut(BaseModel):
    """What the grade took."""

    model_config = ConfigDict(alias_generator=to_camel)

    runs: int
    time: float = Field(description="Milliseconds of all runs.")
    cpu_time: float = Field(description="Milliseconds of processor time.")
    memory: int = Field(description="Peak memory in bytes.")


class RegradeOut(BaseModel):
    """What is different from the grade before, as far as both receipts tell."""

    same: bool = Field(description="Whether every test came to the same, and printed the same.")
    differs: list[str] = Field(description="The ids of the tests that did not.")
    flaky: list[str] = Field(description="Those that printed something else, although nothing was changed.")
    why: list[str] = Field(
        description="What was another thing then: `suite changed`, likewise `code`, `files`, `environment`, `limits`, "
        "`server`, `engine`; or `not deterministic`: nothing was."
    )


class GradeEnd(BaseModel):
    """What came of a submission, at the end of a stream: without its tests."""

    id: str
    verdict: GradeVerdict = Field(description="`error`: the service or a checker failed. There is no score then.")
    score: float | None
    max: float
    groups: list[GroupOut]
    problems: list[ProblemOut] = Field(description="What the policy or the compiler refuses: nothing was run.")
    usage: UsageOut | None = Field(description="null for whoever may not see everything.")
    receipt: str | None = Field(description="All this, signed: a JWS. null: the service has nowhere to keep a key.")
    regrade: RegradeOut | None = Field(None, description="With `regradeOf`.")


class GradeResponse(GradeEnd):
    """What came of a submission."""

    tests: list[TestOut] = Field(description="In the order of the suite, without the hidden ones.")
