"""Labs that are good, and the many ways in which they become bad: each with the finding that it must give."""

from __future__ import annotations

from typing import Any

from code_labs.labs import Lab, lab_of

Said = dict[str, Any]


def call(number: object, *args: Any, **more: Any) -> Said:
    return {"id": str(number), "kind": "call", "call": "cut", "args": list(args), **more}


def io(number: object, stdin: str, expected: str, **more: Any) -> Said:
    return {"id": str(number), "kind": "io", "stdin": stdin, "expected": expected, **more}


CUT: Said = {
    "id": "cut",
    "title": "Cut a text",
    "task": "Write `cut(text, most)`: it returns the first `most` letters, and `...` if some are left out.\n\n"
    "`cut('banana', 3)` returns `'ban...'`.\n\n```\n>>> cut('fig', 3)\n'fig'\n```",
    "starter": "def cut(text, most):\n    ...\n",
    "solution": "def cut(text, most):\n    if len(text) > most:\n        return text[:most] + '...'\n    return text\n",
    "suite": {
        "tests": [
            call(1, "banana", 3, expected="ban..."),
            call(2, "fig", 3, expected="fig"),
            call(3, "fig", 2, expected="fi...", visibility="hidden"),
            call(4, "", 0, expected=""),
        ]
    },
    "hints": ["How long is the text?"],
}
"""A good lab of a function."""

CHANGE: Said = {
    "id": "change",
    "title": "Change",
    "task": "Read a price and what was paid, one number a line. Print the change, or `too little`.\n\n"
    "Input:\n\n```\n3\n5\n```\n\nOutput:\n\n```\n2\n```\n",
    "starter": "price = int(input())\n",
    "solution": "price = int(input())\npaid = int(input())\n"
    "if paid < price:\n    print('too little')\nelse:\n    print(paid - price)\n",
    "suite": {
        "tests": [
            io(1, "3\n5\n", "2\n"),
            io(2, "5\n3\n", "too little\n"),
            io(3, "4\n4\n", "0\n"),
            io(4, "1\n100\n", "99\n", visibility="result"),
        ]
    },
}
"""A good lab of a program that reads and prints."""

STACK: Said = {
    "id": "stack",
    "title": "Stack",
    "task": "Write a class `Stack` with `push(value)`, and `pop()`, which raises `IndexError` with the text `empty`.",
    "solution": "class Stack:\n    def __init__(self):\n        self.items = []\n\n"
    "    def push(self, value):\n        self.items.append(value)\n        return len(self.items)\n\n"
    "    def pop(self):\n        if not self.items:\n            raise IndexError('empty')\n"
    "        return self.items.pop()\n",
    "suite": {
        "tests": [
            {
                "id": "1",
                "kind": "call",
                "call": "s.pop",
                "setup": "s = Stack()\ns.push(3)\ns.push(4)",
                "expected": 4,
            },
            {
                "id": "2",
                "kind": "call",
                "call": "s.pop",
                "setup": "s = Stack()",
                "raises": {"type": "IndexError", "message": "empty"},
            },
            {"id": "3", "kind": "call", "call": "s.push", "args": [1], "setup": "s = Stack()", "expected": 1},
            {
                "id": "4",
                "kind": "call",
                "call": "s.pop",
                "setup": "s = Stack()\ns.push(1)\ns.push(2)\ns.pop()",
                "expected": 1,
            },
        ]
    },
}
"""A good lab of a class."""

GOOD = (CUT, CHANGE, STACK)


def made(said: Said, **more: Any) -> Lab:
    return lab_of({**said, **more})


def suite(*tests: Said) -> Said:
    return {"tests": list(tests)}


def _without(said: Said, *names: str) -> Said:
    return {name: value for name, value in said.items() if name not in names}


def _cut(body: str) -> str:
    return f"def cut(text, most):\n{body}"


def _timed(seconds: float, timeout: float) -> Said:
    """A right solution that is slow."""
    tests = [test | {"timeout": timeout} for test in CUT["suite"]["tests"]]
    return {
        "solution": f"import time\n\n\ndef cut(text, most):\n    time.sleep({seconds})\n"
        "    if len(text) > most:\n        return text[:most] + '...'\n    return text\n",
        "suite": suite(*tests),
    }


def _tests(*more: Said) -> Said:
    return {"suite": suite(*CUT["suite"]["tests"], *more)}


CHANCE = {
    "random": "import random\n\n\ndef cut(text, most):\n    return random.random()\n",
    "clock": "import time\n\n\ndef cut(text, most):\n    return time.perf_counter_ns()\n",
    "date": "from datetime import datetime\n\n\ndef cut(text, most):\n    return str(datetime.now())\n",
    "id": "import uuid\n\n\ndef cut(text, most):\n    return str(uuid.uuid4())\n",
}

BAD: dict[str, tuple[str, Said]] = {
    # nothing to prove it by
    "no solution": ("no-solution", {**CUT, "solution": ""}),
    "only a comment": ("solution-fails", {**CUT, "solution": "# to do\n"}),
    "no tests": ("no-tests", _without(CUT, "suite")),
    "a test with a bad regular expression": (
        "bad-suite",
        {**CHANGE, "suite": suite(io(1, "1\n1\n", "(", checker={"type": "regex"}))},
    ),
    "a value that cannot be": ("bad-suite", CUT | _tests(call(5, {"$tuple": 1}, 2, expected=1))),
    # the solution is wrong, or the tests are
    "wrong expected value": ("solution-fails", CUT | _tests(call(5, "plum", 1, expected="pl..."))),
    "wrong expected type": ("solution-fails", CUT | _tests(call(5, "plum", 1, expected=["p..."]))),
    "wrong hidden test": ("solution-fails", CUT | _tests(call(5, "plum", 1, expected="p", visibility="hidden"))),
    "wrong output": ("solution-fails", {**CHANGE, "suite": suite(io(1, "3\n5\n", "3\n"), io(2, "5\n3\n", "x"))}),
    "wrong exception": (
        "solution-fails",
        CUT | _tests(call(5, None, 1, raises={"type": "ValueError"})),
    ),
    "no exception": ("solution-fails", CUT | _tests(call(5, "plum", -1, raises={"type": "ValueError"}))),
    "an argument is changed": (
        "solution-fails",
        CUT
        | {
            "task": "Write `cut(items, most)`: it returns the first items.",
            "solution": "def cut(items, most):\n    del items[most:]\n    return items\n",
            "suite": suite(call(1, [1, 2, 3], 2, expected=[1, 2], arguments=[[1, 2, 3], 2])),
        },
    ),
    "a function that is not there": (
        "solution-fails",
        {**CUT, "suite": suite(call(1, "fig", 1, expected="f...") | {"call": "cute"})},
    ),
    "a file that is not there": (
        "solution-fails",
        {**CUT, "policy": "off", "solution": _cut("    return open('data.txt').read()[:most]\n")},
    ),
    "input that runs out": ("solution-fails", {**CHANGE, "suite": suite(io(1, "3\n", "2\n"))}),
    "a solution that never ends": (
        "solution-fails",
        {
            **CUT,
            "solution": _cut("    while True: pass\n"),
            "suite": suite(call(1, "", 1, expected="", timeout=0.3)),
        },
    ),
    # the same program, other results
    **{f"chance: {name}": ("unstable", {**CUT, "solution": source}) for name, source in CHANCE.items()},
    "printed chance": (
        "unstable",
        {
            **CHANGE,
            "solution": "import random\ninput()\nprint(random.random())\n",
            "suite": suite(io(1, "1\n1\n", "0", checker={"type": "float", "abs": 2})),
        },
    ),
    # the starter and stubs
    "the starter works": (
        "starter-passes",
        {**CUT, "starter": _cut("    return text if len(text) <= most else text[:most] + '...'\n")},
    ),
    "the starter works otherwise": (
        "starter-passes",
        {**CHANGE, "starter": "a, b = int(input()), int(input())\nprint(b - a if b >= a else 'too little')\n"},
    ),
    "all tests expect nothing": (
        "stub-passes",
        {**CUT, "solution": _cut("    text.strip()\n"), "suite": suite(call(1, "a", 1), call(2, "b", 2))},
    ),
    "all tests expect the same value": (
        "stub-passes",
        {**CUT, "suite": suite(call(1, "fig", 1, expected="f..."), call(2, "fork", 1, expected="f..."))},
    ),
    "all tests expect the same output": (
        "stub-passes",
        {**CHANGE, "suite": suite(io(1, "3\n5\n", "2\n"), io(2, "4\n6\n", "2\n"))},
    ),
    "the starter does not compile": ("starter-refused", {**CUT, "starter": "return 1\n"}),
    "the starter is refused": ("starter-refused", {**CUT, "starter": "import os\n\n\ndef cut(text, most):\n    ...\n"}),
    # tests that pass wrong programs
    "one easy test": (
        "weak-tests",
        {**CUT, "suite": suite(call(1, "", 3, expected=""), call(2, "x", 9, expected="x"))},
    ),
    "no test of the boundary": (
        "weak-tests",
        {
            **CHANGE,
            "solution": "a = int(input())\nif a < 0:\n    print('cold')\nelif a > 30:\n    print('hot')\n"
            "else:\n    print('mild')\n",
            "starter": "",
            "task": "Read a temperature. Print cold, mild or hot.",
            "suite": suite(io(1, "-9\n", "cold\n"), io(2, "20\n", "mild\n"), io(3, "99\n", "hot\n")),
        },
    ),
    "a test that catches nothing": (
        "useless-test",
        {
            **CHANGE,
            "suite": suite(*CHANGE["suite"]["tests"], io(5, "7\n9\n", "(?s).*", checker={"type": "regex"})),
        },
    ),
    # limits and policy
    "the solution is refused": ("refused", {**CUT, "solution": "import os\n" + CUT["solution"]}),
    "the solution opens a file": ("refused", {**CUT, "solution": _cut("    return open(text).read()\n")}),
    "near the time limit": ("near-time", CUT | _timed(0.2, 0.5)),
    "over the time limit": ("solution-fails", CUT | _timed(1.0, 0.3)),
    "near the memory limit": (
        "near-memory",
        {**CUT, "solution": "kept = bytearray(b'x') * (300 << 20)\n\n\n" + CUT["solution"]},
    ),
    "slow": (
        "slow",
        {
            **CUT,
            "solution": "import time\n\n\n"
            + CUT["solution"].replace("    if", "    time.sleep(1.1 * (text == '-'))\n    if"),
            "suite": suite(*CUT["suite"]["tests"], call(5, "-", 40, expected="-")),
        },
    ),
    # what learners read
    "a wrong doctest": ("example-wrong", {**CUT, "task": "Write cut.\n\n>>> cut('fig', 1)\n'fi...'\n"}),
    "a wrong value in a sentence": ("example-wrong", {**CUT, "task": "Write cut. `cut('fig', 1)` gives `'f'`."}),
    "a wrong value in a comment": (
        "example-wrong",
        {**CUT, "task": "Write cut.\n```python\ncut('a', 0)  # 'a'\n```\n"},
    ),
    "a wrong output": (
        "example-wrong",
        {**CHANGE, "task": "Print the change.\n\nInput\n```\n3\n5\n```\nOutput\n```\n8\n```\n"},
    ),
    "a wrong exception in a doctest": (
        "example-wrong",
        {**CUT, "task": "Write cut.\n>>> cut(None, 1)\nTraceback (most recent call last):\nValueError\n"},
    ),
    "a function that nobody names": ("unstated-name", {**CUT, "task": "Shorten a text.", "starter": ""}),
    "the solution in a comment": (
        "solution-given",
        {**CUT, "starter": CUT["starter"] + "".join(f"# {line}\n" for line in CUT["solution"].splitlines())},
    ),
    "the solution under another name": (
        "solution-given",
        {**CUT, "starter": CUT["solution"].replace("cut(", "old("), "task": "Write cut."},
    ),
    "the solution in a text": ("solution-given", {**CUT, "starter": f'"""\n{CUT["solution"]}"""\n'}),
    "the solution in the task": ("solution-given", {**CUT, "task": f"Write this:\n\n```\n{CUT['solution']}```\n"}),
    "the solution in a hint": (
        "solution-given",
        {**CUT, "hints": ['First `if len(text) > most:`, then `return text[:most] + "..."`, and then `return text`.']},
    ),
    "the solution in a file": (
        "solution-given",
        {**CUT, "files": [{"path": "a.py", "content": CUT["solution"] + "\n"}]},
    ),
    # tests that add nothing
    "the same test twice": ("duplicate-test", CUT | _tests(call(5, "fig", 3, expected="fig"))),
    "two tests": ("few-tests", {**CUT, "suite": suite(*CUT["suite"]["tests"][:2])}),
    "hidden tests alone": (
        "no-visible-test",
        {**CUT, "suite": suite(*(test | {"visibility": "hidden"} for test in CUT["suite"]["tests"]))},
    ),
}
"""What is wrong: the code of the finding that there must be, and the lab."""
