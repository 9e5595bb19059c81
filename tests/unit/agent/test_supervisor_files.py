"""The agent in a bare interpreter: of what a run leaves, what is new or changed comes back, and the rest is counted."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace

import pytest

from sandbox_agent.child import given
from sandbox_agent.contract.policy import STRICT
from sandbox_agent.contract.protocol import COLLECT, Cause, EventType, RecordReader
from sandbox_agent.supervisor import collector
from tests.unit.agent.supervised import CONFIG, Run, Supervise, Supervisor

MANY = {f"in{n:02}": b"x" for n in range(64)}


def left(supervisor: Supervisor, code: str, files: Mapping[str, bytes] | None = None) -> tuple[list[str], int]:
    """Run it; return the paths of the files that came back, and the number of those that did not."""
    run = supervisor.run(code, files=files, flags=COLLECT)
    assert run.outcome.cause is Cause.COMPLETED, (run.outcome, run.stderr, run.report)
    paths, total = files_of(run)
    return sorted(paths), total - len(paths)


def files_of(run: Run) -> tuple[dict[str, bytes], int]:
    reader = RecordReader(1 << 24)
    records = dict(record for event in run.others if event.type is EventType.FILE for record in reader.feed(event.body))
    total = int(records.pop("", b"0"))
    return records, total


UNCHANGED = [
    "",
    "open('in00').read()",
    "open('in00', 'w').write('x')",
    "import os\nos.utime('in00', (1, 1))",
    "import os\nos.chmod('in00', 0)",
    "import os\nos.rename('in00', 'other')\nos.rename('other', 'in00')",
    "import os, shutil\nshutil.copy('in00', 'other')\nos.replace('other', 'in00')",
    "import os\nos.remove('in00')",
    "import os\nos.makedirs('empty/inner')",
]


@pytest.mark.parametrize("code", UNCHANGED)
def test_files_that_are_as_they_were_given_neither_come_back_nor_count(supervisor: Supervisor, code: str) -> None:
    assert left(supervisor, code, MANY) == ([], 0)


CHANGED = {
    "made": ("open('out', 'w')", ["out"]),
    "changed behind many": ("open('in63', 'a').write('y')", ["in63"]),
    "changed to as many bytes": ("open('in63', 'w').write('y')", ["in63"]),
    "changed to as many bytes, and as old": (
        "import os\nt = os.stat('in63').st_mtime\nopen('in63', 'w').write('y')\nos.utime('in63', (t, t))",
        ["in63"],
    ),
    "emptied": ("open('in63', 'w').close()", ["in63"]),
    "renamed": ("import os\nos.rename('in00', 'new')", ["new"]),
    "moved onto another": ("import os\nopen('in00', 'w').write('y')\nos.replace('in00', 'in01')", ["in01"]),
    "linked": ("import os\nos.link('in00', 'new')", ["new"]),
    "linked in place of another": ("import os\nos.remove('in01')\nopen('a','w')\nos.link('a', 'in01')", ["a", "in01"]),
    "made a directory": ("import os\nos.remove('in00')\nos.mkdir('in00')\nopen('in00/in00', 'w')", ["in00/in00"]),
    "unreadable": ("import os\nopen('out', 'w').write('x')\nos.chmod('out', 0)", ["out"]),
    "in a sealed directory": (
        "import os\nos.makedirs('d/e')\nopen('d/e/f', 'w')\nos.chmod('d/e', 0)\nos.chmod('d', 0)",
        ["d/e/f"],
    ),
    "in a sealed box": ("import os\nopen('out', 'w')\nos.chmod('.', 0)", ["out"]),
    "in many bytes": ("open('ä' * 127, 'w')", ["ä" * 127]),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_is_new_or_changed_comes_back_whatever_else_is_there(supervisor: Supervisor, name: str) -> None:
    code, paths = CHANGED[name]
    assert left(supervisor, code, MANY) == (paths, 0)


COUNTED = {
    "a name that is no UTF-8": ("open(b'\\xc3.txt', 'w')", 1),
    "a directory whose name is none": (
        "import os\nos.mkdir(b'\\xff')\nfor n in range(3): open(b'\\xff/%d' % n, 'w')",
        3,
    ),
    "a pipe, a socket and links": (
        "import os, socket\nos.mkfifo('p')\nos.symlink('/etc/passwd', 'l')\nos.symlink('nowhere', 'm')",
        3,
    ),
    "more than is sent": ("for n in range(40): open(f'{n:02}', 'w')", 8),
    "thousands": ("import os\nos.mkdir('d')\nfor n in range(900): open(f'd/{n}', 'w')", 868),
    "deeper than a path may be long": (
        "import os\nfor n in range(100):\n    os.mkdir('d' * 100)\n    os.chdir('d' * 100)\nopen('f', 'w')",
        1,
    ),
    "larger than all may be": ("open('f', 'wb').write(bytes(9 << 20))", 1),
}


@pytest.mark.parametrize("name", COUNTED)
def test_what_does_not_come_back_is_counted(supervise: Supervise, name: str) -> None:
    code, number = COUNTED[name]
    with supervise(replace(CONFIG, layers_off=("landlock", "seccomp"))) as supervisor:
        supervisor.ready()
        assert left(supervisor, code, {"in": b"x"})[1] == number


def test_files_made_by_imports_are_nobodys(supervisor: Supervisor) -> None:
    assert left(supervisor, "import helper", {"helper.py": b"x = 1"}) == ([], 0)


FORGED = """
import os, struct
for fd in range(3, 64):
    try:
        os.set_blocking(fd, False)
        os.write(fd, bytes(36) * 1000)
    except OSError:
        pass
open('out', 'w').write('x')
open('in', 'w').write('y')
"""


def test_a_program_cannot_pass_a_file_off_as_given(supervisor: Supervisor) -> None:
    """The pipe of the notes is closed before it begins; what it writes elsewhere is no note."""
    assert left(supervisor, FORGED, {"in": b"x"}) == (["in", "out"], 0)


def test_files_that_cannot_be_written_are_the_runs_failure(supervisor: Supervisor) -> None:
    run = supervisor.run("print(1)", files={"a": b"", "a/b": b""}, flags=COLLECT)
    assert json.loads(run.report)["reason"] == "disk_limit"
    assert "'a/b'" in run.problems[0]["message"]
    assert run.stdout == b""


# ---- the policy


def test_a_helper_is_held_to_the_policy_and_named(supervisor: Supervisor) -> None:
    files = {"pkg/helper.py": b"x = 1\nimport os\n", "data.txt": b"import os", "broken.py": b"import os ("}
    run = supervisor.run("import pkg.helper", files=files, policy="")
    (problem,) = run.problems
    assert (problem["file"], problem["line"], problem["column"]) == ("pkg/helper.py", 2, 8)
    assert "`import os`" in problem["message"]


def test_the_problems_of_program_and_files_come_together(supervisor: Supervisor) -> None:
    run = supervisor.run("import os", files={"b.py": b"open('x')", "a.py": b"eval('x')"}, policy="", check=True)
    assert [problem["file"] for problem in run.problems] == ["", "b.py", "a.py"]


def test_files_are_not_checked_where_the_program_is_not(supervisor: Supervisor) -> None:
    run = supervisor.run("import helper", files={"helper.py": b"import os\nprint('ran')"})
    assert run.stdout == b"ran\n"


def test_a_file_in_an_encoding_of_its_own_is_checked_in_it() -> None:
    source = "# coding: latin-1\nx = 'ü'; open(x)".encode("latin-1")
    (problem,) = given.problems([given.GivenFile("a.py", source)], STRICT)
    assert (problem.file, problem.line) == ("a.py", 2)


@pytest.mark.parametrize(
    "source", [b"\0", b"\xff", b"# coding: nothing\nimport os", b"(" * 1000, b"x = '" + b"a" * 100]
)
def test_a_file_that_cannot_be_imported_is_not_refused(source: bytes) -> None:
    assert given.problems([given.GivenFile("a.py", source)], STRICT) == []


# ---- notes


def test_a_note_is_read_as_it_was_written_and_the_last_of_a_path_holds(
    tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    read, write = os.pipe()
    given.put([given.GivenFile("d/a", b"1"), given.GivenFile("d/a", b"22")], write)
    os.write(write, b"half of one")
    os.close(write)
    assert given.notes_in(read) == {given.name_of(b"d/a"): given.Note(2, given.digest_of(b"22"))}
    os.close(read)


def test_more_notes_than_there_is_room_for_make_no_file_fail(
    tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    read, write = os.pipe()
    os.set_blocking(write, False)
    given.put([given.GivenFile(str(n), b"") for n in range(2500)], write)
    os.close(write)
    assert len(os.listdir()) == 2500
    assert 1000 < len(given.notes_in(read)) < 2500
    os.close(read)


def test_looking_ends_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(collector, "COUNTED_WITHIN", -1.0)
    for n in range(10):
        os.makedirs(f"{n}/{n}")
    assert list(collector._changed({})) == []
