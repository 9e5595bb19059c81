"""Paths of files are understood as a file system understands them, and refused with a sentence."""

from __future__ import annotations

import itertools

import pytest

from code_executor.core.paths import PathError, clash, normal

NORMAL = {
    "a": "a",
    "./a": "a",
    "././a": "a",
    "a//b": "a/b",
    "a/./b": "a/b",
    ".//a/././/b": "a/b",
    "...": "...",
    ".a": ".a",
    "a b\n": "a b\n",
    "a\\b": "a\\b",
    "中" * 85: "中" * 85,
    "x" * 255: "x" * 255,
}


@pytest.mark.parametrize("path", NORMAL)
def test_a_path_is_the_same_however_it_is_spelled(path: str) -> None:
    assert normal(path) == NORMAL[path]


WRONG = {
    "": "end with the file's name",
    ".": "end with the file's name",
    "a/": "end with the file's name",
    "a/.": "end with the file's name",
    "/a": "must not begin",
    "//a": "must not begin",
    "..": "must not contain",
    "a/../b": "must not contain",
    "a\0": "null character",
    "x" * 256: "256 bytes",
    "d/" + "中" * 86: "258 bytes",
    "a/" * 513 + "a": "may have 1024",
}


@pytest.mark.parametrize("path", WRONG)
def test_a_wrong_path_is_refused_with_a_sentence(path: str) -> None:
    with pytest.raises(PathError, match=WRONG[path]):
        normal(path)


CLASHES = [("a", "a/b"), ("a", "a/b/c"), ("a/b", "a/b/c/d"), ("a", "./a"), ("d/a", "d//a"), ("./a/b", "a")]


@pytest.mark.parametrize(
    "paths", [order for pair in CLASHES for order in itertools.permutations((*pair, "other", "d/x"))]
)
def test_paths_that_are_in_each_others_way_clash_in_any_order(paths: tuple[str, ...]) -> None:
    found = clash(paths, program=False)
    assert found is not None
    assert repr(paths[found.position]) in found.message


@pytest.mark.parametrize(
    "paths", [(), ("a", "b"), ("a/b", "a/c", "ab", "a.b"), ("a", "a"), ("d/main.py",), ("main.pyx",)]
)
def test_other_paths_do_not(paths: tuple[str, ...]) -> None:
    assert clash(paths, program=True) is None


@pytest.mark.parametrize("path", ["main.py", "./main.py", ".//main.py", "main.py/x"])
def test_the_program_is_in_the_way_of_a_file_of_its_name_but_in_a_session(path: str) -> None:
    found = clash(["a", path], program=True)
    assert found is not None
    assert (found.position, "`code`" in found.message) == (1, True)
    assert clash(["a", path], program=False) is None
