"""``code-executor run`` with a module, files, variables, a name and limits of its own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.api.test_cli import COMMAND, environment


def run(here: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a directory."""
    command = [*COMMAND, "run", "--engine", "native", "--policy", "off", *arguments]
    return subprocess.run(
        command, cwd=here, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=90, check=False
    )


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/__main__.py").write_text("import sys\nfrom app.words import word\nprint(word, sys.argv[1:])\n")
    (tmp_path / "app/words.py").write_text("word = 'hello'\n")
    (tmp_path / "in.txt").write_text("given")
    (tmp_path / "program.py").write_text(
        "import os\nprint(__file__, open('in.txt').read(), os.environ['COURSE'])\nx = bytearray(80 << 20)\n"
    )
    return tmp_path


def test_a_module_of_this_directory_is_run(here: Path) -> None:
    done = run(here, "-m", "app", "a", "b")
    assert (done.returncode, done.stdout) == (0, b"hello ['a', 'b']\n"), done.stderr


def test_a_program_is_given_what_the_options_say(here: Path) -> None:
    options = ["--with", "in.txt", "--env", "COURSE=7", "--name", "task.py", "--memory", "64m", "--json"]
    done = run(here, *options, "program.py")
    answer = json.loads(done.stdout)
    assert (answer["output"], answer["reason"]) == ("/work/task.py given 7\n", "memory_limit"), done.stderr
    assert answer["limits"]["memory"] == 64 << 20


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-m", "nothing"], "there is no nothing.py here"),
        (["--memory", "2g", "program.py"], "--memory may be at most 536870912 bytes here"),
        (["--memory", "1m", "program.py"], "--memory must be at least"),
        (["--env", "PATH=/", "program.py"], "cannot be set"),
        (["--env", "COURSE", "program.py"], "must be NAME=VALUE"),
        (["--name", "a/b", "program.py"], "without a directory"),
        (["--with", "../x", "program.py"], "../x"),
        (["--with", "missing", "program.py"], "missing: No such file"),
    ],
)
def test_what_cannot_be_is_said(here: Path, arguments: list[str], says: str) -> None:
    done = run(here, *arguments)
    assert done.returncode == 70
    assert says in done.stderr.decode()


def test_a_size_is_a_size(here: Path) -> None:
    done = run(here, "--memory", "much", "program.py")
    assert (done.returncode, b"not a size" in done.stderr) == (2, True)
