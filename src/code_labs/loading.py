"""The command that puts a course on a server: code-labs load. It does what an administrator's browser does.

A course is a directory:

    course.toml    course, title, language, bank (ids), [[videos]] with video, title, file, and perhaps youtube or url
    labs/          labs of your own, each a directory; they come after those of the bank, by name
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from code_labs.bank import bank
from code_labs.errors import LabsError
from code_labs.labs import Lab, lab_object, read_lab
from code_labs.labs.model import complaint
from code_labs.transcripts import clock
from code_labs.transcripts.parse import LARGEST

EXIT_WRONG = 1
KEY = "CODE_LABS_KEY"
"""The variable with a key of the server's."""

_TIMEOUT = 120.0
_MOST_WAITS = 6
_LONGEST_WAIT = 65.0
_LARGEST_ANSWER = 32 << 20
_NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"


class _Video(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    video: Annotated[str, Field(pattern=_NAME)]
    title: str
    file: str
    youtube: str | None = None
    url: str | None = None
    language: str | None = None


class CourseFile(BaseModel):
    """What `course.toml` says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    course: Annotated[str, Field(pattern=_NAME)]
    title: str
    language: str = ""
    bank: tuple[str, ...] = ()
    videos: tuple[_Video, ...] = ()


@dataclass(frozen=True)
class Material:
    """A course, read: ``texts`` are the transcripts of its videos, ``labs`` are in order."""

    file: CourseFile
    texts: tuple[str, ...]
    labs: tuple[Lab, ...]


def read_course(directory: str | Path) -> Material:
    """Read a directory; raise ``LabsError`` that names the file."""
    root = Path(directory)
    path = root / "course.toml"
    try:
        file = CourseFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise LabsError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        raise LabsError(f"{path}: {complaint(error)}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LabsError(f"{path}: {error}") from None
    known = {lab.id: lab for lab in bank()}
    if missing := next((name for name in file.bank if name not in known), None):
        raise LabsError(f"{path}: the bank has no lab {missing!r}; `code-labs bank` lists them")
    own = [read_lab(found.parent) for found in sorted(root.glob("labs/*/lab.toml"))]
    labs = (*(known[name] for name in file.bank), *own)
    if twice := next((lab.id for lab in own if lab.id in file.bank), None):
        raise LabsError(f"{root}: two labs have the id {twice!r}")
    return Material(file, tuple(_text(root / video.file) for video in file.videos), labs)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise LabsError(f"{path}: is larger than {LARGEST:,} bytes")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise LabsError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise LabsError(f"{path}: is not UTF-8") from None


def load(options: argparse.Namespace) -> int:
    """Load a course, verify its labs and publish those that hold; the status is 1 if one does not."""
    material = read_course(options.directory)
    server = Server(options.server, os.environ.get(KEY, ""))
    if options.wait:
        server.wait(options.wait)
    good = True
    for line, holds in _loaded(server, material, publish=not options.draft):
        print(line, flush=True)
        good = good and holds
    return 0 if good else EXIT_WRONG


def _loaded(server: Server, material: Material, *, publish: bool) -> Iterator[tuple[str, bool]]:
    """Do it, step by step; yield lines on what was done, and whether it went well."""
    file = material.file
    course = f"/courses/{file.course}"
    server.ask("PUT", course, {"title": file.title, "language": file.language})
    yield f"{file.course}: {file.title}", True
    for video, text in zip(file.videos, material.texts, strict=True):
        said = video.model_dump(exclude={"video", "file"}, exclude_none=True)
        made = server.ask("PUT", f"{course}/videos/{video.video}", said | {"transcript": text, "name": video.file})
        yield f"  {video.video}: {video.title}, {clock(made.get('duration') or 0)}", True
    for lab in material.labs:
        yield _lab(server, f"{course}/labs/{quote(lab.id)}", lab, publish=publish)
        if lab.video:
            pin = {"start": lab.video.start} | ({"end": lab.video.end} if lab.video.end is not None else {})
            server.ask("PUT", f"{course}/labs/{quote(lab.id)}/pins/{quote(lab.video.video)}", pin)
    if material.labs and file.videos:
        matches = server.ask("POST", f"{course}/match", {"all": True}).get("matches") or []
        yield f"  {len(matches)} of {len(material.labs)} labs have a place in a video", True


def _lab(server: Server, path: str, lab: Lab, *, publish: bool) -> tuple[str, bool]:
    """Put a lab there, unless the same one is published already."""
    said = lab_object(lab.model_copy(update={"status": "draft"}))
    there = server.ask("GET", path, missing=True)
    if there and there.get("status") == "published" and _same(there.get("lab"), said):
        return f"  {lab.id}: is there already", True
    server.ask("PUT", path, {"lab": said})
    report = server.ask("POST", f"{path}/verify")
    if not report.get("ok"):
        errors = [each["message"] for each in report.get("findings", ()) if each.get("severity") == "error"]
        return f"  {lab.id}: NOT verified: {errors[0] if errors else 'see its report'}", False
    if publish:
        server.ask("POST", f"{path}/publish")
    killed = f"{report.get('killed')} of {report.get('mutants')} wrong versions fail"
    return f"  {lab.id}: verified ({killed}){', published' if publish else ''}", True


def _same(one: Any, other: dict[str, Any]) -> bool:
    return isinstance(one, dict) and {**one, "status": ""} == {**other, "status": ""}


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A key goes to the server that was named, and nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Server:
    """The teacher's part of a server's API."""

    def __init__(self, url: str, key: str = "") -> None:
        if not re.fullmatch(r"https?://[^/@\s]+(?:/[^\s?#]*)?", url):
            raise LabsError(f"--server must be as https://code.example.org, not {url}")
        self._url = url.rstrip("/")
        self._key = key
        self._opener = urllib.request.build_opener(_NoRedirects)

    def wait(self, seconds: float) -> None:
        """Wait until the server answers; raise ``LabsError``."""
        end = time.monotonic() + seconds
        while True:
            try:
                self._opener.open(f"{self._url}/health", timeout=5).close()
            except urllib.error.HTTPError as error:
                error.close()
                if error.code < 500:
                    return
            except (OSError, http.client.HTTPException):
                pass
            else:
                return
            if time.monotonic() > end:
                raise LabsError(f"{self._url} did not answer within {seconds:g} seconds")
            time.sleep(0.2)

    def ask(self, method: str, path: str, said: Any = None, *, missing: bool = False) -> dict[str, Any]:
        """Send a request, again where the server asks for that; return its JSON object, or raise ``LabsError``.

        ``missing``: that there is no such thing is an answer too, an empty one.
        """
        for _ in range(_MOST_WAITS):
            status, headers, text = self._send(method, f"/api/labs/v1/teach{path}", said)
            wait = _wait(headers.get("retry-after", "")) if status in (429, 503) else None
            if wait is None or wait > _LONGEST_WAIT:
                break
            print(f"code-labs: the server is busy, and asks to wait for {wait:g} seconds", file=sys.stderr)
            time.sleep(wait)
        if status == 404 and missing:
            return {}
        if not 200 <= status < 300:
            raise LabsError(f"{method} {path}: {_problem(status, text)}")
        try:
            made = json.loads(text or b"{}")
        except ValueError:
            made = None
        if not isinstance(made, dict):
            raise LabsError(f"{method} {path}: the server does not answer with a JSON object")
        return made

    def _send(self, method: str, path: str, said: Any) -> tuple[int, Message, bytes]:
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {self._key}"} if self._key else {})
        data = None
        if said is not None:
            data = json.dumps(said).encode()
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self._url + path, data, headers, method=method)  # noqa: S310  # http or https
        try:
            with self._opener.open(request, timeout=_TIMEOUT) as answer:
                return answer.status, answer.headers, answer.read(_LARGEST_ANSWER)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read(_LARGEST_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            raise LabsError(f"{self._url}: {getattr(error, 'reason', error)}") from None


def _wait(said: str) -> float:
    return float(said) if said.isdecimal() else 1.0


def _problem(status: int, text: bytes) -> str:
    """Say what a server's problem is."""
    if status in (401, 403):
        return f"the server wants another key ({status}): {KEY} must be one with the scope teach"
    try:
        said = json.loads(text)
        detail = said.get("detail") or said.get("title")
    except (ValueError, AttributeError):
        detail = None
    if status == 404 and not detail:
        detail = "is CODE_EXECUTOR_LABS=true set there?"
    return f"{detail or 'the server gives no reason'} ({status})"
