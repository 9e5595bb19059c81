"""A suite as JSON, and back: the form in which it is asked for, stored, and addressed by its content.

`suite_of` takes what the API has found to be of the right shape, or what `suite_object` made, and looks at what a
schema cannot say. `address` is the SHA-256 of the one canonical form: two suites that say the same have the same.
"""

from __future__ import annotations

import base64
import hashlib
import json
import keyword
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from code_executor.core import paths
from code_executor.core.forms.shown import limits_object, limits_of_object
from code_executor.core.models import File
from code_executor.grading import comparers, values
from code_executor.grading.comparers import Checker, CheckerError, CheckerType
from code_executor.grading.suite import (
    LARGEST_SUITE,
    MOST_GROUPS,
    MOST_TESTS,
    NAME,
    Call,
    Framework,
    Group,
    Interactive,
    Io,
    Isolation,
    Level,
    Mode,
    Raises,
    Stop,
    Suite,
    SuiteError,
    SuiteTest,
    Task,
    Unit,
    Visibility,
    ranked,
)
from code_executor.grading.values import Tolerance, ValueFormError

Object = dict[str, Any]

_STOPS = {False: Stop.NEVER, "group": Stop.GROUP, True: Stop.ALWAYS}
_STOPPED = {stop: said for said, stop in _STOPS.items()}


def suite_of(said: Object) -> Suite:
    """Return the suite that an object of the right shape describes; raise ``SuiteError``."""
    default = _checker(said.get("checker") or {})
    shared = _visibility(said.get("visibility") or "full")
    tests = tuple(
        _test(each, number, default, shared, said.get("timeout")) for number, each in enumerate(said["tests"])
    )
    scoring = said.get("scoring") or {}
    suite = Suite(
        tests,
        _groups(said.get("groups") or [], tests),
        Mode(scoring.get("mode", "sum")),
        _number(scoring.get("max")),
        _STOPS[said.get("stopOnFailure") or False],
        said.get("module") or "solution",
        _files(said.get("files")),
    )
    _require(suite)
    return suite


def suite_object(suite: Suite) -> Object:
    """Return the canonical object of a suite, which `suite_of` reads."""
    return {
        "tests": [_test_object(test) for test in suite.tests],
        "groups": [
            {"id": group.id, "points": group.points, "dependsOn": list(group.depends_on)} for group in suite.groups
        ],
        "scoring": {"mode": suite.mode.value, "max": suite.max},
        "stopOnFailure": _STOPPED[suite.stop],
        "module": suite.module,
        "files": _file_objects(suite.files),
    }


def canonical(suite: Suite) -> bytes:
    """Return the one text of a suite; raise ``SuiteError`` if it is too large."""
    text = _text(suite)
    if len(text) > LARGEST_SUITE:
        raise SuiteError("", f"the suite is larger than {LARGEST_SUITE} bytes")
    return text


def digest(suite: Suite) -> str:
    """Return the address of a suite that need not be small enough to be stored."""
    return address(_text(suite))


def _text(suite: Suite) -> bytes:
    return json.dumps(suite_object(suite), ensure_ascii=True, sort_keys=True, separators=(",", ":")).encode()


def address(text: bytes) -> str:
    """Return the address of a canonical text: 64 hexadecimal digits."""
    return hashlib.sha256(text).hexdigest()


def read(text: bytes) -> Suite:
    """Return the suite of a canonical text."""
    return suite_of(json.loads(text))


# ---- tests


def _test(said: Object, number: int, default: Checker, shared: Visibility, timeout: float | None) -> SuiteTest:
    where = f"tests.{number}"
    visibility = said.get("visibility")
    weight = said.get("weight")
    return SuiteTest(
        said.get("id") or str(number + 1),
        _task(said, where, default),
        said.get("name") or "",
        said.get("group") or "",
        1.0 if weight is None else float(weight),
        _visibility(visibility) if visibility else shared,
        _number(said.get("timeout") or timeout),
        _files(said.get("files")),
        limits_of_object(said.get("limits")),
        said.get("hint") or "",
    )


def _task(said: Object, where: str, default: Checker) -> Task:
    match said["kind"]:
        case "call":
            return _call(said, where)
        case "interactive":
            _require_python(f"{where}.interactor", said["interactor"])
            return Interactive(said["interactor"], said.get("input") or "", tuple(said.get("args") or ()))
        case "unittest" | "pytest" as framework:
            weights = sorted((said.get("weights") or {}).items(), key=lambda pair: (-len(pair[0]), pair[0]))
            weighed = tuple((glob, float(weight)) for glob, weight in weights)
            return Unit(Framework(framework), Isolation(said.get("isolation") or "proxy"), weighed)
    return _io(said, where, default)


def _require_python(where: str, code: str) -> None:
    if not code.strip():
        raise SuiteError(where, "it is empty, and could not decide anything")


def _io(said: Object, where: str, default: Checker) -> Task:
    checker = _checker(said["checker"]) if said.get("checker") else default
    try:
        comparers.require_usable(checker, said["expected"].encode("utf-8", "replace"))
    except CheckerError as error:
        field = "checker" if checker.type is CheckerType.PROGRAM else "expected"
        raise SuiteError(f"{where}.{field}", str(error)) from None
    return Io(said["expected"], said.get("stdin") or "", tuple(said.get("args") or ()), said.get("exitCode"), checker)


def _call(said: Object, where: str) -> Task:
    raises = said.get("raises")
    if raises is not None and "expected" in said and said["expected"] is not None:
        raise SuiteError(f"{where}.raises", "give either expected or raises")
    arguments = said.get("arguments")
    task = Call(
        said["call"],
        tuple(said.get("args") or ()),
        dict(said.get("kwargs") or {}),
        said.get("expected"),
        Raises(raises["type"], raises.get("message")) if raises else None,
        said.get("stdout"),
        None if arguments is None else tuple(arguments),
        said.get("setup") or "",
        said.get("stdin") or "",
        Tolerance(_number(said.get("rel")), _number(said.get("abs")), bool(said.get("looseSequences"))),
    )
    for field, value in (
        ("args", list(task.args)),
        ("kwargs", task.kwargs),
        ("expected", task.expected),
        ("arguments", list(task.arguments or ())),
    ):
        try:
            values.value_of(value)
        except ValueFormError as error:
            raise SuiteError(f"{where}.{field}", str(error)) from None
    return task


def _test_object(test: SuiteTest) -> Object:
    said: Object = {
        "id": test.id,
        "name": test.name,
        "group": test.group or None,
        "weight": test.weight,
        "visibility": _visibility_object(test.visibility),
        "timeout": test.timeout,
        "limits": test.limits and limits_object(test.limits),
        "files": _file_objects(test.files),
        **({"hint": test.hint} if test.hint else {}),
    }
    task = test.task
    if isinstance(task, Io):
        return said | {
            "kind": "io",
            "stdin": task.stdin,
            "args": list(task.args),
            "expected": task.expected,
            "exitCode": task.exit_code,
            "checker": _checker_object(task.checker),
        }
    if isinstance(task, Interactive):
        own = {"interactor": task.interactor, "input": task.input, "args": list(task.args)}
        return said | {"kind": "interactive"} | own
    if isinstance(task, Unit):
        return said | {"kind": task.kind, "isolation": task.isolation.value, "weights": dict(task.weights)}
    raises = task.raises
    return said | {
        "kind": "call",
        "call": task.call,
        "args": list(task.args),
        "kwargs": task.kwargs,
        "expected": task.expected,
        "raises": raises and {"type": raises.type, "message": raises.message},
        "stdout": task.stdout,
        "arguments": None if task.arguments is None else list(task.arguments),
        "setup": task.setup,
        "stdin": task.stdin,
        "rel": task.tolerance.rel,
        "abs": task.tolerance.abs,
        "looseSequences": task.tolerance.loose_sequences,
    }


# ---- parts


def _number(said: float | None) -> float | None:
    """Return a number as the canonical form has it, where 1 and 1.0 are the same."""
    return None if said is None else float(said)


def _checker(said: Object) -> Checker:
    usual = Checker()
    return Checker(
        CheckerType(said.get("type") or "lines"),
        bool(said.get("ignoreCase")),
        usual.abs if said.get("abs") is None else float(said["abs"]),
        usual.rel if said.get("rel") is None else float(said["rel"]),
        bool(said.get("nan")),
        bool(said.get("full")),
        said.get("code") or "",
    )


def _checker_object(checker: Checker) -> Object:
    return {
        "type": checker.type.value,
        "ignoreCase": checker.ignore_case,
        "abs": checker.abs,
        "rel": checker.rel,
        "nan": checker.nan,
        "full": checker.full,
        **({"code": checker.code} if checker.type is CheckerType.PROGRAM else {}),
    }


def _visibility(said: str | Object) -> Visibility:
    if isinstance(said, str):
        return Visibility(Level(said))
    instant = datetime.fromisoformat(said["after"])
    return Visibility(
        Level(said.get("level") or "full"),
        (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp(),
        Level(said.get("before") or "hidden"),
    )


def _visibility_object(visibility: Visibility) -> str | Object:
    if visibility.after is None:
        return visibility.level.value
    instant = datetime.fromtimestamp(visibility.after, UTC).isoformat()
    return {"level": visibility.level.value, "after": instant, "before": visibility.before.value}


def _groups(said: Sequence[Object], tests: Sequence[SuiteTest]) -> tuple[Group, ...]:
    """Return the groups that are described, and those that tests only name."""
    groups = [Group(each["id"], _number(each.get("points")), tuple(each.get("dependsOn") or ())) for each in said]
    known = {group.id for group in groups}
    named = dict.fromkeys(test.group for test in tests if test.group and test.group not in known)
    return (*groups, *map(Group, named))


def _files(said: Sequence[Object] | None) -> tuple[File, ...]:
    return tuple(File(paths.normal(each["path"]), _content(each)) for each in said or ())


def _content(said: Object) -> bytes:
    if "data" in said:  # decoded already
        return bytes(said["data"])
    if said.get("contentBase64") is not None:
        return base64.b64decode(said["contentBase64"])
    return str(said.get("content") or "").encode("utf-8", "replace")


def _file_objects(files: Sequence[File]) -> list[Object]:
    return [{"path": file.path, "contentBase64": base64.b64encode(file.data).decode()} for file in files]


# ---- what a schema cannot say


def _require(suite: Suite) -> None:
    if not 0 < len(suite.tests) <= MOST_TESTS:
        raise SuiteError("tests", f"a suite has 1 to {MOST_TESTS} tests, not {len(suite.tests)}")
    if len(suite.groups) > MOST_GROUPS:
        raise SuiteError("groups", f"a suite has {MOST_GROUPS} groups at most")
    _require_names("tests", [test.id for test in suite.tests])
    _require_names("groups", [group.id for group in suite.groups])
    known = {group.id for group in suite.groups}
    for number, group in enumerate(suite.groups):
        if unknown := next((above for above in group.depends_on if above not in known), None):
            raise SuiteError(f"groups.{number}.dependsOn", f"there is no group {unknown!r}")
    used = {test.group for test in suite.tests}
    if empty := next((group.id for group in suite.groups if group.id not in used), None):
        raise SuiteError("groups", f"the group {empty!r} has no test, and would be passed by everybody")
    ranked(suite.groups)
    if not any(test.weight for test in suite.tests):
        raise SuiteError("tests", "no test counts anything: each has the weight 0")
    if not suite.module.isidentifier() or keyword.iskeyword(suite.module) or suite.module == "main":
        raise SuiteError("module", f"{suite.module!r} cannot be the name of a module here")
    for number, test in enumerate(suite.tests):
        _require_files(suite, test, f"tests.{number}.files")
        if isinstance(test.task, Unit) and not test.task.paths(test.files):
            raise SuiteError(f"tests.{number}.files", "it has no file of Python with tests")


def _require_names(where: str, names: Sequence[str]) -> None:
    for number, name in enumerate(names):
        if not NAME.fullmatch(name):
            raise SuiteError(
                f"{where}.{number}.id",
                f"{name[:40]!r} is no name: 1 to 100 letters, digits, '.', '_' and '-', the first a letter or digit",
            )
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise SuiteError(where, f"two have the id {name!r}")


def _require_files(suite: Suite, test: SuiteTest, where: str) -> None:
    given = [*suite.files, *test.files]
    names = [file.path for file in given]
    if isinstance(test.task, Call | Unit):
        names.append(f"{suite.module}.py")
    if clash := paths.clash(names, program=True):
        raise SuiteError(where, clash.message)
