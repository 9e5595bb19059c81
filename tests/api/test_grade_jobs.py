"""Grades as jobs: what the synchronous call would answer comes later, to each as much as it may see."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.api.conftest import problem
from tests.api.test_grade import DOUBLE, SUITE
from tests.api.test_keys import SETTINGS, made
from tests.conftest import Serve
from tests.unit.grading.made import io

pytestmark = pytest.mark.timeout(300)

ALL = ("run", "check", "jobs", "grade", "grade:full", "suites", "learner:any")
NARROW = ("jobs", "grade", "learner:any")


class Platform:
    """A server, and two keys: one may see everything of a grade."""

    def __init__(self, url: str, full: str, narrow: str, only_jobs: str) -> None:
        self.url, self.full, self.narrow, self.only_jobs = url, full, narrow, only_jobs

    def ask(self, method: str, path: str, body: Any = None, key: str = "", **headers: str) -> httpx.Response:
        sent = {"Authorization": f"Bearer {key or self.full}", **headers}
        return httpx.request(method, f"{self.url}{path}", json=body, headers=sent, timeout=90)

    def post(self, request: dict[str, Any], key: str = "", **headers: str) -> str:
        response = self.ask("POST", "/api/jobs", {"kind": "grade", "request": request}, key, **headers)
        assert response.status_code == 202, response.text
        name: str = response.json()["id"]
        return name

    def show(self, job: str, key: str = "", **headers: str) -> dict[str, Any]:
        response = self.ask("GET", f"/api/jobs/{job}?wait=60", key=key, **headers)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer


@pytest.fixture(scope="module")
def platform(serve: Serve) -> Iterator[Platform]:
    with tempfile.TemporaryDirectory() as data:
        keys = [
            made(data, name, *(each for scope in scopes for each in ("--scope", scope)))
            for name, scopes in (("full", ALL), ("narrow", NARROW), ("jobs", ("jobs",)))
        ]
        with serve("native", data=data, rate_limit="off", **SETTINGS) as server:
            yield Platform(server.url, *keys)


def same(grade: dict[str, Any]) -> dict[str, Any]:
    """Return what is the same of two grades of one submission."""
    numbers = ("time", "cpuTime", "memory")
    tests = [{name: value for name, value in test.items() if name not in numbers} for test in grade["tests"]]
    return {**grade, "id": "", "usage": None, "receipt": None, "tests": tests}


def test_a_grade_comes_as_the_synchronous_call_would_answer(platform: Platform) -> None:
    request = {"code": DOUBLE, "suite": SUITE}
    shown = platform.show(platform.post(request))
    assert (shown["kind"], shown["state"], shown["failed"], shown["problem"]) == ("grade", "done", True, None)
    at_once = platform.ask("POST", "/api/grade", request).json()
    assert same(shown["result"]) == same(at_once)
    assert shown["result"]["usage"]["runs"] == 5
    assert platform.show(platform.post({"code": DOUBLE, "suite": {"tests": SUITE["tests"][:1]}}))["failed"] is False


def test_a_client_that_prefers_not_to_wait_gets_a_job(platform: Platform) -> None:
    request = {"code": DOUBLE, "suite": SUITE}
    taken = platform.ask("POST", "/api/grade", request, Prefer="respond-async")
    assert (taken.status_code, taken.headers["preference-applied"]) == (202, "respond-async"), taken.text
    shown = platform.show(taken.json()["id"])
    assert taken.headers["location"] == f"/api/jobs/{shown['id']}"
    assert same(shown["result"]) == same(platform.ask("POST", "/api/grade", request).json())
    wrong = platform.ask("POST", "/api/grade", {"code": DOUBLE, "suite": {"tests": []}}, Prefer="respond-async")
    assert problem(wrong, 422).startswith("suite.tests")
    problem(platform.ask("POST", "/api/grade", request | {"environment": "none"}, Prefer="respond-async"), 422)


def test_whoever_may_not_see_everything_does_not_in_a_job_either(platform: Platform) -> None:
    request = {"code": DOUBLE, "suite": SUITE}
    job = platform.post(request, platform.narrow)
    result = platform.show(job, platform.narrow)["result"]
    at_once = platform.ask("POST", "/api/grade", request, platform.narrow).json()
    assert same(result) == same(at_once)
    assert "planted" not in str(result)
    events = platform.ask("GET", f"/api/jobs/{job}/events", key=platform.narrow).text
    assert "planted" not in events
    batch = {"jobs": [{"kind": "grade", "request": request}]}
    lines = platform.ask("POST", "/api/batches", batch, platform.narrow, Accept="application/x-ndjson").text
    assert '"verdict": "partial"' in lines
    assert "planted" not in lines


def test_a_learner_sees_no_more_although_the_key_may(platform: Platform) -> None:
    job = platform.post({"code": DOUBLE, "suite": SUITE}, **{"X-Learner": "ada"})
    assert platform.show(job, **{"X-Learner": "ada"})["state"] == "done"
    other = platform.ask("GET", f"/api/jobs/{job}", **{"X-Learner": "bob"})
    assert problem(other, 404) == "There is no such job, or it is not kept any more."


def test_a_job_has_the_suite_of_the_moment_in_which_it_was_posted(platform: Platform) -> None:
    def put(expected: str) -> None:
        assert platform.ask("PUT", "/api/suites/week", {"tests": [io(expected)]}).is_success

    put("1")
    blocking = [platform.post({"code": "import time\ntime.sleep(1)", "suiteId": "week"}) for _ in range(4)]
    job = platform.post({"code": "print(1)", "suiteId": "week"})
    put("2")
    assert platform.show(job)["result"]["verdict"] == "passed"
    assert platform.show(platform.post({"code": "print(1)", "suiteId": "week"}))["result"]["verdict"] == "failed"
    assert all(platform.show(each)["result"]["verdict"] == "failed" for each in blocking)


def test_a_class_is_graded_in_a_batch(platform: Platform) -> None:
    suite = {"tests": [io("42", stdin="21"), io("0", stdin="0")]}
    programs = [DOUBLE if number % 3 else "print(42)" for number in range(30)]
    batch = {"jobs": [{"kind": "grade", "request": {"code": code, "suite": suite}} for code in programs]}
    names = platform.ask("POST", "/api/batches", batch).json()["jobs"]
    scores = [platform.show(name)["result"]["score"] for name in names]
    assert scores == [2 if number % 3 else 1 for number in range(30)]


@pytest.mark.parametrize(
    ("request_body", "status", "why"),
    [
        ({"code": "1", "suiteId": "nowhere"}, 404, "request: There is no suite 'nowhere'."),
        ({"code": "1", "suite": {"tests": []}}, 422, "request.suite.tests: "),
        ({"code": "1"}, 422, "request: exactly one of suite and suiteId is needed"),
        ({"code": "1", "suite": {"tests": [io("1")]}, "stdin": "x"}, 422, "request.stdin: "),
    ],
)
def test_what_cannot_be_graded_is_no_job(
    platform: Platform, request_body: dict[str, Any], status: int, why: str
) -> None:
    answer = platform.ask("POST", "/api/jobs", {"kind": "grade", "request": request_body})
    assert problem(answer, status).startswith(why)


def test_a_key_needs_both_scopes(platform: Platform) -> None:
    body = {"kind": "grade", "request": {"code": "1", "suite": SUITE}}
    assert problem(platform.ask("POST", "/api/jobs", body, platform.only_jobs), 403).endswith("scope grade.")


def test_what_the_policy_refuses_is_a_grade(platform: Platform) -> None:
    shown = platform.show(platform.post({"code": "import os", "suite": SUITE}))
    assert (shown["result"]["verdict"], shown["result"]["problems"][0]["line"]) == ("failed", 1)


def test_a_grade_is_given_again_for_the_same_key(platform: Platform) -> None:
    request = {"code": "import random\nprint(random.random())", "suite": {"tests": [io("1")]}}
    answers = [platform.ask("POST", "/api/grade", request, **{"Idempotency-Key": "once"}) for _ in range(2)]
    assert answers[0].status_code == 200
    assert answers[0].content == answers[1].content
    assert answers[1].headers["idempotency-replayed"] == "true"
