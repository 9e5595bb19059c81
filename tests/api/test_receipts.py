"""Receipts over HTTP: what a grade carries, whether it is ours, what is graded again, and what learners find in it."""

from __future__ import annotations

import json
import re
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest

from code_executor.grading.receipts import digest_of, verify
from code_executor.grading.signing import keys_of_set
from tests.api.conftest import problem, raw_events
from tests.api.test_grade import DOUBLE, SUITE, School
from tests.api.test_keys import SETTINGS, attempt, made
from tests.conftest import Serve
from tests.unit.grading.made import io
from tests.unit.grading.test_receipts import by_secret, changed, token

KEYS = "/.well-known/code-executor-keys.json"
RANDOM = "import random\nprint(random.random())"
GRADESCOPE, JUNIT = "application/vnd.gradescope+json", "application/junit+xml"


@pytest.fixture(scope="module", params=["1", "2"], ids=["one process", "two processes"])
def school(serve: Serve, request: pytest.FixtureRequest) -> Iterator[School]:
    with tempfile.TemporaryDirectory() as data:
        keys = {
            "grader": made(data, "grader", "--scope", "run,grade,suites"),
            "teacher": made(data, "teacher", "--scope", "run,grade,grade:full,suites,jobs,learner:any"),
            "runner": made(data, "runner", "--scope", "run"),
        }
        with serve("native", "--workers", request.param, data=data, rate_limit="off", **SETTINGS) as server:
            yield School(server, data, keys)


def graded(school: School, body: dict[str, Any], key: str = "teacher", **headers: str) -> dict[str, Any]:
    response = school.ask("POST", "/api/grade", key, body, **headers)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def claims_of(school: School, receipt: str) -> dict[str, Any]:
    """Return the claims of a receipt as somebody verifies it who has nothing but the public keys."""
    keys = httpx.get(f"{school.server.url}{KEYS}")
    assert keys.status_code == 200
    return verify(receipt, keys_of_set(keys.content))


def test_a_grade_carries_a_receipt_that_anybody_can_verify(school: School) -> None:
    answer = graded(school, {"code": DOUBLE, "suite": SUITE, "files": [{"path": "a.txt", "content": "a"}]})
    claims = claims_of(school, answer["receipt"])
    assert {name: claims[name] for name in ("jti", "score", "max", "verdict", "engine", "prev")} == {
        "jti": answer["id"],
        "score": 2.0,
        "max": 4.0,
        "verdict": "partial",
        "engine": "native",
        "prev": None,
    }
    environment = school.ask("GET", "/api/environments", "teacher").json()[0]
    assert claims["env"] == {"name": environment["name"], "digest": environment["digest"]}
    assert [test["verdict"] for test in claims["tests"]] == [test["verdict"] for test in answer["tests"]]
    assert list(claims["files"]) == ["a.txt"]
    assert claims["limits"]["wallTime"] == 30.0
    assert "regrade" not in answer
    asked = {"code": DOUBLE, "suite": SUITE, "limits": {"wallTime": 3}, "environment": environment["name"]}
    assert claims_of(school, graded(school, asked)["receipt"])["limits"]["wallTime"] == 3.0


def test_the_keys_may_be_kept_and_need_no_key(school: School) -> None:
    graded(school, {"code": "print(1)", "suite": {"tests": [io("1")]}})
    answer = httpx.get(f"{school.server.url}{KEYS}")
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert {frozenset(key) for key in answer.json()["keys"]} == {frozenset({"kty", "crv", "x", "kid", "use", "alg"})}


def test_the_last_event_has_the_receipt(school: School) -> None:
    body = {"code": DOUBLE, "suite": SUITE}
    response = school.ask("POST", "/api/grade", "teacher", body, Accept="text/event-stream")
    name, last = list(raw_events(iter(response.text.splitlines())))[-1]
    assert (name, claims_of(school, last["receipt"])["jti"]) == ("grade", last["id"])


def test_a_learners_receipt_gives_nothing_away(school: School) -> None:
    secret = {**io("planted-secret", stdin="5\n", visibility="hidden"), "id": "planted-id", "name": "planted-name"}
    suite = {"tests": [*SUITE["tests"][:3], {**secret, "group": "planted-group"}]}
    version = school.ask("PUT", "/api/suites/week-1", "grader", suite).json()["version"]
    body = {"code": DOUBLE, "suiteId": "week-1"}
    receipt = graded(school, body, "learner")["receipt"]
    claims = claims_of(school, receipt)
    text = json.dumps([claims, jwt.get_unverified_header(receipt)])
    assert [word for word in ("planted", "week-1", version) if word in text] == []
    assert not re.search(r"\bada\b", text)  # as a word: digests have these letters too
    assert [set(test) for test in claims["tests"]] == [
        {"id", "verdict", "score", "trust", "out"},
        {"id", "verdict", "score", "trust", "out"},
        {"id", "verdict", "score"},
    ]
    assert len(claims["sub"]) == 32
    assert claims["sub"] != "ada"
    assert "suite" not in claims
    full = claims_of(school, graded(school, {**body, "suiteId": None, "suite": suite})["receipt"])
    assert full["suite"] == version
    assert full["tests"][3]["id"] == "planted-id"


# ---- whether it is ours


def verdict_of(school: School, receipt: str, key: str = "learner") -> httpx.Response:
    return school.ask("POST", "/api/receipts/verify", key, {"receipt": receipt})


def test_the_service_knows_its_receipts(school: School) -> None:
    receipt = graded(school, {"code": DOUBLE, "suite": SUITE})["receipt"]
    answer = verdict_of(school, receipt)
    assert answer.json() == {"valid": True, "claims": claims_of(school, receipt), "why": None}
    for forged, why in (
        (changed(receipt, score=4.0), "It was changed after it was signed"),
        (token(), "It was signed with another key than those of this service"),
    ):
        answer = verdict_of(school, forged)
        assert (answer.status_code, answer.json()) == (200, {"valid": False, "claims": None, "why": why})


def test_what_is_no_receipt_is_an_error_of_the_request(school: School) -> None:
    for text, why in (
        ("x", "receipt: It is not a receipt: three parts"),
        (by_secret(b"secret"), "receipt: It is not a receipt: its algorithm must be EdDSA"),
        (school.keys["learner"], "receipt: It is not a receipt: its algorithm must be EdDSA"),
        ("a" * (1 << 20) + "a", "receipt: String should have at most 1048576 characters"),
    ):
        assert problem(verdict_of(school, text), 422).startswith(why)
        body = {"code": DOUBLE, "suite": SUITE, "regradeOf": text}
        assert problem(school.ask("POST", "/api/grade", "teacher", body), 422).startswith(
            why.replace("receipt:", "regradeOf:", 1)
        )
    assert problem(verdict_of(school, "x", "runner"), 403).endswith("scope grade.")
    missing = school.ask("POST", "/api/receipts/verify", "teacher", {})
    assert problem(missing, 422).startswith("receipt: Field required")


def test_after_a_rotation_old_receipts_still_verify(school: School) -> None:
    body = {"code": DOUBLE, "suite": SUITE}
    old = graded(school, body)["receipt"]
    done = attempt(school.data, "receipts", "rotate")
    assert done.returncode == 0, done.stderr
    new = graded(school, body)["receipt"]
    first, second = (jwt.get_unverified_header(each)["kid"] for each in (old, new))
    assert first != second
    listed = [key["kid"] for key in httpx.get(f"{school.server.url}{KEYS}").json()["keys"]]
    assert listed.index(second) < listed.index(first)
    assert verdict_of(school, old).json()["valid"] is verdict_of(school, new).json()["valid"] is True
    assert graded(school, {**body, "regradeOf": old})["regrade"]["same"] is True


# ---- graded again


def test_a_regrade_says_whether_it_came_to_the_same(school: School) -> None:
    body = {"code": DOUBLE, "suite": SUITE}
    first = graded(school, body)
    again = graded(school, {**body, "regradeOf": first["receipt"]})
    assert again["regrade"] == {"same": True, "differs": [], "flaky": [], "why": []}
    assert again["id"] != first["id"]
    third = graded(school, {**body, "code": "print(42)", "regradeOf": again["receipt"]})
    assert third["regrade"] == {"same": False, "differs": ["2", "3", "4"], "flaky": [], "why": ["code changed"]}
    prev = [claims_of(school, each["receipt"])["prev"] for each in (first, again, third)]
    assert (prev[0], len({*prev})) == (None, 3)


def test_a_program_that_prints_something_else_each_time_is_flaky(school: School) -> None:
    body = {"code": RANDOM, "suite": {"tests": [io("1", id="one"), io("2", id="two", visibility="result")]}}
    first = graded(school, body)["receipt"]
    again = graded(school, {**body, "regradeOf": first})
    assert again["regrade"]["flaky"] == again["regrade"]["differs"] == ["one", "two"]
    assert again["regrade"]["why"] == ["not deterministic"]
    assert [test["flaky"] for test in again["tests"]] == [True, True]
    learner = graded(school, {**body, "regradeOf": first}, "learner")
    assert learner["regrade"] == {"same": False, "differs": ["one"], "flaky": ["one"], "why": ["not deterministic"]}
    assert [test.get("flaky") for test in learner["tests"]] == [True, None]


def test_a_regrade_has_the_version_of_the_suite_that_the_receipt_is_of(school: School) -> None:
    def put(expected: str) -> str:
        stored = school.ask("PUT", "/api/suites/task", "grader", {"tests": [io(expected, visibility="hidden")]})
        version: str = stored.json()["version"]
        return version

    put("1")
    first = graded(school, {"code": "print(1)", "suiteId": "task"}, "learner")
    second = put("2")
    for named in ({}, {"suiteId": "task"}):
        again = graded(school, {"code": "print(1)", "regradeOf": first["receipt"], **named}, "learner")
        assert (again["verdict"], again["regrade"]["same"]) == ("passed", True)
    other = {"code": "print(1)", "regradeOf": first["receipt"], "suiteId": f"task@{second}"}
    again = graded(school, other, "grader")
    assert (again["verdict"], again["regrade"]["same"], again["regrade"]["why"]) == ("failed", False, ["suite changed"])


def test_a_suite_that_is_not_stored_here_is_said_to_be_missing_and_not_which(school: School) -> None:
    version = school.ask("PUT", "/api/suites/gone", "grader", SUITE).json()["version"]
    receipt = graded(school, {"code": DOUBLE, "suiteId": "gone"}, "learner")["receipt"]
    answer = school.ask("POST", "/api/grade", "teacher", {"code": DOUBLE, "regradeOf": receipt})  # it has other suites
    assert problem(answer, 404) == "The suite that the receipt is of, in that version, is not stored here."
    assert version not in answer.text
    inline = graded(school, {"code": DOUBLE, "suite": SUITE})["receipt"]
    answer = school.ask("POST", "/api/grade", "teacher", {"code": DOUBLE, "regradeOf": inline})
    assert problem(answer, 422) == "suite: The receipt is of a suite that was not stored: give the suite again"
    both = {"code": DOUBLE, "regradeOf": inline, "suite": SUITE, "suiteId": "gone"}
    assert "only one of suite and suiteId" in problem(school.ask("POST", "/api/grade", "teacher", both), 422)


def test_jobs_keep_the_receipts_and_regrade(school: School) -> None:
    def posted(request: dict[str, Any]) -> dict[str, Any]:
        job = school.ask("POST", "/api/jobs", "teacher", {"kind": "grade", "request": request}).json()["id"]
        result: dict[str, Any] = school.ask("GET", f"/api/jobs/{job}?wait=60", "teacher").json()["result"]
        return result

    school.ask("PUT", "/api/suites/later", "teacher", SUITE)
    body = {"code": DOUBLE, "suiteId": "later"}
    first = posted(body)
    claims = claims_of(school, first["receipt"])
    assert (claims["jti"], claims["engine"], len(claims["tests"])) == (first["id"], "native", 4)
    assert claims["suite"].startswith("later@")
    assert claims["env"]["digest"]
    again = posted({"code": DOUBLE, "regradeOf": first["receipt"]})
    assert again["regrade"]["same"] is True
    assert claims_of(school, again["receipt"])["prev"]
    # and what was a job is the same at once
    assert graded(school, {**body, "regradeOf": again["receipt"]})["regrade"] == again["regrade"]
    forged = {"kind": "grade", "request": {**body, "regradeOf": changed(first["receipt"], score=4)}}
    answer = school.ask("POST", "/api/jobs", "teacher", forged)
    assert problem(answer, 422) == "request.regradeOf: It was changed after it was signed"


def test_a_job_keeps_both_receipts(school: School) -> None:
    posted = {"kind": "grade", "request": {"code": DOUBLE, "suite": SUITE}}
    job = school.ask("POST", "/api/jobs", "teacher", posted, **{"X-Learner": "ada"}).json()["id"]
    full = school.ask("GET", f"/api/jobs/{job}?wait=60", "teacher").json()["result"]["receipt"]
    done = attempt(school.data, "token", "teacher", "--learner", "ada", "--scope", "jobs")
    school.keys["of teacher"] = done.stdout.strip().splitlines()[-1].removeprefix("token: ")
    answer = school.ask("GET", f"/api/jobs/{job}", "of teacher")
    claims = claims_of(school, answer.json()["result"]["receipt"])
    assert claims["full"] == digest_of(full)
    assert [len(claims["tests"]), len(claims_of(school, full)["tests"])] == [3, 4]
    assert claims["sub"] == claims_of(school, full)["sub"]
    assert "planted-secret" not in answer.text
    assert full not in answer.text


# ---- as others read it


def test_a_grade_as_gradescope_and_junit_read_it(school: School) -> None:
    body = {"code": DOUBLE, "suite": SUITE}
    answer = school.ask("POST", "/api/grade", "teacher", body, Accept=GRADESCOPE)
    assert answer.headers["content-type"] == GRADESCOPE
    told = answer.json()
    assert (told["score"], [test["visibility"] for test in told["tests"]]) == (2.0, ["visible"] * 3 + ["hidden"])
    answer = school.ask("POST", "/api/grade", "teacher", body, Accept=JUNIT)
    assert answer.headers["content-type"] == JUNIT
    root = ET.fromstring(answer.content)
    assert (root[0].get("tests"), root[0].get("failures")) == ("4", "2")


@pytest.mark.parametrize("media", [GRADESCOPE, JUNIT])
def test_learners_find_no_hidden_test_in_an_export(school: School, media: str) -> None:
    tests = [{**each, "id": f"planted-{number}"} for number, each in enumerate(SUITE["tests"])]
    suite = {"tests": [{**each, "id": "shown"} if each["visibility"] != "hidden" else each for each in tests[2:]]}
    answer = school.ask("POST", "/api/grade", "learner", {"code": DOUBLE, "suite": suite}, Accept=media)
    assert answer.status_code == 200
    assert "shown" in answer.text
    assert "planted" not in answer.text
    assert "planted-3" in school.ask("POST", "/api/grade", "teacher", {"code": DOUBLE, "suite": suite}).text


def test_another_form_of_an_answer_is_another_request(school: School) -> None:
    body = {"code": DOUBLE, "suite": SUITE}
    first = school.ask("POST", "/api/grade", "teacher", body, **{"Accept": JUNIT, "Idempotency-Key": "form"})
    again = school.ask("POST", "/api/grade", "teacher", body, **{"Accept": JUNIT, "Idempotency-Key": "form"})
    assert first.content == again.content
    assert again.headers["content-type"] == JUNIT
    problem(school.ask("POST", "/api/grade", "teacher", body, **{"Idempotency-Key": "form"}), 422)


# ---- without a place for a key


def test_without_a_directory_there_are_grades_and_no_receipts(client: httpx.Client) -> None:
    answer = client.post("/api/grade", json={"code": DOUBLE, "suite": SUITE}).json()
    assert (answer["verdict"], answer["receipt"]) == ("partial", None)
    keys = client.get(KEYS)
    assert (keys.json(), keys.headers["cache-control"]) == ({"keys": []}, "no-store")
    assert client.post("/api/receipts/verify", json={"receipt": token()}).json()["valid"] is False
    body = {"code": DOUBLE, "suite": SUITE, "regradeOf": token()}
    assert "another key" in problem(client.post("/api/grade", json=body), 422)


def test_a_run_makes_no_key(serve: Serve) -> None:
    with tempfile.TemporaryDirectory() as data:
        with serve("native", data=f"{data}/kept", rate_limit="off", **SETTINGS) as server:
            run = httpx.post(f"{server.url}/api/execute", json={"code": "print(1)"}, timeout=60)
            assert run.json()["output"] == "1\n"
            assert httpx.get(f"{server.url}{KEYS}").json() == {"keys": []}
        assert attempt(f"{data}/kept", "receipts", "keys").stdout.split() == ["{", '"keys":', "[]", "}"]
        assert attempt(data, "receipts", "verify", "/dev/null").returncode == 70
