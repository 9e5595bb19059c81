"""Captions of a video on YouTube, asked of YouTube itself: a road that often ends. It needs the extra ``youtube``.

YouTube refuses addresses of clouds, and addresses that ask much. So nothing is asked twice, a refusal is told as it is,
and what always works is said with it: to copy or upload the transcript.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from code_labs.errors import TranscriptError

_INSTEAD = "Copy the transcript from the page of the video, or upload a file with captions."
_BLOCKED = f"YouTube refuses requests from this server's address, as it does for most clouds. {_INSTEAD}"
_WHY = {
    "RequestBlocked": _BLOCKED,
    "IpBlocked": _BLOCKED,
    "PoTokenRequired": f"YouTube gives the captions of this video only to browsers. {_INSTEAD}",
    "TranscriptsDisabled": f"The video has no captions. {_INSTEAD}",
    "NoTranscriptFound": f"The video has no captions in that language. {_INSTEAD}",
    "AgeRestricted": f"YouTube shows the video only to grown-ups who are signed in. {_INSTEAD}",
    "VideoUnavailable": "There is no such video, or it is private.",
    "VideoUnplayable": "The video cannot be played, so its captions cannot be read.",
    "InvalidVideoId": "That is not the id of a video.",
    "YouTubeRequestFailed": f"YouTube did not answer as it should. {_INSTEAD}",
}
_LANGUAGE = "en"


def fetch_youtube(video: str, language: str = "") -> str:
    """Return the captions of a video as lines like ``[4.84] text``; raise ``TranscriptError`` that says what to do.

    ``video``: its id. ``language``: the one that is wanted. It takes seconds, and waits for the network.
    """
    try:
        package = importlib.import_module("youtube_transcript_api")
    except ImportError:
        raise TranscriptError(
            f"this server cannot fetch captions: pip install 'code-executor[youtube]'. {_INSTEAD}"
        ) from None
    try:
        found = package.YouTubeTranscriptApi().fetch(video, languages=_wanted(language))
        lines = [f"[{each.start:.2f}] {' '.join(str(each.text).split())}" for each in found]
    except Exception as error:  # noqa: BLE001  # of the package, of its HTTP client, of what YouTube sends
        raise TranscriptError(_why(error)) from None
    return "\n".join(lines)


def _wanted(language: str) -> Sequence[str]:
    return [language] if language and language != _LANGUAGE else [_LANGUAGE, "en-US", "en-GB"]


def _why(error: Any) -> str:
    names = [each.__name__ for each in type(error).__mro__]
    return next((_WHY[name] for name in names if name in _WHY), f"The captions could not be fetched. {_INSTEAD}")
