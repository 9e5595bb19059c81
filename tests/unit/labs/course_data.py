"""The course written for these tests: twelve lectures of ten minutes, and labs with the places they belong to."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from code_labs.matching import Course, Label, Lecture, Query
from code_labs.transcripts import parse_transcript

DATA = Path(__file__).parent / "data/course"


@cache
def course() -> Course:
    files = sorted(path for path in DATA.iterdir() if path.name != "labs.toml")
    return Course(Lecture(path.stem, parse_transcript(path.read_bytes())) for path in files)


@cache
def labs(half: str) -> list[dict[str, Any]]:
    """The labs of one half, in the order of the course; last those that belong nowhere."""
    every = tomllib.loads((DATA / "labs.toml").read_text())["lab"]
    return sorted(
        (lab for lab in every if lab["half"] == half), key=lambda lab: (lab.get("video", "~"), lab.get("start", 0))
    )


def query(lab: dict[str, Any], *, solution: bool = True) -> Query:
    topic = f"{lab['title']}. {lab.get('goal', '')}"
    return Query(lab["id"], lab["task"], topic, lab["solution"] if solution else "")


def label(lab: dict[str, Any]) -> Label:
    return Label(lab["id"], lab["video"], lab["start"], lab["end"])
