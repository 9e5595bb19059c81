"""Cases are made of the suites as their repositories have them, and run with an interpreter of this machine."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from compat.bare import Bare
from compat.case import Case, compare
from compat.suites.algorithms import algorithms
from compat.suites.cpython import cpython
from compat.suites.learners import exercism, humaneval, mbpp


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Bare]:
    with Bare("", sys.executable, 30, tmp_path / "kept") as opened:
        yield opened


def outcomes(bare: Bare, case: Case) -> dict[str, str]:
    """What each test of a module reports: with nothing of ours, all that the bare interpreter says differs."""
    run = bare.run(case)
    lines = [json.loads(line[3:]) for line in run.stdout.splitlines() if line.startswith("@@ ")]
    assert lines, run
    return {line["id"].rpartition(".")[2]: line["outcome"] for line in lines if "id" in line}


def test_an_exercise_is_its_example_under_the_solutions_name_with_its_tests(tmp_path: Path, bare: Bare) -> None:
    exercise = tmp_path / "exercises" / "practice" / "one"
    (exercise / ".meta").mkdir(parents=True)
    told = {"files": {"solution": ["one.py"], "test": ["one_test.py"], "example": [".meta/example.py"]}}
    (exercise / ".meta" / "config.json").write_text(json.dumps(told))
    (exercise / ".meta" / "example.py").write_text("def one(): return 1\n")
    (exercise / "one.py").write_text("def one(): pass\n")
    (exercise / "one_test.py").write_text(
        "import unittest\nfrom one import one\n"
        "class T(unittest.TestCase):\n    def test_one(self): self.assertEqual(one(), 1)\n"
    )
    (case,) = exercism(tmp_path)
    assert case.name == "practice/one"
    assert bare.run(case).exit == "0"


def test_humaneval_and_mbpp_run_the_solution_and_then_its_tests(tmp_path: Path, bare: Bare) -> None:
    task = {"task_id": "H/0", "prompt": "def f():\n", "canonical_solution": "    return 2\n", "entry_point": "f"}
    task["test"] = "def check(f):\n    assert f() == 2\n    print('checked')\n"
    (tmp_path / "h.jsonl.gz").write_bytes(gzip.compress(json.dumps(task).encode()))
    (case,) = humaneval(tmp_path / "h.jsonl.gz")
    assert bare.run(case).stdout == "checked\n"
    other = {"task_id": 7, "code": "def g(): return a", "test_setup_code": "a = 1", "test_list": ["assert g() == 2"]}
    (tmp_path / "m.jsonl").write_text(json.dumps(other) + "\n")
    (case,) = mbpp(tmp_path / "m.jsonl")
    assert bare.run(case).stderr.endswith("AssertionError\n")


def test_a_file_with_doctests_brings_the_modules_that_it_imports(tmp_path: Path, bare: Bare) -> None:
    root = tmp_path / "repository"
    (root / "sorts").mkdir(parents=True)
    (root / "sorts" / "one.py").write_text("from sorts.two import f\n'''\n>>> f()\n5\n'''\n")
    (root / "sorts" / "two.py").write_text("import sorts.three\ndef f(): return sorts.three.X\n")
    (root / "sorts" / "three.py").write_text("X = 5\n")
    (root / "sorts" / "four.py").write_text("def g():\n    '''\n    >>> g()\n    1\n    '''\n    return 2\n")
    both = {Path(case.name).stem: case for case in algorithms(root, 10, 0)}
    assert both.keys() == {"one", "four"}
    assert set(both["one"].files) >= {"sorts/two.py", "sorts/three.py"}
    assert {name: bare.run(case).exit for name, case in both.items()} == {"one": "0", "four": "1"}


def test_a_module_of_cpythons_tests_reports_each_test_and_finds_its_data(tmp_path: Path, bare: Bare) -> None:
    library = tmp_path / "test"
    for directory in ("support", "onedata"):
        (library / directory).mkdir(parents=True)
    (library / "__init__.py").touch()
    (library / "support" / "__init__.py").write_text("use_resources = None\n")
    (library / "onedata" / "words.txt").write_text("hello")
    (library / "helper.py").write_text("VALUE = 3\n")
    (library / "unused.py").write_text("")
    (library / "test_one.py").write_text(
        "import os, unittest\nfrom test import helper, support\n"
        "DATA = os.path.join(os.path.dirname(__file__), 'onedata')\n"
        "class T(unittest.TestCase):\n"
        "    def test_good(self):\n"
        "        print('noise', end='')\n"
        "        self.assertEqual((open(os.path.join(DATA, 'words.txt')).read(), helper.VALUE), ('hello', 3))\n"
        "    def test_bad(self): self.fail()\n"
        "    def test_broken(self): 1 / 0\n"
        "    def test_parts(self):\n"
        "        with self.subTest(1): self.fail()\n"
        "    def test_costly(self):\n"
        "        if support.use_resources is not None: self.skipTest('costs much')\n"
        "    @unittest.expectedFailure\n"
        "    def test_known(self): self.fail()\n"
    )
    (case,) = cpython(library)
    found = outcomes(bare, case)
    assert found == {
        "test_good": "ok",
        "test_bad": "fail",
        "test_broken": "error",
        "test_parts": "fail",
        "test_costly": "skip",
        "test_known": "expected failure",
    }
    assert compare(case, [bare.run(case)], [bare.run(case)]).units == 6


def test_a_program_of_the_bare_interpreter_finds_nothing_of_the_one_before(bare: Bare) -> None:
    leaves = Case("suite", "leaves", "import os; os.mkdir('d'); open('d/f', 'w'); os.chmod('d', 0)")
    looks = Case("suite", "looks", "import os; print(os.listdir())")
    bare.run(leaves)
    assert bare.run(looks).stdout == "['main.py']\n"


def test_a_program_that_does_not_end_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    with Bare("", sys.executable, 1, tmp_path / "kept") as bare:
        endless = Case("suite", "endless", "import os, time\nprint(1, flush=True)\nos.fork()\ntime.sleep(600)")
        assert bare.run(endless).exit == "wall_time"
        assert bare.run(Case("suite", "next", "print(2)")).stdout == "2\n"


def test_what_the_bare_interpreter_answered_is_kept(tmp_path: Path, bare: Bare) -> None:
    random = Case("suite", "random", "import random; print(random.random())")
    assert bare.run(random) == bare.run(random)
    assert bare.run(random) != bare.run(random, attempt=1)
