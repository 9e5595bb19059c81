"""Captions of YouTube: what comes of each answer of the package that asks for them. Nothing is asked here."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from code_labs.errors import TranscriptError
from code_labs.transcripts import parse_transcript
from code_labs.transcripts.youtube import fetch_youtube


class CouldNotRetrieveTranscript(Exception):  # noqa: N818  # the package's own names
    pass


class RequestBlocked(CouldNotRetrieveTranscript):
    pass


class IpBlocked(RequestBlocked):
    pass


class TranscriptsDisabled(CouldNotRetrieveTranscript):
    pass


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("youtube_transcript_api")
    monkeypatch.setitem(sys.modules, "youtube_transcript_api", module)
    return module


def answering(package: ModuleType, answer: Any) -> list[Any]:
    asked: list[Any] = []

    class Api:
        def fetch(self, video: str, languages: list[str]) -> Any:
            asked.append((video, languages))
            if isinstance(answer, Exception):
                raise answer
            return answer

    package.YouTubeTranscriptApi = Api  # type: ignore[attr-defined]
    return asked


def test_captions_are_read_as_any_transcript_is(package: ModuleType) -> None:
    said = [SimpleNamespace(start=0.0, duration=2, text="hello\nthere"), SimpleNamespace(start=2.5, text="[Music]")]
    asked = answering(package, said)
    transcript = parse_transcript(fetch_youtube("dQw4w9WgXcQ"))
    assert [(cue.start, cue.text) for cue in transcript.cues] == [(0.0, "hello there")]
    assert asked == [("dQw4w9WgXcQ", ["en", "en-US", "en-GB"])]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (IpBlocked("secret"), "YouTube refuses requests from this server's address"),
        (TranscriptsDisabled("secret"), "The video has no captions. Copy the transcript"),
        (OSError("secret"), "The captions could not be fetched. Copy the transcript"),
    ],
)
def test_a_refusal_is_told_with_what_to_do_and_not_tried_again(
    package: ModuleType, error: Exception, said: str
) -> None:
    asked = answering(package, error)
    with pytest.raises(TranscriptError) as caught:
        fetch_youtube("dQw4w9WgXcQ", "de")
    assert str(caught.value).startswith(said)
    assert "secret" not in str(caught.value)
    assert asked == [("dQw4w9WgXcQ", ["de"])]


def test_without_the_extra_it_says_which_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "youtube_transcript_api", None)
    with pytest.raises(TranscriptError, match=r"pip install 'code-executor\[youtube\]'"):
        fetch_youtube("dQw4w9WgXcQ")
