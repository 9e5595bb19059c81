"""What a program may be called and given, what can be run instead of it, and how long output is shortened."""

from __future__ import annotations

import fnmatch
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_executor.app.variables import checked
from code_executor.core.models import Entry, Excerpt, Execution, File
from code_executor.core.world import NEVER, WorldError, is_reserved, require_environment, require_name
from code_executor.sandbox.hardening import ENVIRONMENT

OURS = sorted(ENVIRONMENT.keys() - {"LANG"})
"""What the sandbox sets, without the language of messages, which is a program's own affair."""


def refused(field: str, **options: Any) -> str:
    with pytest.raises(WorldError) as raised:
        Execution("1", **options)
    assert raised.value.field == field
    return str(raised.value)


# ---- names


@pytest.mark.parametrize("name", ["task.py", "Aufgabe 1.py", "x", "...", "中.py", "a-b_c.txt"])
def test_a_files_name_is_a_name(name: str) -> None:
    require_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/a", "./a", "a/", "a\0", "a\nb", "x" * 256, "\x1b[2J", "a\u2028"]
)
def test_what_is_none_is_refused(name: str) -> None:
    with pytest.raises(WorldError):
        require_name(name)


def test_no_file_of_a_request_has_the_programs_name() -> None:
    with pytest.raises(ValueError, match=r"task.py is the program itself"):
        Execution("1", name="task.py", files=(File("task.py", b""),))
    Execution("1", name="task.py", files=(File("main.py", b""),))


# ---- entries


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"path": "a", "module": "b"},
        {"module": "a-b"},
        {"module": "a..b"},
        {"module": "1a"},
        {"module": ".a"},
        {"module": "a/b"},
        {"module": "x" * 256},
        {"path": "../a"},
        {"path": "/a"},
        {"path": "a/"},
    ],
)
def test_what_cannot_be_run_is_refused(entry: dict[str, str]) -> None:
    with pytest.raises(WorldError):
        Entry(**entry)


def test_an_entry_is_a_file_of_the_request_however_it_is_spelled() -> None:
    files = (File("./app//main.py", b"old"), File("./app//main.py", b"new"))
    assert Execution("", entry=Entry("app/./main.py"), files=files).source == "new"
    assert "no file of the request" in refused("entry.path", entry=Entry("main.py"), files=files)


def test_without_code_there_is_no_program_beside_the_entry() -> None:
    Execution("", entry=Entry("main.py"), files=(File("main.py", b""),))
    with pytest.raises(ValueError, match="the program itself"):
        Execution("1", entry=Entry("main.py"), files=(File("main.py", b""),))


def test_a_session_has_nothing_of_a_programs() -> None:
    with pytest.raises(ValueError, match="not of a session"):
        Execution("", session=True, name="x.py")


# ---- the environment


@pytest.mark.parametrize("name", [*OURS, "LD_PRELOAD", "ld_preload", "PYTHONPATH", "PYTHONHASHSEED", "BASH_ENV"])
def test_what_the_sandbox_depends_on_cannot_be_set(name: str) -> None:
    assert "cannot be set" in refused(f"env.{name}", env={name: "x"})
    with pytest.raises(WorldError):
        require_environment({name: "x"}, ["*"])


@pytest.mark.parametrize(
    ("env", "field"),
    [
        ({"": "x"}, "env"),
        ({"1A": "x"}, "env"),
        ({"A=B": "x"}, "env"),
        ({"Ä": "x"}, "env"),
        ({"A" * 129: "x"}, "env"),
        ({"A": "x\0"}, "env.A"),
        ({"A": "x" * 4097}, "env.A"),
        ({"A": "\ud800"}, "env.A"),
        ({f"A{n}": "" for n in range(33)}, "env"),
    ],
)
def test_what_is_no_variable_is_refused(env: dict[str, str], field: str) -> None:
    refused(field, env=env)


def test_only_what_the_service_allows_can_be_set() -> None:
    require_environment({"COURSE_ID": "1", "SEED": ""}, ["COURSE_*", "SEED"])
    for name in ("COURSE", "seed", "SEEDS"):
        with pytest.raises(WorldError, match="does not allow"):
            require_environment({name: "1"}, ["COURSE_*", "SEED"])
    with pytest.raises(WorldError, match="does not allow"):
        require_environment({"A": "1"}, [])


def test_an_operator_cannot_list_what_never_can_be_set() -> None:
    assert checked(("COURSE_*", "A?")) == ("COURSE_*", "A?")
    for name in ("PATH", "LD_AUDIT", "PYTHONPATH", "PYTHON*", "a b", "A=1", "", "[A]"):
        with pytest.raises(ValueError, match=r"not the name|no request"):
            checked((name,))


@given(st.sampled_from(NEVER), st.text("ABC_", max_size=5))
def test_every_glob_of_the_list_holds(pattern: str, rest: str) -> None:
    name = pattern.replace("*", rest)
    assert fnmatch.fnmatchcase(name, pattern)
    assert is_reserved(name.lower())


# ---- excerpts


def test_a_short_text_is_whole() -> None:
    assert Excerpt(5, 5).of("0123456789") == ("0123456789", 0)


def test_the_middle_of_a_long_text_is_left_out_and_counted() -> None:
    text, left = Excerpt(3, 2).of("0123456789")
    assert (text, left) == ("012\n[… 5 bytes left out …]\n89", 5)
    assert Excerpt(0, 0).of("ab") == ("\n[… 2 bytes left out …]\n", 2)


@given(st.text(max_size=200), st.integers(0, 60), st.integers(0, 60))
def test_what_is_shown_and_what_is_left_out_are_all_there_is(text: str, head: int, tail: int) -> None:
    shown, left = Excerpt(head, tail).of(text)
    data = text.encode("utf-8", "replace")
    if not left:
        assert shown == text
        assert len(data) <= head + tail
        return
    first, _, last = shown.partition(f"\n[… {left} bytes left out …]\n")
    assert len(first.encode()) <= head
    assert len(last.encode()) <= tail
    assert data.startswith(first.encode())
    assert data.endswith(last.encode())
    assert len(first.encode()) + left + len(last.encode()) == len(data)
