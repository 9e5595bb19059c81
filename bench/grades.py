"""What grades cost: `python -m bench.grades [--submissions 300]`.

One server on the native engine, warm, with one client. How long does a grade of twenty tests take, of each kind? How
long is a question to a program through the proxy of unit tests, and back? How long does a regrade of a class take, as
one batch of jobs?
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from typing import Any

import uvloop

from bench.client import Connection, post_bytes
from bench.jobs import ask, serving

_HOST = "127.0.0.1"
_TESTS = 20
_ROUNDS = 30
_QUESTIONS = 500

_PROGRAM = "def double(x):\n    return 2 * x\nif __name__ == '__main__':\n    print(double(int(input())))\n"
_CHECK = "def check(input, output, answer):\n    return int(output) == 2 * int(input)\n"
_TALK = "def interact(given):\n    print(7)\n    return int(input()) == 14\n"


def _unit(questions: int, framework: str = "unittest") -> dict[str, Any]:
    test = (
        "import unittest\nfrom solution import double\nclass Tests(unittest.TestCase):\n    def test_it(self):\n"
        f"        for each in range({questions}):\n            self.assertEqual(double(each), 2 * each)\n"
    )
    return {"kind": framework, "files": [{"path": "test_it.py", "content": test}]}


def _suites() -> dict[str, list[dict[str, Any]]]:
    numbers = range(_TESTS)
    checker = {"type": "program", "code": _CHECK}
    return {
        "io": [{"kind": "io", "stdin": f"{each}\n", "expected": f"{2 * each}\n"} for each in numbers],
        "call": [{"kind": "call", "call": "double", "args": [each], "expected": 2 * each} for each in numbers],
        "io, with a checker": [
            {"kind": "io", "stdin": f"{each}\n", "expected": "", "checker": checker} for each in numbers
        ],
        "interactive": [{"kind": "interactive", "interactor": _TALK}] * _TESTS,
        "unittest, one file": [_unit(1)],
        "pytest, one file": [_unit(1, "pytest")],
        f"unittest, {_QUESTIONS + 1} questions": [_unit(_QUESTIONS + 1)],
    }


async def _graded(connection: Connection, tests: list[dict[str, Any]]) -> float:
    """Return how many seconds a grade took, which must have been passed."""
    began = time.monotonic()
    answer = await connection.ask(
        post_bytes(_HOST, "/api/grade", {"code": _PROGRAM, "suite": {"tests": tests}, "files": []})
    )
    elapsed = time.monotonic() - began
    grade = json.loads(answer.body)
    if grade.get("verdict") != "passed":
        raise RuntimeError(answer.body.decode()[:2000])
    return elapsed


async def _regraded(connection: Connection, submissions: int) -> float:
    """Return how many seconds a batch of submissions takes, of ten tests each."""
    suite = {"tests": _suites()["io"][:10]}
    jobs = [
        {"kind": "grade", "request": {"code": _PROGRAM + f"# {each}\n", "suite": suite}} for each in range(submissions)
    ]
    began = time.monotonic()
    answer = await connection.ask(post_bytes(_HOST, "/api/batches", {"jobs": jobs}))
    if answer.status != 202:
        raise RuntimeError(answer.body.decode())
    name = json.loads(answer.body)["id"]
    while True:
        counts = (await ask(connection, f"/api/batches/{name}?limit=1"))["counts"]
        if not counts["queued"] and not counts["running"]:
            return time.monotonic() - began
        await asyncio.sleep(0.1)


async def measure(submissions: int) -> None:
    with tempfile.TemporaryDirectory() as data:
        async with serving(data) as port:
            connection = await Connection.open(_HOST, port)
            found = {}
            for name, tests in _suites().items():
                await _graded(connection, tests)
                times = [await _graded(connection, tests) for _ in range(_ROUNDS)]
                found[name] = statistics.median(times) * 1000
                print(f"{name}: {found[name]:.1f} ms (least {min(times) * 1000:.1f})")
            trip = (found[f"unittest, {_QUESTIONS + 1} questions"] - found["unittest, one file"]) / _QUESTIONS
            print(f"a question through the proxy and back: {trip:.3f} ms")
            seconds = await _regraded(connection, submissions)
            rate = 10 * submissions / seconds
            print(f"{submissions} submissions of ten tests: {seconds:.1f} s, {rate:.0f} tests a second")
            connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--submissions", type=int, default=300)
    uvloop.run(measure(parser.parse_args().submissions))


if __name__ == "__main__":
    main()
