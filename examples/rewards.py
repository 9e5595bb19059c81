"""Score completions of programming tasks: the tests are stored once, and the completions are graded in batches.

    python examples/rewards.py [items.jsonl [completions.jsonl [scores.jsonl]]]

An item is a line of JSON with an `id`, perhaps a `timeout` in seconds, and its tests: `inputs`, `outputs` and perhaps
`fn_name` (as LiveCodeBench and APPS have them, also as the text `input_output`), or a list `test` (as SandboxFusion's
CommonOJ has it), or `prompt`, `test` and `entry_point` (HumanEval), or `test_list` (MBPP). A completion is a line with
an `id` of its item and a `completion`. A score is a line with the `index` of the completion, the `id`, a `score` from 0
to 1 and a `verdict`; null if the service failed again and again. At the end, pass@1 is printed.

BASE_URL: where the server is (default http://localhost:8000). API_KEY: a key with the scopes grade, suites and jobs.
docs/rewards.md says more.
"""

import asyncio
import hashlib
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from pathlib import Path
from textwrap import indent
from typing import Any, TextIO

import httpx

BATCH, AT_ONCE = 100, 2  # completions in a batch, and batches at once
ATTEMPTS = 4  # at what the service failed to grade
LONGEST = 200_000  # bytes of a program; a longer one scores 0
TIMEOUT = 6.0  # seconds of a test, if its item says nothing else

Item = dict[str, Any]

# What LiveCodeBench lets every program use.
MODULES = (
    "string, re, datetime, collections, heapq, bisect, copy, math, random, statistics, itertools, functools, operator, "
    "io, sys, json"
)
PRELUDE = "".join(f"from {name} import *\n" for name in f"{MODULES}, builtins, typing".split(", "))
PRELUDE += f"import {MODULES}\nsys.setrecursionlimit(50_000)\n\n"


def suite_of(item: Item) -> Item:
    """Return the suite of an item. Everything is hidden, so the answers are small; what is passed is worth 1."""
    if "entry_point" in item or "test_list" in item:
        tests, comparer = [asserting(item)], "lines"
    elif "test" in item:
        pairs = [(each["input"]["stdin"], each["output"]["stdout"]) for each in item["test"]]
        tests = [printing(*pair) for pair in pairs]
        comparer = "sandboxfusion"
    else:
        said = tests_of(item)
        make = calling(said["fn_name"]) if said.get("fn_name") else printing
        tests = [make(*pair) for pair in zip(said["inputs"], said["outputs"], strict=True)]
        comparer = "livecodebench"
    return {
        "tests": tests,
        "checker": {"type": comparer},
        "timeout": item.get("timeout", TIMEOUT),
        "stopOnFailure": True,
        "visibility": "hidden",
        "scoring": {"max": 1.0},
    }


def asserting(item: Item) -> Item:
    """Return the test of a program by asserts, which run in another sandbox than the program."""
    if "entry_point" in item:
        head, asserts = item["test"], [f"check(solution.{item['entry_point']})"]
    else:
        head, asserts = item.get("test_setup_code", ""), item["test_list"]
    tests = [f"    def test_{number}(self):\n{indent(each, ' ' * 8)}\n" for number, each in enumerate(asserts)]
    code = f"import unittest\nimport solution\nfrom solution import *\n{head}\n\nclass Tests(unittest.TestCase):\n"
    return {"kind": "unittest", "files": [{"path": "test_item.py", "content": code + "".join(tests)}]}


def before(item: Item) -> str:
    """Return what comes before a completion: the beginning that it completes, or what LiveCodeBench imports."""
    return item.get("prompt", "") if "entry_point" in item else PRELUDE if "inputs" in tests_of(item) else ""


def tests_of(item: Item) -> Item:
    """Return what has the inputs and the outputs: the item itself, or what it has as a text or an object."""
    said: Item | str = item.get("input_output", item)
    tests: Item = json.loads(said) if isinstance(said, str) else said
    return tests


def printing(given: str | list[str], expected: str | list[str]) -> Item:
    """Return the test of a program that reads and prints. It may exit, but not with an error."""
    stdin, stdout = (text if isinstance(text, str) else "\n".join(text) for text in (given, expected))
    return {"kind": "io", "stdin": stdin, "expected": stdout, "exitCode": 0}


def calling(name: str) -> Callable[[Any, Any], Item]:
    """Return what makes a test of a function's arguments and value: each a line of JSON, or the values themselves."""
    method = f"if 'Solution' in globals(): {name} = Solution().{name}"

    def test(given: str | list[Any], expected: Any) -> Item:
        args = [json.loads(line) for line in given.split("\n")] if isinstance(given, str) else given
        value = json.loads(expected) if isinstance(expected, str) else expected
        return {"kind": "call", "call": name, "setup": method, "args": args, "expected": value, "looseSequences": True}

    return test


def program_of(completion: str) -> str:
    """Return the program in a completion: its last block of code, or all of it."""
    blocks = re.findall(r"```(?:python|py)?[ \t]*\n(.*?)```", completion, re.DOTALL | re.IGNORECASE)
    code = blocks[-1] if blocks else completion
    return code.encode("utf-8", "replace").decode()


class WrongError(Exception):
    """The files do not fit, or the server refuses what it is asked."""


class Service:
    """A server, asked as often as it takes: while it is busy, this waits."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def store(self, item: Item) -> str:
        """Store the suite of an item; return the reference of this version of it."""
        name = "reward-" + hashlib.sha256(str(item["id"]).encode()).hexdigest()[:20]
        body = json.dumps(suite_of(item))
        while True:
            answer = await self._client.put(f"/api/suites/{name}", content=body)
            if not await busy(answer):
                return f"{name}@{good(answer)['version']}"

    async def grade(self, requests: list[Item]) -> AsyncIterator[tuple[int, Item]]:
        """Yield the number of each request and its grade, as they come; of what cannot be graded, nothing."""
        left = dict(enumerate(requests))
        for attempt in range(ATTEMPTS):
            numbers = list(left)
            body = json.dumps({"jobs": [{"kind": "grade", "request": each} for each in left.values()]})
            try:
                async for job in self._batch(body):
                    if job["result"] is not None and job["result"]["score"] is not None:
                        del left[numbers[job["index"]]]
                        yield numbers[job["index"]], job["result"]
            except httpx.TransportError as error:
                print(f"the connection was lost: {error!r}", file=sys.stderr)
            if not left:
                return
            await asyncio.sleep(2.0**attempt)

    async def _batch(self, body: str) -> AsyncIterator[Item]:
        while True:
            async with self._client.stream(
                "POST", "/api/batches", content=body, headers={"Accept": "application/x-ndjson"}
            ) as answer:
                if await busy(answer):
                    continue
                if answer.is_error:
                    await answer.aread()
                    good(answer)
                async for line in answer.aiter_lines():
                    yield json.loads(line)
                return


async def busy(answer: httpx.Response) -> bool:
    """Wait if the server says that it is busy; return whether it did."""
    if answer.status_code not in (429, 503):
        return False
    seconds = float(answer.headers.get("Retry-After", 1))
    print(f"the server is busy ({answer.status_code}); again in {seconds:g} s", file=sys.stderr)
    await asyncio.sleep(seconds)
    return True


def good(answer: httpx.Response) -> Item:
    if answer.is_error:
        raise WrongError(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}")
    said: Item = answer.json()
    return said


class Tally:
    """Writes scores, and counts them for each item."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._passed: dict[str, list[bool]] = defaultdict(list)
        self._failures = 0

    def note(self, index: int, completion: Item, score: float | None, verdict: str) -> None:
        line = {"index": index, "id": completion["id"], "score": score, "verdict": verdict}
        self._out.write(json.dumps(line) + "\n")
        if score is None:
            self._failures += 1
        else:
            self._passed[completion["id"]].append(verdict == "passed")

    def progress(self) -> None:
        self._out.flush()
        done = sum(map(len, self._passed.values()))
        print(f"{done} scored, {sum(map(sum, self._passed.values()))} passed", file=sys.stderr)

    def summary(self) -> str:
        """Return pass@1: the mean of the items, of each the part of its completions that passed."""
        parts = [sum(passed) / len(passed) for passed in self._passed.values()]
        mean = sum(parts) / len(parts) if parts else 0.0
        failures = f"; {self._failures} completions could not be graded" if self._failures else ""
        return f"pass@1 {mean:.3f} of {len(parts)} items{failures}"


async def score(
    service: Service, items: dict[str, tuple[str, str]], completions: Iterator[tuple[int, Item]], tally: Tally
) -> None:
    """Score batch after batch. The next is read when this one is done: no more is in memory than is being graded."""
    while batch := list(islice(completions, BATCH)):
        asked: list[tuple[int, Item]] = []
        requests: list[Item] = []
        for index, completion in batch:
            if completion["id"] not in items:
                raise WrongError(f"completion {index}: there is no item {completion['id']!r}")
            suite, prelude = items[completion["id"]]
            code = prelude + program_of(completion["completion"])
            if len(code.encode()) > LONGEST:
                tally.note(index, completion, 0.0, "failed")
                continue
            asked.append((index, completion))
            requests.append({"code": code, "suiteId": suite})
        if requests:
            graded = set()
            async for number, grade in service.grade(requests):
                graded.add(number)
                tally.note(*asked[number], grade["score"], grade["verdict"])
            for number in set(range(len(asked))) - graded:
                tally.note(*asked[number], None, "error")
        tally.progress()


def lines(path: Path) -> Iterator[Item]:
    with path.open(encoding="utf-8") as file:
        yield from (json.loads(line) for line in file if line.strip())


async def main(items: Path, completions: Path, scores: Path) -> None:
    headers = {"Content-Type": "application/json"}
    if "API_KEY" in os.environ:
        headers["Authorization"] = f"Bearer {os.environ['API_KEY']}"
    base = os.environ.get("BASE_URL", "http://localhost:8000")
    timeout = httpx.Timeout(60, read=None)  # a batch that waits for its turn says nothing
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=timeout) as client:
        service = Service(client)
        known = {}
        for item in lines(items):
            known[item["id"]] = (await service.store(item), before(item))
        print(f"{len(known)} suites are stored", file=sys.stderr)
        numbered = enumerate(lines(completions))
        with scores.open("w", encoding="utf-8") as out:
            tally = Tally(out)
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(score(service, known, numbered, tally))
        print(tally.summary())


if __name__ == "__main__":
    here = Path(__file__).parent / "rewards"
    given = [Path(each) for each in sys.argv[1:]]
    usual = [here / "items.jsonl", here / "completions.jsonl", Path("scores.jsonl")]
    try:
        asyncio.run(main(*given, *usual[len(given) :]))
    except* WrongError as errors:
        sys.exit(str(errors.exceptions[0]))
