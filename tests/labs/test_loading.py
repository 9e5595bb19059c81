"""Loading a course: what is asked of a server, in which order, and what is said when it does not want to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from code_labs.bank import bank
from code_labs.cli import main
from code_labs.errors import LabsError
from code_labs.labs import lab_object, read_lab, write_lab
from code_labs.loading import read_course
from code_labs.matching import Course, Lecture
from code_labs.matching.align import align
from code_labs.transcripts import parse_transcript

DEMO = Path(__file__).parents[2] / "examples/course"
KEY = "ce_abcdefgh_secret"


class Teach:
    """The teacher's part of the API, as far as loading asks for it. ``failing``: labs that do not hold."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, str]] = []
        self.said: dict[str, Any] = {}
        self.kept: dict[str, dict[str, Any]] = {}
        self.failing: set[str] = set()
        self.busy = 0

    def answer(self, method: str, path: str, said: Any) -> tuple[int, dict[str, Any]]:
        self.asked.append((method, path))
        self.said[path] = said
        lab = path.rpartition("/labs/")[2].partition("/")[0]
        match method, path.rpartition("/")[2]:
            case "PUT", _ if "/pins/" in path:
                return 200, {}
            case "PUT", _ if "/labs/" in path:
                self.kept[lab] = {"lab": said["lab"], "status": "draft"}
                return 200, self.kept[lab]
            case "PUT", _ if "/videos/" in path:
                return 200, {"duration": parse_transcript(said["transcript"]).end}
            case "GET", _:
                return (200, self.kept[lab]) if lab in self.kept else (404, {"detail": "no such lab"})
            case "POST", "verify":
                errors = [{"severity": "error", "message": "too weak"}] if lab in self.failing else []
                return 200, {"ok": not errors, "findings": errors, "mutants": 9, "killed": 9}
            case "POST", "publish":
                self.kept[lab]["status"] = "published"
                return 200, {}
            case "POST", "match":
                return 200, {"matches": [{"lab": "own"}]}
        return 200, {}


class _Handler(BaseHTTPRequestHandler):
    teach: Teach

    def _do(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        said = json.loads(self.rfile.read(size)) if size else None
        status, made = 200, {}
        if self.path != "/health":
            path = self.path.removeprefix("/api/labs/v1/teach")
            if self.path == path:
                status = 302
            elif self.headers.get("authorization") != f"Bearer {KEY}":
                status, made = 401, {"detail": f"wrong: {self.headers.get('authorization')}"}
            elif self.teach.busy:
                self.teach.busy -= 1
                status = 429
            else:
                status, made = self.teach.answer(self.command, path, said)
        text = json.dumps(made).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        if status == 429:
            self.send_header("Retry-After", "0")
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_PUT = do_POST = _do  # noqa: N815  # the names are the base class's

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def teach(monkeypatch: pytest.MonkeyPatch) -> Iterator[Teach]:
    made = Teach()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"teach": made}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("CODE_LABS_KEY", KEY)
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def course(directory: Path, *, bank: str = '"loops-sum"') -> str:
    (directory / "a.vtt").write_text("WEBVTT\n\n00:01.000 --> 01:02.000\na loop adds up\n")
    (directory / "course.toml").write_text(
        f'course = "c"\ntitle = "C"\nlanguage = "en"\nbank = [{bank}]\n\n'
        '[[videos]]\nvideo = "a"\ntitle = "A"\nfile = "a.vtt"\nyoutube = "dQw4w9WgXcQ"\n'
    )
    return str(directory)


def test_a_course_is_loaded_once(teach: Teach, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pinned = next(lab for lab in bank() if lab.id == "if-even").model_copy(update={"id": "own"})
    write_lab(pinned, tmp_path / "labs/own")
    (tmp_path / "labs/own/lab.toml").write_text(
        (tmp_path / "labs/own/lab.toml").read_text() + '\n[video]\nvideo = "a"\nstart = 1.0\n'
    )
    command = ["load", course(tmp_path), "--server", f"{teach.url}/", "--wait", "5"]
    teach.busy = 2
    assert main(command) == 0
    assert teach.asked == [
        ("PUT", "/courses/c"),
        ("PUT", "/courses/c/videos/a"),
        *(
            step
            for lab in ("loops-sum", "own")
            for step in (
                ("GET", f"/courses/c/labs/{lab}"),
                ("PUT", f"/courses/c/labs/{lab}"),
                ("POST", f"/courses/c/labs/{lab}/verify"),
                ("POST", f"/courses/c/labs/{lab}/publish"),
            )
        ),
        ("PUT", "/courses/c/labs/own/pins/a"),
        ("POST", "/courses/c/match"),
    ]
    video = teach.said["/courses/c/videos/a"]
    assert (video["title"], video["youtube"], video["name"]) == ("A", "dQw4w9WgXcQ", "a.vtt")
    assert teach.said["/courses/c/labs/own/pins/a"] == {"start": 1.0}
    assert teach.kept["own"]["lab"] == lab_object(
        read_lab(tmp_path / "labs/own").model_copy(update={"status": "draft"})
    )
    out, err = capsys.readouterr()
    assert "loops-sum: verified (9 of 9 wrong versions fail), published" in out
    assert "1 of 2 labs have a place" in out
    assert err.count("the server is busy") == 2
    teach.asked.clear()
    assert main(command) == 0
    assert ("PUT", "/courses/c/labs/own") not in teach.asked
    assert "own: is there already" in capsys.readouterr().out


def test_what_does_not_hold_is_not_published(teach: Teach, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    teach.failing = {"loops-sum"}
    directory = course(tmp_path, bank='"loops-sum", "if-even"')
    assert main(["load", directory, "--server", teach.url]) == 1
    assert "loops-sum: NOT verified: too weak" in capsys.readouterr().out
    assert {name: each["status"] for name, each in teach.kept.items()} == {"loops-sum": "draft", "if-even": "published"}
    teach.kept.clear()
    teach.failing = set()
    assert main(["load", directory, "--server", teach.url, "--draft"]) == 0
    assert {each["status"] for each in teach.kept.values()} == {"draft"}


def test_what_is_wrong_is_said_without_the_key(
    teach: Teach, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = course(tmp_path)
    monkeypatch.setenv("CODE_LABS_KEY", "ce_wrongkey_x")
    for server, why in (
        (teach.url, "CODE_LABS_KEY must be one with the scope teach"),
        ("code.example.org", "must be as https://"),
        ("http://me:secret@x", "must be as https://"),
        ("http://127.0.0.1:1", "Connection refused"),
        (f"{teach.url}/elsewhere", "(302)"),
    ):
        assert main(["load", directory, "--server", server]) == 2
        err = capsys.readouterr().err
        assert why in err
        assert "ce_wrongkey_x" not in err
    for text, why in (
        ('course = "Ü"\ntitle = "x"', "course: "),
        ('course = "c"\ntitle = "x"\nbank = ["none"]', "the bank has no lab 'none'"),
        ('course = "c"\ntitle = "x"\n[[videos]]\nvideo = "a"\ntitle = "A"\nfile = "b.vtt"', "b.vtt: No such file"),
        ("course =", "course.toml: "),
    ):
        (tmp_path / "course.toml").write_text(text)
        with pytest.raises(LabsError, match=why):
            read_course(tmp_path)


def test_the_labs_of_the_small_course_have_a_place_in_its_videos() -> None:
    material = read_course(DEMO)
    videos = zip(material.file.videos, material.texts, strict=True)
    lectures = [Lecture(video.video, parse_transcript(text), video.title) for video, text in videos]
    assert [len(lecture.transcript.chapters) for lecture in lectures] == [4, 5, 5]
    found = align(Course(lectures), [lab.query for lab in material.labs])
    places = {lab.id: match and match.lecture for lab, match in zip(material.labs, found, strict=True)}
    assert places == {
        lab.id: lectures[{"if": 0, "loops": 1, "range": 1}.get(lab.id.split("-")[0], 2)].id for lab in material.labs
    }
