"""The learning loop over HTTP: a learner's road, a teacher's, and what no learner is told."""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
import time
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest

from tests.api.conftest import problem, raw_events
from tests.api.test_keys import SETTINGS, made
from tests.api.test_keys import keys as keys_command
from tests.census import eventually
from tests.conftest import Serve, Server
from tests.labs.made import RIGHT, TRANSCRIPT, WRONG, said

pytestmark = pytest.mark.timeout(300)

BASE = "/api/labs/v1"
CLAMP = "/courses/python/labs/clamp"
SECRETS = ("planted", "7341")
"""What is in the solution, in hints, or in the hidden test, and nowhere else."""


class School:
    """A server with a platform's key, tokens of two learners and a teacher, and a course whose lab is published."""

    def __init__(self, server: Server, keys: dict[str, str]) -> None:
        self.server, self.keys = server, keys
        self.seen: list[httpx.Response] = []

    def ask(self, method: str, path: str, key: str = "ada", body: object = None, **headers: str) -> httpx.Response:
        sent = {"Authorization": f"Bearer {self.keys[key]}", **headers}
        url = f"{self.server.url}{BASE}{path}"
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        response = httpx.request(method, url, headers=sent, timeout=120, **content)
        if key in ("ada", "bob"):
            self.seen.append(response)
        return response

    def get(self, path: str, key: str = "ada") -> dict[str, Any]:
        response = self.ask("GET", path, key)
        assert response.status_code == 200, response.text
        told: dict[str, Any] = response.json()
        return told

    def teach(self, method: str, path: str, body: object = None, status: int = 200) -> dict[str, Any]:
        response = self.ask(method, f"/teach{path}", "teacher", body)
        assert response.status_code == status, response.text
        told: dict[str, Any] = response.json() if response.content else {}
        return told

    def submit(self, code: str, key: str = "ada", path: str = CLAMP, **more: object) -> dict[str, Any]:
        response = self.ask("POST", f"{path}/submit", key, {"code": code, **more})
        assert response.status_code == 200, response.text
        told: dict[str, Any] = response.json()
        return told


def course(school: School, name: str = "python") -> None:
    """Make a course with a video and a lab, as a teacher does."""
    school.teach("PUT", f"/courses/{name}", {"title": "Python", "language": "en"}, 201)
    video = {"title": "Week 1", "youtube": "https://www.youtube.com/watch?v=dQw4w9WgXcQ&t=3", "transcript": TRANSCRIPT}
    told = school.teach("PUT", f"/courses/{name}/videos/week-1", video, 201)
    assert (told["segments"], told["language"]) == (6, "en")
    path = f"/courses/{name}/labs/clamp"
    told = school.teach("PUT", path, {"lab": said()})
    assert (told["status"], told["version"], told["verified"], told["report"]) == ("draft", 1, False, None)
    assert school.ask("POST", f"/teach{path}/publish", "teacher").status_code == 409
    report = school.teach("POST", f"{path}/verify")
    assert report["ok"], report
    assert report["killed"] <= report["mutants"]
    assert school.teach("POST", f"{path}/publish") == {"status": "published", "version": 1}


@pytest.fixture(scope="module")
def school(serve: Serve) -> Iterator[School]:
    """With two processes that answer; one alone is in another test."""
    with tempfile.TemporaryDirectory() as data:
        told = keys_command(data, "add", "--name", "school", "--scope", "run,labs,teach,learner:any")
        key, secret = re.findall(r"\b(ces?_[\w-]+)", told)
        keys = {
            "teacher": key,
            "other": made(data, "other", "--scope", "labs,teach,learner:any"),
            "runner": made(data, "runner", "--scope", "run,learner:any"),
        }
        for name in ("ada", "bob"):
            claims = {"aud": "code-executor", "sub": name, "exp": int(time.time()) + 3600, "scope": "labs"}
            keys[name] = jwt.encode(claims, secret, algorithm="HS256", headers={"kid": key[3:11]})
        more = {"rate_limit": "off", "labs": "true", "workers": 2}
        with serve("native", data=data, **SETTINGS | more) as server:
            made_school = School(server, keys)
            course(made_school)
            yield made_school


# ---- a learner's road


def test_a_learner_goes_from_the_course_to_a_passed_lab(school: School) -> None:
    [listed] = [each for each in school.get("/courses")["courses"] if each["course"] == "python"]
    assert listed == {"course": "python", "title": "Python", "labs": 1, "passed": 0}
    told = school.get("/courses/python")
    [video], [entry] = told["videos"], told["labs"]
    assert (video["youtube"], video["url"], entry["state"], entry["version"]) == ("dQw4w9WgXcQ", None, "new", 1)
    [moment] = entry["moments"]
    assert (moment["video"], moment["by"], "clamp" in moment["words"]) == ("week-1", "auto", True)
    view = school.get(CLAMP)
    assert (view["draft"], view["completion"], view["given"], view["hints"]) == (None, None, [], 2)
    assert [test["visibility"] for test in view["tests"]] == ["full", "input", "result", "full", "full"]
    first, second, third = view["tests"][:3]
    assert (first["call"], first["expected"]) == ("clamp(9, 5)", "5")
    assert (second["call"], "expected" in second) == ("clamp(3, 5)", False)
    assert third.keys() == {"id", "name", "group", "weight", "visibility", "kind"}

    failed = school.submit(WRONG)
    assert (failed["passed"], failed["verdict"], failed["moment"]["video"]) == (False, "partial", "week-1")
    assert [test["id"] for test in failed["tests"]] == ["1", "2", "3", "4", "5"]
    assert school.get("/courses/python")["labs"][0]["state"] == "begun"
    passed = school.submit(RIGHT)
    assert (passed["passed"], passed["moment"], passed["score"]) == (True, None, 6)
    assert int(passed["attempt"]) > int(failed["attempt"])
    completion = school.get(CLAMP)["completion"]
    assert (completion["attempts"], completion["hints"]) == (2, 0)
    [mine] = school.get("/me")["courses"]
    assert (mine["passed"], mine["labs"], mine["attempts"]) == (1, 1, 2)
    assert school.get("/courses/python", "bob")["labs"][0]["state"] == "new"


def test_a_submit_can_be_a_stream(school: School) -> None:
    headers = {"Authorization": f"Bearer {school.keys['bob']}", "Accept": "text/event-stream"}
    url = f"{school.server.url}{BASE}{CLAMP}/submit"
    with httpx.stream("POST", url, json={"code": WRONG}, headers=headers, timeout=60) as response:
        events = list(raw_events(response.iter_lines()))
    assert [name for name, _ in events] == ["test"] * 5 + ["grade"]
    assert events[-1][1]["passed"] is False
    assert events[-1][1]["moment"]["video"] == "week-1"
    assert "planted" not in json.dumps(events)


def test_a_draft_is_kept_for_the_fastest_window(school: School) -> None:
    path = f"{CLAMP}/draft"
    assert problem(school.ask("PUT", path, "bob", {"code": "x"}), 428).startswith("Say which revision")
    first = school.ask("PUT", path, "bob", {"code": "a"}, **{"If-None-Match": "*"})
    assert (first.json()["revision"], first.headers["etag"]) == (1, '"1"')
    assert school.ask("PUT", path, "bob", {"code": "b"}, **{"If-Match": '"1"'}).json()["revision"] == 2
    late = school.ask("PUT", path, "bob", {"code": "c"}, **{"If-Match": '"1"'})
    assert problem(late, 409) == "The draft was changed in another window."
    assert (late.json()["draft"]["code"], late.json()["draft"]["revision"]) == ("b", 2)
    assert school.get(CLAMP, "bob")["draft"]["code"] == "b"
    assert school.ask("PUT", path, "bob", {"code": "c"}, **{"If-Match": "b"}).status_code == 400
    assert school.ask("PUT", path, "bob", {"code": "c" * 300_000}, **{"If-Match": '"2"'}).status_code == 413


def test_hints_are_taken_one_after_the_other(school: School) -> None:
    assert school.ask("POST", f"{CLAMP}/hints/2", "bob").status_code == 409
    assert school.ask("POST", f"{CLAMP}/hints/3", "bob").status_code == 404
    taken = school.ask("POST", f"{CLAMP}/hints/1", "bob").json()
    assert taken == {"number": 1, "text": "Compare the two."}
    assert school.get(CLAMP, "bob")["given"] == [taken]


def test_pages_tell_what_happens(school: School) -> None:
    events = [
        {"lab": "clamp", "type": "open", "at": "2026-11-30T12:00:00Z", "data": {}},
        {"lab": "clamp", "type": "segment_click", "at": 1.0, "data": {"video": "week-1", "start": 90.0}},
        {"type": "seek", "at": 1_796_000_000_000},
    ]
    assert school.ask("POST", "/courses/python/events", "bob", {"events": events}).status_code == 204
    for wrong in (
        {"events": [{"type": "open", "at": "noon"}]},
        {"events": [{"type": "cheat", "at": 1}]},
        {"events": [{"type": "open", "at": 1, "data": {"x": "y" * 3000}}]},
        {"events": [{"type": "open", "at": 1}] * 101},
    ):
        assert school.ask("POST", "/courses/python/events", "bob", wrong).status_code == 422


def test_what_is_said_is_told_and_labs_are_suggested_there(school: School) -> None:
    segments = school.get("/courses/python/videos/week-1/segments")["segments"]
    assert segments[1] == {"start": 40.0, "end": 90.0, "text": "a while loop repeats as long as the oven is cold"}
    suggested = school.get("/courses/python/videos/week-1/suggestions?t=120")["labs"]
    assert [(each["lab"], each["title"], each["by"]) for each in suggested] == [("clamp", "Clamp a value", "auto")]
    assert school.get("/courses/python/videos/week-1/suggestions?t=10")["labs"] == []
    assert school.ask("GET", "/courses/python/videos/week-1/suggestions?t=nan").status_code == 422


# ---- who may what


def test_scopes_owners_and_names_are_looked_at(school: School) -> None:
    for method, path in (("GET", "/teach/courses"), ("GET", "/teach"), ("DELETE", "/teach/learners/ab")):
        assert problem(school.ask(method, path), 403).endswith("scope teach.")
        assert problem(school.ask(method, path, "runner"), 403).endswith("scope teach.")
    assert problem(school.ask("GET", "/courses", "runner"), 403).endswith("scope labs.")
    assert school.ask("GET", "/courses/python", "other", **{"X-Learner": "ada"}).status_code == 404
    assert school.ask("GET", "/teach/courses/python", "other").status_code == 404
    assert school.ask("GET", "/teach/courses", "other").json() == {"courses": []}
    assert problem(school.ask("GET", "/courses", "teacher"), 400).startswith("Say for which learner")
    for name in ("A", "a%20b", "%00", "a%0A", "x" * 65):
        assert school.ask("GET", f"/courses/{name}").status_code in (404, 422), name
    assert school.ask("PUT", "/teach/courses/No", "teacher", {"title": "x"}).status_code == 422


def test_no_learner_is_told_what_only_teachers_may_know(school: School) -> None:
    """Every answer that a learner got in all tests before, and those to what a cheat would hand in."""
    cheats = (
        "import os",
        "def clamp(*a):\n    print(a)\n    return a",
        "def clamp(*a): raise ValueError(a)",
        "def clamp(a, b): raise type(f'E{a}Error', (Exception,), {})(b)",
        "def clamp(a, b):\n    if a == 7340 + 1: raise type(f'E{a}Error', (Exception,), {})(b)\n    return min(a, b)",
        "while",
    )
    for code in cheats:
        school.submit(code, "bob")
    for path in (
        "/courses", "/courses/python", CLAMP, "/me", "/courses/python/videos/week-1/suggestions?t=100",
        "/courses/python/videos/week-1/segments", f"{CLAMP}/hints/9", "/courses/python/labs/x",
    ):  # fmt: skip
        school.ask("GET", path, "bob")
    archive = school.ask("GET", "/me/export", "bob")
    with zipfile.ZipFile(io.BytesIO(archive.content)) as whole:
        exported = "".join(whole.read(name).decode() for name in whole.namelist())
    assert "def clamp(*a)" in exported
    told = [response.text for response in school.seen] + [exported]
    assert len(told) > 15
    for secret in SECRETS:
        assert [text for text in told if secret in text] == [], secret
    solution = school.ask("GET", f"/teach{CLAMP}", "teacher").text
    assert all(secret in solution for secret in SECRETS)


# ---- a teacher's road


def test_learners_keep_their_version_until_another_is_published(school: School) -> None:
    course(school, "versions")
    path = "/courses/versions/labs/clamp"
    changed = said(title="Hold a value", task="Write `clamp(value, most)`.")
    told = school.teach("PUT", path, {"lab": changed})
    assert (told["version"], told["status"], told["verified"]) == (2, "published", False)
    assert school.get(path)["version"] == 1
    assert school.teach("POST", f"{path}/verify")["ok"]
    assert school.teach("POST", f"{path}/publish")["version"] == 2
    assert school.get(path)["title"] == "Hold a value"
    assert school.submit(RIGHT, path=path, version=1)["passed"]
    assert school.ask("POST", f"{path}/submit", "ada", {"code": RIGHT, "version": 3}).status_code == 404
    school.teach("POST", f"{path}/retire")
    assert school.ask("GET", path).status_code == 404
    assert school.ask("POST", f"{path}/submit", "ada", {"code": RIGHT}).status_code == 404
    assert school.ask("DELETE", "/teach/courses/versions", "teacher").status_code == 409
    assert school.ask("DELETE", "/teach/courses/versions?confirm=versions", "teacher").status_code == 204
    assert school.ask("GET", "/teach/courses/versions", "teacher").status_code == 404


def test_a_lab_that_does_not_hold_is_not_published(school: School) -> None:
    path = "/courses/python/labs/broken"
    school.teach("PUT", path, {"lab": said("broken", solution="def clamp(value, most):\n    return 1\n")})
    report = school.teach("POST", f"{path}/verify")
    assert not report["ok"]
    assert {"severity": "error", "code": "solution-fails"}.items() <= report["findings"][0].items()
    assert "not verified" in problem(school.ask("POST", f"/teach{path}/publish", "teacher"), 409)
    assert problem(school.ask("PUT", f"/teach{path}", "teacher", {"lab": {"id": "broken"}}), 422).startswith("lab:")
    assert problem(school.ask("PUT", f"/teach{path}", "teacher", {"lab": said("other")}), 422).startswith("lab.id:")
    school.teach("DELETE", path, status=204)
    off = said("broken", policy="off")
    school.teach("PUT", path, {"lab": off})
    assert problem(school.ask("POST", f"/teach{path}/verify", "teacher"), 422).startswith("policy: ")
    school.teach("DELETE", path, status=204)


def test_labs_are_matched_and_a_pin_is_what_matching_is_measured_by(school: School) -> None:
    best = school.teach("POST", "/courses/python/match", {"lab": "clamp"})["matches"][0]
    assert (best["video"], best["start"]) == ("week-1", 87.0)
    text = school.teach("POST", "/courses/python/match", {"text": "append an apple to the basket"})["matches"][0]
    assert "append" in text["words"]
    whole = school.teach("POST", "/courses/python/match", {"all": True})["matches"]
    assert [each["lab"] for each in whole] == ["clamp"]
    assert school.teach("GET", "/courses/python/evaluate")["pins"] == 0
    school.teach("PUT", "/courses/python/labs/clamp/pins/week-1", {"start": 88, "end": 130}, 204)
    measured = school.teach("GET", "/courses/python/evaluate")
    assert (measured["pins"], measured["recallAt1"]) == (1, 1.0)
    assert school.get(CLAMP)["moments"] == [
        {"video": "week-1", "start": 88.0, "end": 130.0, "by": "teacher", "words": []}
    ]
    school.teach("DELETE", "/courses/python/labs/clamp/pins/week-1", status=204)
    assert school.ask("POST", "/teach/courses/python/match", "teacher", {}).status_code == 422


AREA = '''
def area(width, height):
    """Return the area.

    >>> area(2, 3)
    6
    """
    return width * height
'''


def test_labs_are_made_of_code_and_of_the_bank(school: School) -> None:
    school.teach("PUT", "/courses/made", {"title": "Made"}, 201)

    def events(body: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        headers = {"Authorization": f"Bearer {school.keys['teacher']}"}
        url = f"{school.server.url}{BASE}/teach/courses/made/generate"
        with httpx.stream("POST", url, json=body, headers=headers, timeout=120) as response:
            return list(raw_events(response.iter_lines()))

    told = events({"from": "code", "name": "notes.py", "source": AREA, "kinds": ["write"]})
    assert [name for name, _ in told] == ["step", "lab", "done"]
    assert (told[1][1]["lab"]["id"], told[1][1]["report"]["ok"], told[-1][1]) == ("area-write", True, {"labs": 1})
    told = events({"from": "bank", "concepts": ["loops.while"]})
    assert {name for name, _ in told} == {"step", "lab", "done"}
    assert [name for name, _ in events({"from": "bank", "concepts": ["nothing"]})] == ["failed"]
    listed = school.teach("GET", "/courses/made")["labs"]
    assert {each["status"] for each in listed} == {"draft"}
    assert all(each["verified"] for each in listed)


def test_fetching_captions_is_honest_about_what_is_not_there(school: School) -> None:
    path = "/courses/python/videos/week-2/fetch"
    assert school.ask("GET", f"/teach{path}", "teacher").status_code == 404
    begun = school.teach("POST", path, {"youtube": "https://youtu.be/not-a-video"}, 202)
    assert eventually(lambda: school.teach("GET", path)["state"] != "running", 60)
    last = school.teach("GET", path)
    assert (last["fetch"], last["state"]) == (begun["fetch"], "failed")
    assert "Copy the transcript" in last["why"]
    assert [video["video"] for video in school.get("/courses/python")["videos"]] == ["week-1"]


def test_labs_come_and_go_as_files(school: School) -> None:
    school.teach("PUT", "/courses/files", {"title": "Files"}, 201)
    labs = json.dumps([said("one"), said("two"), {"id": "three"}]).encode()
    told = school.teach("POST", "/courses/files/import?format=json", labs)
    assert (told["labs"], len(told["notes"])) == (["one", "two"], 1)
    for kind in ("json", "coderunner"):
        out = school.ask("GET", f"/teach/courses/files/export?format={kind}", "teacher").content
        again = school.teach("POST", f"/courses/files/import?format={kind}", out)["labs"]
        assert len(again) == 2
    notebooks = school.ask("GET", "/teach/courses/files/export?format=nbgrader", "teacher").content
    with zipfile.ZipFile(io.BytesIO(notebooks)) as archive:
        assert "one.ipynb" in archive.namelist()
        notebook = archive.read("one.ipynb")
    assert school.teach("POST", "/courses/files/import?format=nbgrader", notebook)["labs"]
    evil = io.BytesIO()
    with zipfile.ZipFile(evil, "w") as archive:
        archive.writestr("../../evil.py", "x")
    for body, kind in ((b"<x", "coderunner"), (b"no", "json"), (b"no", "exercism"), (evil.getvalue(), "exercism")):
        assert school.ask("POST", f"/teach/courses/files/import?format={kind}", "teacher", body).status_code == 422


def test_teachers_are_told_how_learners_stand_and_csv_holds_no_formula(school: School) -> None:
    for _ in range(4):
        school.submit("raise NameError", "bob")
    rows = school.teach("GET", "/courses/python/analytics/attention")["rows"]
    learner = school.get("/me", "bob")["learner"]
    assert {(row["learner"], row["why"]) for row in rows} >= {(learner, "NameError 4 times in a row")}
    [row] = [each for each in school.teach("GET", "/courses/python/analytics/labs")["rows"] if each["lab"] == "clamp"]
    assert (row["opened"], row["passed"], row["lastHint"]) == (2, 1, None)
    school.submit("=1+1\n", "bob")
    for which in ("attention", "labs", "errors", "segments", "pace"):
        response = school.ask("GET", f"/teach/courses/python/analytics/{which}?format=csv", "teacher")
        assert response.headers["content-type"].startswith("text/csv")
        for line in csv.reader(io.StringIO(response.text)):
            assert not any(cell.startswith(("=", "+", "@")) for cell in line), line
    assert "'=1+1" in school.ask("GET", "/teach/courses/python/analytics/errors?format=csv", "teacher").text
    assert school.ask("GET", "/teach/courses/python/analytics/secrets", "teacher").status_code == 422


def test_learners_are_erased_by_themselves_and_by_teachers(school: School) -> None:
    learner = school.get("/me")["learner"]
    assert school.ask("DELETE", "/me").status_code == 204
    assert school.get("/me")["courses"] == []
    assert school.ask("DELETE", f"/teach/learners/{learner}", "teacher").status_code == 404
    school.submit(WRONG)
    assert school.ask("DELETE", f"/teach/learners/{learner}", "other").status_code == 404
    assert school.ask("DELETE", f"/teach/learners/{learner}", "teacher").status_code == 204
    assert school.get("/courses/python")["labs"][0]["state"] == "new"


# ---- without keys, and without labs


def test_without_keys_whoever_asks_says_which_learner_it_is(serve: Serve) -> None:
    with tempfile.TemporaryDirectory() as data:
        more = {"data": data, "labs": "true", "rate_limit": "4/minute", "policies": "off"}
        with (
            serve("native", **SETTINGS | more) as server,
            httpx.Client(base_url=f"{server.url}{BASE}", timeout=60) as http,
        ):
            http.put("/teach/courses/open", json={"title": "Open"})
            http.put("/teach/courses/open/labs/clamp", json={"lab": said(policy="off")})
            elsewhere = {"Origin": "https://elsewhere.example", "Content-Type": "text/plain"}
            for forged in ("labs/clamp/publish", "labs/clamp/retire", "import?format=json"):
                answer = http.post(f"/teach/courses/open/{forged}", content=b"{}", headers=elsewhere)
                assert problem(answer, 403) == "Pages of this origin may not do this."
            own = {"Origin": server.url}
            assert http.post("/teach/courses/open/labs/clamp/verify", headers=own).json()["ok"]
            assert http.post("/teach/courses/open/labs/clamp/publish").status_code == 200
            ada, bob = {"X-Learner": "a-random-name"}, {"X-Learner": "another"}
            path = "/courses/open/labs/clamp"
            assert http.post(f"{path}/submit", json={"code": f"import os\n{RIGHT}"}, headers=ada).json()["passed"]
            assert http.get(path, headers=ada).json()["completion"]["attempts"] == 1
            assert http.get(path, headers=bob).json()["completion"] is None
            assert problem(http.get(path), 400).startswith("Say for which learner")
            learner = http.get("/me", headers=ada).json()["learner"]
            assert len(learner) == 32
            assert learner != http.get("/me", headers=bob).json()["learner"]
            answers = [http.post(f"{path}/submit", json={"code": "1"}, headers=bob).status_code for _ in range(3)]
            assert answers == [200, 200, 429]  # of the four, one was spent on verifying and one by ada
            described = httpx.get(f"{server.url}/openapi.json").json()
            assert f"{BASE}/courses/{{course}}/labs/{{lab}}/submit" in described["paths"]


def test_without_the_setting_there_is_nothing(client: httpx.Client) -> None:
    assert client.get(f"{BASE}/courses", headers={"X-Learner": "x"}).status_code == 404
    assert "labs" not in client.get("/openapi.json").text
