"""A course with a video and two labs, for the pages of labs."""

from __future__ import annotations

import time
from typing import Any

import httpx

TRANSCRIPT = """Hello
0:00
hello and welcome to this course
0:30
numbers are everywhere
Twice
1:00
to double a number you multiply it by two
1:15
so twice three is six
Bye
1:30
see you next week
1:45
and have a good time
"""

TASK = """Write a function `double(x)` that returns twice its argument.

## Examples

| call | returns |
| --- | --- |
| `double(2)` | `4` |

See [the docs](https://docs.python.org/3/).

<script>window.hacked = 1</script><img src="https://elsewhere.example/x.png" onerror="window.hacked = 1">
<a href="javascript:window.hacked=1">a trap</a>
"""


def suite_of(factor: int, call: str) -> list[dict[str, Any]]:
    return [
        {"id": str(n), "kind": "call", "call": call, "args": [x], "expected": factor * x}
        | ({"visibility": "hidden"} if n == 4 else {})
        for n, x in enumerate((1, 2, -3, 10), 1)
    ]


LABS: dict[str, dict[str, Any]] = {
    "double": {
        "id": "double",
        "title": "Double a number",
        "summary": "Two times something.",
        "goals": ["multiply numbers"],
        "task": TASK,
        "starter": "def double(x):\n    return x\n",
        "solution": "def double(x):\n    return 2 * x\n",
        "hints": ["Which sign multiplies?", "It is `*`."],
        "suite": {"tests": suite_of(2, "double")},
    },
    "triple": {
        "id": "triple",
        "title": "Triple a number",
        "task": "Write a function `triple(x)` that returns three times its argument.",
        "starter": "def triple(x):\n    return x\n",
        "solution": "def triple(x):\n    return 3 * x\n",
        "hints": ["As before."],
        "suite": {"tests": suite_of(3, "triple")},
    },
}
SOLUTION = LABS["double"]["solution"]

HALVE = '''def halve(x: float) -> float:
    """Return half of x.

    >>> halve(4)
    2.0
    >>> halve(7)
    3.5
    """
    return x / 2
'''


def prepare(url: str) -> None:
    """Make a course as a teacher's program may."""
    with httpx.Client(base_url=f"{url}/api/labs/v1/teach/courses", timeout=60) as http:

        def put(path: str, body: dict[str, Any]) -> None:
            answer = http.put(path, json=body)
            assert answer.is_success, answer.text

        put("/py", {"title": "Python for beginners", "language": "en"})
        put("/py/videos/week-1", {"title": "Numbers", "youtube": "dQw4w9WgXcQ", "transcript": TRANSCRIPT})
        for name, lab in LABS.items():
            put(f"/py/labs/{name}", {"lab": lab})
            put(f"/py/labs/{name}/pins/week-1", {"start": 60 if name == "double" else 90, "end": 120})
            for step in ("verify", "publish"):
                answer = http.post(f"/py/labs/{name}/{step}")
                assert answer.is_success, answer.text
    with httpx.Client(base_url=f"{url}/api/labs/v1/courses/py", timeout=60, headers={"X-Learner": "bob"}) as http:
        for _ in range(4):  # of whom the dashboard tells
            answer = http.post("/labs/double/submit", json={"code": "def double(x):\n    return y\n"})
            assert answer.json()["passed"] is False, answer.text
        click = {"type": "segment_click", "at": time.time(), "lab": "double", "data": {"video": "week-1", "start": 60}}
        assert http.post("/events", json={"events": [click]}).is_success
