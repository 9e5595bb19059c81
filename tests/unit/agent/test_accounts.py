"""The accounts that a program finds are made for it: its own name, and nobody's of the host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox_agent.supervisor import accounts


def entries(path: Path) -> list[list[str]]:
    return [line.split(":") for line in path.read_text().splitlines()]


def test_a_program_has_a_name_a_group_and_a_home(tmp_path: Path) -> None:
    accounts.write(str(tmp_path), 52_321, "/box")
    users = {int(fields[2]): (fields[0], fields[3], fields[5]) for fields in entries(tmp_path / "passwd")}
    assert users[52_321] == ("coderunner", "52321", "/box")
    assert (users[0][0], users[65534][0]) == ("root", "nobody")
    assert {fields[0]: fields[2] for fields in entries(tmp_path / "group")}["coderunner"] == "52321"
    assert all(len(fields) == 7 for fields in entries(tmp_path / "passwd"))


def test_without_a_uid_of_its_own_it_is_still_the_first_that_is_found(tmp_path: Path) -> None:
    accounts.write(str(tmp_path), None, "/box")
    first = next(fields for fields in entries(tmp_path / "passwd") if int(fields[2]) == os.getuid())
    assert first[0] == "coderunner"


def test_everybody_can_read_them_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        accounts.write(str(tmp_path), 1, "/")
    finally:
        os.umask(before)
    assert [oct((tmp_path / name).stat().st_mode & 0o777) for name in ("passwd", "group")] == ["0o644", "0o644"]


@pytest.mark.parametrize("directory", ["/nowhere", "/dev/null"])
def test_where_they_cannot_be_written_there_are_only_no_names(directory: str) -> None:
    accounts.write(directory, 1, "/")
