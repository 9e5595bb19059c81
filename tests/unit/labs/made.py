"""Labs that tests make."""

from __future__ import annotations

from typing import Any

from code_labs.labs import Lab, lab_of

SAID: dict[str, Any] = {
    "id": "tally",
    "title": "Election",
    "goals": ["count with a dictionary"],
    "concepts": ["dict.get"],
    "difficulty": 2,
    "task": "Count the **votes**.\n\nEach ballot is a name.",
    "starter": "def tally(ballots):\n    pass\n",
    "solution": "def tally(ballots):\n    return {b: ballots.count(b) for b in ballots}\n",
    "suite": {
        "tests": [
            {"id": "1", "kind": "call", "call": "tally", "args": [["a", "b", "a"]], "expected": {"a": 2, "b": 1}},
            {"id": "2", "kind": "call", "call": "tally", "args": [[]], "expected": {}, "visibility": "hidden"},
            {"id": "3", "kind": "io", "stdin": "x\n", "expected": "1\n", "weight": 2.0},
        ]
    },
    "hints": ["Look at `get`."],
    "video": {"video": "06-dictionaries", "start": 241.5, "end": 300.0},
}


def made(**more: Any) -> Lab:
    return lab_of({**SAID, **more})
