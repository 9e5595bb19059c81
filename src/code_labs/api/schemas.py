"""What requests may hold, and what courses, videos and labs are called in addresses."""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from code_executor.api.schemas import Files
from code_labs.labs.model import KINDS
from code_labs.progress.models import NAME

_MODEL = ConfigDict(extra="forbid", strict=True)
_LONGEST_DATA = 2000
_LONGEST_VIDEO = 12 * 3600

_PATTERN = rf"^{NAME.pattern}$"
Course = Annotated[str, Path(description="What the course is called.", pattern=_PATTERN)]
Lab = Annotated[str, Path(description="The id of the lab.", pattern=_PATTERN)]
Video = Annotated[str, Path(description="What the course calls the video.", pattern=_PATTERN)]
Learner = Annotated[str, Path(description="What a learner is known by here.", pattern=r"^[0-9a-f]{1,64}$")]

_Name = Annotated[str, Field(pattern=_PATTERN)]


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("has a character that cannot be printed")
    return value


_Title = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]
_Address = Annotated[str, Field(max_length=2000, pattern=r"^https?://[^\s\"'<>]+$"), AfterValidator(_printable)]
_Language = Annotated[str, Field(pattern=r"^([a-z]{2,3})?$", description="As `en`; empty: nobody says.")]
_Second = Annotated[float, Field(ge=0, le=_LONGEST_VIDEO, strict=False, allow_inf_nan=False)]


class SubmitIn(BaseModel):
    """A program to be graded."""

    model_config = _MODEL

    code: str
    files: Files | None = None
    version: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        None, description="The version of the lab that it is for; if left out, the one that learners get now."
    )


class DraftIn(BaseModel):
    """What a learner has written so far."""

    model_config = _MODEL

    code: str


def _small(data: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(data, allow_nan=False)) > _LONGEST_DATA:
        raise ValueError(f"is larger than {_LONGEST_DATA} bytes of JSON")
    return data


def _instant(value: str | float) -> float:
    """Return the seconds since 1970 of a time: text as ISO 8601 has it, or a number of seconds or milliseconds."""
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value).timestamp()
        except (ValueError, OverflowError, OSError):
            raise ValueError("not a time, as 2026-11-30T12:00:00Z") from None
    if not math.isfinite(value):
        raise ValueError("not a time")
    return value / 1000 if abs(value) > 1e11 else float(value)


class EventIn(BaseModel):
    """Something that happened in a page. ``data`` of a click on a segment: its `video` and `start`."""

    model_config = _MODEL

    type: Literal["open", "run", "hint", "segment_click", "seek", "leave"]
    at: Annotated[str | float, AfterValidator(_instant)]
    lab: _Name | None = None
    data: Annotated[dict[str, Any], AfterValidator(_small)] = {}


class EventsIn(BaseModel):
    """What happened, in one request."""

    model_config = _MODEL

    events: Annotated[list[EventIn], Field(max_length=100)]


class CourseIn(BaseModel):
    """What a course is called."""

    model_config = _MODEL

    title: _Title
    language: _Language = ""


class VideoIn(BaseModel):
    """A video, and what is said in it. Without `transcript`, what is said stays as it is."""

    model_config = _MODEL

    title: _Title
    youtube: Annotated[str, Field(max_length=200, description="Its id, or its address.")] | None = None
    url: (
        Annotated[str, Field(max_length=2000, pattern=r"^https?://[^\s\"'<>]+$"), AfterValidator(_printable)] | None
    ) = None
    language: _Language | None = None
    transcript: str | None = None
    name: Annotated[str, Field(max_length=200)] | None = Field(None, description="Of the file, for people.")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.youtube and self.url:
            raise ValueError("has both youtube and url: give one")
        return self


class FetchIn(BaseModel):
    """A video on YouTube whose captions are wanted."""

    model_config = _MODEL

    youtube: Annotated[str, Field(min_length=1, max_length=200, description="Its id, or its address.")]
    language: _Language = ""


class MatchIn(BaseModel):
    """What to look for: a lab of the course, a text with or without a solution, or all labs in their order."""

    model_config = _MODEL

    lab: _Name | None = None
    text: Annotated[str, Field(max_length=20_000)] | None = None
    solution: Annotated[str, Field(max_length=100_000)] = ""
    all: bool = False

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.lab is not None) + (self.text is not None) + self.all != 1:
            raise ValueError("give one of lab, text and all")
        return self


class PinIn(BaseModel):
    """Where in the video the lab belongs, in seconds."""

    model_config = _MODEL

    start: _Second
    end: _Second | None = None

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.end is not None and self.end <= self.start:
            raise ValueError("ends before it starts")
        return self


class LabIn(BaseModel):
    """A lab in its JSON form."""

    model_config = _MODEL

    lab: dict[str, Any]


class GenerateIn(BaseModel):
    """What to make labs of: `code` with name and source, `bank` with concepts, or `model` with seconds of a video."""

    model_config = _MODEL

    origin: Annotated[Literal["code", "bank", "model"], Field(alias="from")]
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    source: str | None = None
    kinds: list[Literal[KINDS]] | None = None  # type: ignore[valid-type]
    concepts: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=50)] | None = None
    video: _Name | None = None
    start: _Second | None = None
    end: _Second | None = None
    kind: Literal[KINDS] | None = None  # type: ignore[valid-type]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        needed = {"code": ("name", "source"), "bank": ("concepts",), "model": ("video", "start", "end")}[self.origin]
        lacking = [name for name in needed if getattr(self, name) is None]
        if lacking:
            raise ValueError(f"{lacking[0]} is missing, which is needed with from: {self.origin}")
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise ValueError("ends before it starts")
        return self
