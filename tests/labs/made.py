"""Labs for tests: what nobody but a teacher may see of them has ``planted`` in it."""

from __future__ import annotations

from typing import Any

from code_labs.labs import Lab, lab_of

SOLUTION = (
    'def clamp(value, most):\n    """planted-solution"""\n    if value > most:\n        return most\n    return value\n'
)
RIGHT = "def clamp(value, most):\n    return min(value, most)\n"
WRONG = "def clamp(value, most):\n    return value\n"

TRANSCRIPT = """
0:00 welcome to the course, today we bake bread in the oven and wait for the dough
0:40 a while loop repeats as long as the oven is cold
1:30 to clamp a value means to hold it to a bound: if the value is greater than the most it may be
1:45 then the function returns the most, otherwise it returns the value, so compare the two values with an if
2:40 append puts an apple at the end of the basket, and pop takes the last apple away
3:20 a dictionary maps each guest to the number of slices
"""


def said(name: str = "clamp", **more: Any) -> dict[str, Any]:
    """Return the JSON form of a lab that holds."""
    return {
        "id": name,
        "title": "Clamp a value",
        "summary": "Hold a value to a bound.",
        "goals": ["compare values"],
        "task": "Write `clamp(value, most)`: `value`, but never more than `most`. `clamp(9, 5)` returns `5`.",
        "starter": "def clamp(value, most):\n    ...\n",
        "solution": SOLUTION,
        "hints": ["Compare the two.", "planted-hint: there is a function for it."],
        "suite": {
            "tests": [
                {"id": "1", "kind": "call", "call": "clamp", "args": [9, 5], "expected": 5, "name": "too large"},
                {"id": "2", "kind": "call", "call": "clamp", "args": [3, 5], "expected": 3, "visibility": "input"},
                {"id": "3", "kind": "call", "call": "clamp", "args": [5, 5], "expected": 5, "visibility": "result"},
                {
                    "id": "planted-id",
                    "kind": "call",
                    "name": "planted-test",
                    "call": "clamp",
                    "args": [7341, 7340],
                    "expected": 7340,
                    "visibility": "hidden",
                },
                {"id": "4", "kind": "call", "call": "clamp", "args": [-2, -1], "expected": -2},
                {"id": "5", "kind": "call", "call": "clamp", "args": [0, -1], "expected": -1},
            ]
        },
        **more,
    }


def lab(name: str = "clamp", **more: Any) -> Lab:
    return lab_of(said(name, **more))
