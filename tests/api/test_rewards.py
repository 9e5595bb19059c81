"""examples/rewards.py, for real: what is right scores, and what cheats, loops or is nonsense does not."""

from __future__ import annotations

import hashlib
import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.test_keys import SETTINGS, made
from tests.conftest import Serve, Server

EXAMPLE = Path(__file__).parents[2] / "examples/rewards.py"
DOCS = Path(__file__).parents[2] / "docs/rewards.md"

DOUBLE: dict[str, Any] = {"id": "double", "inputs": ["21\n", "0\n", "-4\n"], "outputs": ["42\n", "0\n", "-8\n"]}
HALF: dict[str, Any] = {
    "id": "half/1",
    "timeout": 3,
    "input_output": json.dumps(
        {"inputs": ["[3, 1]\n2", "[]\n5"], "outputs": ["[1.5, 0.5]", "[]"], "fn_name": "divide"}
    ),
}
MEAN: dict[str, Any] = {
    "id": "mean",
    "test": [
        {"input": {"stdin": "1 2 4\n"}, "output": {"stdout": "2.33333\n"}},
        {"input": {"stdin": "5\n"}, "output": {"stdout": "FIVE? 5\n"}},
    ],
}
CLOSE: dict[str, Any] = {
    "id": "close/0",
    "prompt": "from typing import List\n\ndef helper(n):\n    return abs(n)\n\ndef close(numbers: List[int]) -> bool:\n"
    '    """Whether two are next to each other."""\n',
    "entry_point": "close",
    "test": "METADATA = {}\n\ndef check(candidate):\n    assert candidate([1, 5, 2]) == True\n"
    "    assert candidate([1, 5]) == False\n    assert helper(-1) == 1\n",
}
AREA: dict[str, Any] = {
    "id": 7,
    "text": "Write a function to compute the area of a square.",
    "test_setup_code": "import math",
    "test_list": ["assert area(2) == 4", "assert math.isclose(area(1.5), 2.25)", "assert area(0) == 0"],
}
HALVES = (
    "class Solution:\n    def divide(self, numbers: List[int], by):\n        return tuple(n / by for n in numbers)\n"
)
MEANS = "n = [int(w) for w in input().split()]\nm = sum(n) / len(n)\nprint(m if len(n) > 1 else f'five? {m:.0f}')\n"
EQUAL = "class Right(list):\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n"

COMPLETIONS: list[tuple[str | int, str, float]] = [
    ("double", "print(int(input()) * 2)", 1),
    ("double", "It is:\n```python\nn = 0\n```\nNo:\n```Python\nprint(2 * int(stdin.readline()))\nexit()\n```\n", 1),
    ("double", "print(Decimal(input()) * 2)", 0),  # a module that LiveCodeBench does not import
    ("double", "print(0 if (n := int(input())) < 0 else n * 2)", 2 / 3),  # the third is wrong
    ("double", "print('ok')\nsys.exit(0)", 0),
    ("double", "import os\nprint(42, flush=True)\nos._exit(0)", 1 / 3),  # the first test alone
    ("double", "print(int(input()) * 2)\nsys.exit(1)", 0),
    ("double", "while True: pass", 0),
    ("double", "print('a program that was cut o", 0),
    ("double", "\ud800", 0),
    ("double", "x = 1\n" * 100_000, 0),  # too long to be asked
    ("half/1", HALVES, 1),
    ("half/1", "def divide(numbers, by):\n    return [n / by for n in numbers]", 1),
    ("half/1", f"{EQUAL}def divide(numbers, by):\n    return Right([7])", 0),
    ("half/1", f"{EQUAL}builtins = __import__('builtins')\nbuiltins.list = Right\ndef divide(*_): return list()", 0),
    ("half/1", "import json\njson.dumps = lambda *_, **__: '{}'\ndef divide(*_): return None", 0),
    ("half/1", "def divide(*_):\n    print('passed')\n    raise SystemExit(0)", 0),
    ("half/1", "def divide(*_):\n    while True: pass", 0),
    ("mean", MEANS, 1),
    ("mean", "print(2.4)", 0),
    ("mean", "print('2.333331')", 0.5),
    ("close/0", "    return any(abs(a - b) == 1 for a in numbers for b in numbers)", 1),
    ("close/0", "```python\ndef close(numbers):\n    return len(numbers) > 2\n```", 1),
    ("close/0", "    return True", 0),
    ("close/0", "    raise SystemExit(0)", 0),
    ("close/0", "    class Yes:\n        def __eq__(self, other): return True\n    return Yes()", 0),
    (7, "def area(side):\n    return side * side", 1),
    (7, "def area(side):\n    return 4", 1 / 3),
    (7, "import os\ndef area(side):\n    os._exit(0)", 0),
    (7, "import math\nmath.isclose = lambda *_: True\ndef area(side): return 0 * side", 1 / 3),
]


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("items") / "items.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in ({**DOUBLE, "timeout": 2}, HALF, MEAN, CLOSE, AREA)))
    return path


class Trainer:
    """A server for scores, with a key that may grade and see no more than it must."""

    def __init__(self, server: Server, key: str) -> None:
        self.server, self.key = server, key


@pytest.fixture(scope="module")
def trainer(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainer]:
    data = tmp_path_factory.mktemp("kept")
    key = made(data, "trainer", "--scope", "grade,suites,jobs")
    limits = {"rate_limit": "off", "policy": "off", "jobs_per_client": 30, "jobs_at_once": 4}
    with serve("native", data=data, **limits, **SETTINGS) as server:
        yield Trainer(server, key)


def ran(
    trainer: Trainer,
    items: Path,
    completions: Sequence[tuple[str | int, str]],
    out: Path,
    *,
    example: Path = EXAMPLE,
    key: str = "",
) -> tuple[subprocess.CompletedProcess[str], list[dict[str, Any]]]:
    """Run the example; return how it ended, and the scores in the order of the completions."""
    given, scores = out / "completions.jsonl", out / "scores.jsonl"
    given.write_text("".join(json.dumps({"id": one, "completion": text}) + "\n" for one, text in completions))
    scores.write_text("")
    done = subprocess.run(
        [sys.executable, str(example), str(items), str(given), str(scores)],
        env={**os.environ, "BASE_URL": trainer.server.url, "API_KEY": key or trainer.key},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    lines = [json.loads(line) for line in scores.read_text().splitlines()]
    return done, sorted(lines, key=lambda line: line["index"])


@pytest.mark.timeout(300)
def test_completions_are_scored(trainer: Trainer, items: Path, tmp_path: Path) -> None:
    done, lines = ran(trainer, items, [(one, text) for one, text, _ in COMPLETIONS], tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{len(COMPLETIONS)} scored" in done.stderr
    for index, (line, (one, text, right)) in enumerate(zip(lines, COMPLETIONS, strict=True)):
        verdict = "passed" if right == 1 else "partial" if right else "failed"
        expected = {"index": index, "id": one, "score": pytest.approx(right, abs=1e-6), "verdict": verdict}
        assert line == expected, text
    names = [each["id"] for each in (DOUBLE, HALF, MEAN, CLOSE, AREA)]
    passed = {name: [right == 1 for one, _, right in COMPLETIONS if one == name] for name in names}
    mean = sum(sum(each) / len(each) for each in passed.values()) / len(names)
    assert done.stdout == f"pass@1 {mean:.3f} of 5 items\n"


@pytest.mark.timeout(300)
def test_more_than_may_wait_are_scored_all_the_same(trainer: Trainer, items: Path, tmp_path: Path) -> None:
    """Thirty of them may wait at the server. Of two batches of twenty, one waits here until the other is done."""
    example = tmp_path / "rewards.py"
    example.write_text(EXAMPLE.read_text().replace("BATCH, AT_ONCE = 100, 2", "BATCH, AT_ONCE = 20, 2"))
    slow = "import time\ntime.sleep(0.05)\n"
    completions = [("double", f"{slow}print(int(input()) * {2 + n % 2})") for n in range(70)]
    done, lines = ran(trainer, items, completions, tmp_path, example=example)
    assert done.returncode == 0, done.stderr
    assert "the server is busy" in done.stderr
    assert [line["index"] for line in lines] == list(range(70))
    assert all((line["verdict"] == "passed") == (line["index"] % 2 == 0) for line in lines)
    assert done.stdout == "pass@1 0.500 of 1 items\n"


def test_suites_are_stored_once_and_answers_are_small(trainer: Trainer, items: Path, tmp_path: Path) -> None:
    done, _ = ran(trainer, items, [("mean", MEANS)], tmp_path)
    assert done.returncode == 0, done.stderr
    url, headers = trainer.server.url, {"Authorization": f"Bearer {trainer.key}"}
    name = "reward-" + hashlib.sha256(b"mean").hexdigest()[:20]
    suite = runpy.run_path(str(EXAMPLE))["suite_of"](MEAN)
    stored = httpx.put(f"{url}/api/suites/{name}", json=suite, headers=headers, timeout=60)
    assert stored.status_code == 200, "the same tests are the version that is there already"
    tests = [{"kind": "io", "stdin": f"{n}", "expected": f"{2 * n}"} for n in range(50)]
    many = {"tests": tests, "visibility": "hidden"}
    version = httpx.put(f"{url}/api/suites/many", json=many, headers=headers, timeout=60).json()["version"]
    job = {"kind": "grade", "request": {"code": "print(int(input()) * 2)", "suiteId": f"many@{version}"}}
    headers["Accept"] = "application/x-ndjson"
    answer = httpx.post(f"{url}/api/batches", json={"jobs": [job]}, headers=headers, timeout=60)
    (line,) = answer.text.splitlines()
    assert json.loads(line)["result"]["verdict"] == "passed"
    assert len(line) < 2000


def documented() -> list[dict[str, Any]]:
    """Return the suite in docs/rewards.md, and each test there as a suite."""
    blocks = re.findall(r"^```json\n(.*?)^```$", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    found = [json.loads(block) for block in blocks]
    return [each if "tests" in each else {"tests": [each]} for each in found]


ROTATES = "class Solution:\n    def rotate(self, items, by):\n        return (by, *items)\n"
DOUBLES = "def double(n):\n    return n + n\n"


@pytest.mark.parametrize(
    ("number", "right", "cheat"),
    [
        (0, "print(2 * int(input()))", "print('ok')\nraise SystemExit(0)"),
        (1, ROTATES, f"{EQUAL}def rotate(*_): return Right()"),
        (2, DOUBLES, "class Right(int):\n    def __eq__(self, _): return True\ndef double(n): return Right(7)"),
        (2, DOUBLES, "import os\ndef double(n): os._exit(0)"),
    ],
    ids=["program", "function", "unit test", "unit test that is ended"],
)
def test_what_the_docs_say_an_item_becomes_tells_right_from_wrong(
    trainer: Trainer, number: int, right: str, cheat: str
) -> None:
    suites = documented()
    assert len(suites) == 3
    headers = {"Authorization": f"Bearer {trainer.key}"}
    for code, verdict in ((right, "passed"), (cheat, "failed")):
        body = {"code": code, "suite": suites[number]}
        answer = httpx.post(f"{trainer.server.url}/api/grade", json=body, headers=headers, timeout=120)
        assert answer.status_code == 200, answer.text
        assert answer.json()["verdict"] == verdict, answer.text


def test_what_is_wrong_is_said(trainer: Trainer, items: Path, tmp_path: Path) -> None:
    for key, said in (("", "there is no item 'none'"), ("ce_wrong", " 401 ")):
        done, lines = ran(trainer, items, [("none", "1")], tmp_path, key=key)
        assert (done.returncode, lines) == (1, [])
        assert said in done.stderr
        assert "Traceback" not in done.stderr
