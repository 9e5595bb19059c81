"""A suite: the tests of a task, what they count, and who may see what of them. Plain values; `forms` reads them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from code_executor.core.errors import CodeExecutorError
from code_executor.core.limits import RunLimits
from code_executor.core.models import File
from code_executor.grading.comparers import LINES, Checker
from code_executor.grading.values import STRICT, Tolerance

MOST_TESTS = 1000
MOST_GROUPS = 200
LARGEST_SUITE = 8 << 20
"""Bytes of a suite, as it is stored."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""What suites, tests and groups may be called."""


_TESTS = re.compile(r"test.*\.py|.*_test\.py")


class SuiteError(CodeExecutorError):
    """A suite cannot be used. ``field``: where it is wrong, as ``tests.3.expected``."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class SuiteUnknownError(CodeExecutorError):
    """There is no suite, or no version of a suite, of that name."""


class SuitesFullError(CodeExecutorError):
    """No more suites are kept for this key."""


class Level(StrEnum):
    """How much of a test is told to whoever may not see everything.

    ``full``: all. ``input``: all but what was expected. ``result``: whether it was passed. ``hidden``: it counts, and
    is not listed.
    """

    FULL = "full"
    INPUT = "input"
    RESULT = "result"
    HIDDEN = "hidden"


@dataclass(frozen=True, slots=True)
class Visibility:
    """``level``: how much is told of a test. With ``after`` (seconds since 1970): from then on; before, ``before``."""

    level: Level = Level.FULL
    after: float | None = None
    before: Level = Level.HIDDEN

    def at(self, now: float) -> Level:
        return self.level if self.after is None or now >= self.after else self.before


@dataclass(frozen=True, slots=True)
class Io:
    """Run the program with ``stdin`` and ``args``, and compare its stdout with ``expected``.

    ``exit_code``: the one that it must exit with; None: it must come to its end.
    """

    kind: ClassVar[str] = "io"

    expected: str
    stdin: str = ""
    args: tuple[str, ...] = ()
    exit_code: int | None = None
    checker: Checker = LINES


@dataclass(frozen=True, slots=True)
class Raises:
    """The exception that a call must end with: the name of its class or of one above it; None: any ``message``."""

    type: str
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """Call a function and compare what it returns. Values are JSON, as `grading.values` has it.

    ``call``: its name, or a path of names (``stack.push``). ``setup``: code that runs in the learner's module before.
    ``raises``: instead of ``expected``, which None as JSON is too. ``stdout``: what the call must print; ``arguments``:
    what its arguments must be afterwards; None: nobody looks.
    """

    kind: ClassVar[str] = "call"

    call: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    expected: Any = None
    raises: Raises | None = None
    stdout: str | None = None
    arguments: tuple[Any, ...] | None = None
    setup: str = ""
    stdin: str = ""
    tolerance: Tolerance = STRICT


@dataclass(frozen=True, slots=True)
class Interactive:
    """Let the program talk with ``interactor``, code of the suite that decides (`grading.inside.judge`).

    ``input``: what the interactor is given, as a file and as an argument.
    """

    kind: ClassVar[str] = "interactive"

    interactor: str
    input: str = ""
    args: tuple[str, ...] = ()


class Framework(StrEnum):
    UNITTEST = "unittest"
    PYTEST = "pytest"


class Isolation(StrEnum):
    """``proxy``: tests and program have a sandbox each. ``process``: they are one process, and a program can cheat."""

    PROXY = "proxy"
    PROCESS = "process"


@dataclass(frozen=True, slots=True)
class Unit:
    """Run unit tests, which the files of the test are, and which import the program as a module.

    ``weights``: what one of them counts beside the others, by a glob of its id; the first that fits holds, else 1.
    The longest stand first.
    """

    framework: Framework
    isolation: Isolation = Isolation.PROXY
    weights: tuple[tuple[str, float], ...] = ()

    @property
    def kind(self) -> str:
        return self.framework.value

    @staticmethod
    def paths(files: Sequence[File]) -> list[str]:
        """Return which files have tests: ``test*.py`` and ``*_test.py``; if there are none, all of Python."""
        programs = [file.path for file in files if file.path.endswith(".py")]
        named = [path for path in programs if _TESTS.fullmatch(path.rpartition("/")[2])]
        return named or programs


Task = Io | Call | Interactive | Unit


@dataclass(frozen=True, slots=True)
class SuiteTest:
    """One test. ``weight``: what it counts. ``timeout``: seconds; None: as long as a run may take.

    ``limits``: what its runs of the program are held to. ``files``: for the program, or, of unit tests, the tests
    themselves, which the program does not get. ``hint``: what its author tells whoever did not pass it.
    """

    id: str
    task: Task
    name: str = ""
    group: str = ""
    weight: float = 1.0
    visibility: Visibility = field(default_factory=Visibility)
    timeout: float | None = None
    files: tuple[File, ...] = ()
    limits: RunLimits | None = None
    hint: str = ""

    def held_to(self, asked: RunLimits | None) -> RunLimits | None:
        """Return what a run is held to that is to be held to ``asked`` as well."""
        return asked if self.limits is None else self.limits.and_also(asked)


@dataclass(frozen=True, slots=True)
class Group:
    """Tests that belong together. ``points``: what it counts (None: as its tests do together), if groups are scored.

    ``depends_on``: groups that must be passed, or its tests are skipped.
    """

    id: str
    points: float | None = None
    depends_on: tuple[str, ...] = ()


class Mode(StrEnum):
    """``sum``: each test counts. ``all``: all tests, or nothing. ``groups``: a group counts if all of it is passed."""

    SUM = "sum"
    ALL = "all"
    GROUPS = "groups"


class Stop(StrEnum):
    """After which failure tests are skipped: of none, of one in their group, of any."""

    NEVER = "never"
    GROUP = "group"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Suite:
    """``max``: the points for everything; None: what the tests, or the groups, count together.

    ``module``: the name under which ``call`` has the learner's program. ``files``: for every test.
    """

    tests: tuple[SuiteTest, ...]
    groups: tuple[Group, ...] = ()
    mode: Mode = Mode.SUM
    max: float | None = None
    stop: Stop = Stop.NEVER
    module: str = "solution"
    files: tuple[File, ...] = ()


def order(suite: Suite) -> list[int]:
    """Return the positions of the tests in the order in which they count: groups after those that they depend on."""
    ranks = ranked(suite.groups)
    return sorted(range(len(suite.tests)), key=lambda at: ranks.get(suite.tests[at].group, 0))


def ranked(groups: Sequence[Group]) -> dict[str, int]:
    """Return how many groups stand above each at most; raise ``SuiteError`` if they depend on each other."""
    by_id = {group.id: group for group in groups}
    ranks: dict[str, int] = {}
    left = list(by_id)
    while left:
        ready = [name for name in left if all(above in ranks for above in by_id[name].depends_on)]
        if not ready:
            raise SuiteError("groups", f"the groups {', '.join(left[:5])} depend on each other in a circle")
        for name in ready:
            ranks[name] = 1 + max((ranks[above] for above in by_id[name].depends_on), default=-1)
        left = [name for name in left if name not in ranks]
    return ranks
