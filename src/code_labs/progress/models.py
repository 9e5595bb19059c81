"""What is kept, as values. Times are seconds since 1970; stretches of videos are seconds of the video."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from code_labs.errors import StateError
from code_labs.labs import Lab

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""What courses, videos and labs are called in addresses."""

PAUSE = 300.0
"""Seconds without a sign of a learner after which nobody is at work any more."""


class Who(NamedTuple):
    """A learner: a ``pseudonym`` that only we know, of an owner's."""

    owner: str
    pseudonym: str


@dataclass(frozen=True, slots=True)
class Course:
    """``stamp`` and ``created``: while both are the same, so is all that matching depends on."""

    id: int
    name: str
    title: str
    language: str
    created: float
    stamp: int


@dataclass(frozen=True, slots=True)
class Video:
    """``duration``: up to the last word. ``chapters``: start and title of each."""

    name: str
    title: str
    youtube: str | None
    url: str | None
    language: str
    duration: float
    chapters: tuple[tuple[float, str], ...] = ()
    id: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """What is said in a video: start, end and text of each cue. ``format``: what it was written in."""

    cues: tuple[tuple[float, float, str], ...] = ()
    format: str = "seconds"


@dataclass(frozen=True, slots=True)
class Placed:
    """A lab of a course. ``published``: the version that learners get, None while they get none."""

    id: int
    name: str
    status: str
    published: int | None
    newest: int


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a lab, which never changes. ``report``: what verifying said; None: nobody has."""

    placed: Placed
    number: int
    lab: Lab
    is_verified: bool = False
    report: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """Where in a video a lab belongs. ``by``: auto or teacher. ``words``: that matched."""

    video: str
    start: float
    end: float
    by: str
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    code: str
    revision: int
    saved: float


class DraftChangedError(StateError):
    """Another window was faster. ``draft``: what it saved; None: there is no draft any more."""

    def __init__(self, draft: Draft | None) -> None:
        super().__init__("the draft was changed in another window" if draft else "there is no such draft any more")
        self.draft = draft


@dataclass(frozen=True, slots=True)
class Work:
    """How a learner stands with a lab. ``seconds``: at work. ``hints``: taken.

    The four last ones: how it stood when the lab was passed for the first time; None while it was not.
    """

    seconds: float
    submits: int
    hints: int
    first_at: float | None = None
    first_submits: int | None = None
    first_seconds: float | None = None
    first_hints: int | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of a program that was handed in. ``counts``: whether it says anything of the learner.

    ``error``: why it was not passed, in a word; ``failed``: ids of tests, the first in the order of the suite first.
    ``files``: paths and contents beside the program. ``seconds``: that grading took.
    """

    code: str
    verdict: str
    passed: bool
    score: float | None
    error: str = ""
    failed: Sequence[str] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    seconds: float = 0.0
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that a page tells: ``type`` open, run, hint, segment_click, seek or leave; ``lab``: its name."""

    type: str
    at: float
    lab: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
