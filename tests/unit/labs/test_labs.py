"""Labs: what is written is read again, and what is wrong is named."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_labs.errors import LabError
from code_labs.labs import Lab, lab_object, lab_of, read_lab, write_lab
from code_labs.labs.model import LARGEST_FILE, read_json
from tests.unit.labs.made import SAID, made

FILES = [{"path": "data/rain.csv", "content": "1,2\r\n"}, {"path": "empty.txt", "content": ""}]
ODD = {
    "tests": [
        {
            "id": "1",
            "kind": "call",
            "call": "f",
            "args": [None, "it's\n'''odd''' \x7f"],
            "kwargs": {"a b": [True, 1.5]},
        },
        {"id": "2", "kind": "call", "call": "Stack.push", "raises": {"type": "ValueError"}, "setup": "x = 1\n"},
        {"id": "3", "kind": "io", "expected": "ä\n\n'", "exitCode": 3, "checker": {"type": "float", "abs": 0.1}},
        {
            "id": "4",
            "kind": "call",
            "call": "big",
            "args": [10**30],
            "stdout": "",
            "arguments": [[1]],
            "looseSequences": True,
        },
    ],
    "module": "stack",
}


@pytest.mark.parametrize("more", [{}, {"files": FILES}, {"suite": ODD}, {"suite": None, "video": None, "hints": []}])
def test_what_is_written_is_read_again(more: dict[str, Any], tmp_path: Path) -> None:
    lab = made(**more)
    write_lab(lab, tmp_path / "a")
    assert read_lab(tmp_path / "a") == lab
    assert lab_of(lab_object(lab)) == lab
    assert read_json(json.dumps(lab_object(lab))) == lab


def test_a_directory_is_for_people(tmp_path: Path) -> None:
    write_lab(made(), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"lab.toml", "task.md", "starter.py", "solution.py", "tests.toml"}
    assert (tmp_path / "task.md").read_text() == SAID["task"]
    assert '[video]\nvideo = "06-dictionaries"\nstart = 241.5\n' in (tmp_path / "lab.toml").read_text()
    assert '[[tests]]\nid = "1"\nkind = "call"\n' in (tmp_path / "tests.toml").read_text()
    write_lab(made(suite=None, starter=""), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"lab.toml", "task.md", "solution.py"}


def test_the_json_form_leaves_defaults_out_and_names_as_the_api_does() -> None:
    said = lab_object(made(suite=ODD))
    assert said["suite"]["tests"][2] == {
        "id": "3",
        "kind": "io",
        "expected": "ä\n\n'",
        "exitCode": 3,
        "checker": {"type": "float", "abs": 0.1},
    }
    assert "status" not in said


def without(field: str) -> dict[str, Any]:
    return {name: value for name, value in SAID.items() if name != field}


def with_test(**more: Any) -> dict[str, Any]:
    return SAID | {"suite": {"tests": [{"id": "1", "kind": "call", "call": "f"} | more]}}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (without("title"), "title: Field required"),
        (SAID | {"id": "A b"}, "id: must be 1 to 64 lower-case letters"),
        (SAID | {"colour": "blue"}, "colour: Extra inputs"),
        (SAID | {"solution": "def ("}, "solution: is not Python: .*line 1"),
        (SAID | {"solution": "(" * 5000}, "solution: is "),
        (SAID | {"starter": SAID["solution"] + "\n"}, "the starter is the solution"),
        (SAID | {"hints": [f"Write:\n{SAID['solution']}"]}, "a hint has the whole solution"),
        (SAID | {"difficulty": 4}, "difficulty: Input should be less"),
        (SAID | {"files": [{"path": "../x", "content": ""}]}, r"files.0.path: '../x' must be a relative path"),
        (SAID | {"files": [{"path": "/etc/x", "content": ""}]}, "must be a relative path"),
        (SAID | {"files": [{"path": "a/./b", "content": ""}]}, "must be a relative path"),
        (SAID | {"files": [{"path": "a", "content": ""}] * 2}, "two files have the same path"),
        (SAID | {"video": {"video": "x", "start": 10, "end": 5}}, "video: ends at 5 seconds, and starts at 10"),
        (SAID | {"suite": {"tests": []}}, "suite.tests: Tuple should have at least 1 item"),
        (with_test(kind="pytest"), "suite.tests.0: Input tag 'pytest'"),
        (with_test(call="f()"), r"suite.tests.0.call: 'f\(\)' must be the name of a function"),
        (with_test(expected=1, raises={"type": "ValueError"}), "suite.tests.0: has both expected and raises"),
        (with_test(setup="def ("), "suite.tests.0.setup: is not Python"),
        (with_test(weight=0), "no test counts anything"),
        (with_test(args=[float("nan")]), "suite.tests.0.args"),
        (SAID | {"suite": {"tests": [with_test()["suite"]["tests"][0]] * 2}}, "two tests have the id '1'"),
        (SAID | {"task": "x" * 20_000}, "task: String should have at most"),
    ],
)
def test_what_is_wrong_is_named(said: dict[str, Any], why: str) -> None:
    with pytest.raises(LabError, match=why):
        lab_of(said)


def test_files_of_a_directory_that_are_wrong_are_named(tmp_path: Path) -> None:
    write_lab(made(), tmp_path)

    def broken(name: str, text: str | bytes, why: str) -> None:
        path = tmp_path / name
        before = path.read_bytes()
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(LabError, match=why):
            read_lab(tmp_path)
        path.write_bytes(before)

    broken("lab.toml", "id = ", "lab.toml: Invalid value")
    broken("lab.toml", 'id = "a"\ntitle = "b"\ntask = "c"', "task is in lab.toml and in task.md: keep one")
    broken("lab.toml", "id = 2026-11-30", "lab.toml: dates are no values")
    broken("task.md", b"\xff", "task.md: is not UTF-8")
    broken("solution.py", "#" * (4 * LARGEST_FILE + 1), "solution.py: is larger")
    broken(
        "tests.toml",
        '[[tests]]\nid = "1"\nkind = "call"\ncall = "f"\nargsJson = "["',
        "argsJson of the test '1' is not",
    )
    broken("tests.toml", "tests = [3]", "suite.tests.0")
    with pytest.raises(LabError, match=r"there is no lab\.toml"):
        read_lab(tmp_path / "nowhere")


def test_links_out_of_a_directory_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    write_lab(made(files=[{"path": "a", "content": "x"}]), tmp_path / "lab")
    (tmp_path / "lab/files/b").symlink_to(secret)
    with pytest.raises(LabError, match="files/b: must be a plain file"):
        read_lab(tmp_path / "lab")
    (tmp_path / "lab/files/b").unlink()
    (tmp_path / "lab/task.md").unlink()
    (tmp_path / "lab/task.md").symlink_to(secret)
    with pytest.raises(LabError, match=r"task.md: must be a plain file"):
        read_lab(tmp_path / "lab")


def test_what_is_no_lab_as_json_is_refused() -> None:
    for text in ("[]", "{", "[" * 100_000):
        with pytest.raises(LabError):
            read_json(text)


def test_a_lab_asks_the_matcher_by_title_goals_and_solution() -> None:
    query = made().query
    assert (query.topic, query.solution) == ("Election. count with a dictionary", SAID["solution"])
    assert made().tags == ("dict.get",)
    assert "comprehensions.dict" in made(concepts=[]).tags


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


NAMED = st.dictionaries(st.text(min_size=1), JSON, max_size=2)


@pytest.mark.fuzz
@given(st.lists(JSON, max_size=3), NAMED, st.text(), st.text(min_size=1))
def test_any_values_survive_a_directory(
    tmp_path_factory: pytest.TempPathFactory, args: list[Any], kwargs: dict[str, Any], stdout: str, task: str
) -> None:
    test = {"id": "1", "kind": "call", "call": "f", "args": args, "kwargs": kwargs, "stdout": stdout, "expected": args}
    lab = made(suite={"tests": [test]}, task=task)
    directory = tmp_path_factory.mktemp("lab")
    write_lab(lab, directory)
    assert read_lab(directory) == lab


@pytest.mark.fuzz
@given(st.dictionaries(st.sampled_from([*SAID, "files", "status"]), JSON))
def test_any_object_is_a_lab_or_refused(said: dict[str, Any]) -> None:
    with contextlib.suppress(LabError):
        assert isinstance(lab_of(SAID | said), Lab)
