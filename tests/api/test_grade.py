"""Grading over HTTP: what is answered, what is streamed, who sees what, and which suites there are."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.conftest import problem, raw_events
from tests.api.test_keys import SETTINGS, attempt, made
from tests.conftest import Serve, Server
from tests.unit.grading.made import call, io, units

DOUBLE = "print(int(input()) * 2)"
SUITE: dict[str, Any] = {
    "tests": [
        io("42\n", stdin="21\n", name="the answer"),
        io("planted-answer", stdin="3\n", visibility="input"),
        io("8", stdin="4\n", visibility="result"),
        io("planted-secret", stdin="5\n", visibility="hidden"),
    ]
}


def grade(client: httpx.Client, code: str, suite: dict[str, Any], **more: Any) -> dict[str, Any]:
    response = client.post("/api/grade", json={"code": code, "suite": suite}, **more)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_a_program_is_graded(client: httpx.Client) -> None:
    answer = grade(client, DOUBLE, SUITE)
    assert (answer["verdict"], answer["score"], answer["max"]) == ("partial", 2, 4)
    assert [test["verdict"] for test in answer["tests"]] == ["passed", "wrong_answer", "passed", "wrong_answer"]
    wrong = answer["tests"][1]
    assert wrong["diff"] == {"line": 1, "expected": "planted-answer", "got": "6"}
    assert (wrong["reason"], wrong["stdout"], wrong["input"]["stdin"]) == ("completed", "6\n", "3\n")
    assert answer["usage"]["runs"] == 5
    assert answer["problems"] == []


def test_functions_are_graded(client: httpx.Client) -> None:
    code = "def pair(x):\n    return x, x\n"
    answer = grade(client, code, {"tests": [call("pair", args=[1], expected={"$tuple": [1, 1]})]})
    assert answer["verdict"] == "passed"
    assert answer["tests"][0]["got"] == "(1, 1)"


UNIT = """
import unittest, solution
class Tests(unittest.TestCase):
    def test_right(self):
        self.assertEqual(solution.double(1), 2)
    def test_wrong(self):
        self.assertEqual(solution.double(2), 5, "planted-answer")
"""
TRUSTED: dict[str, Any] = {
    "tests": [
        io("42\n", stdin="21\n", checker={"type": "program", "code": "def check(i, o, a): return o == a, 'as it is'"}),
        {
            "kind": "interactive",
            "interactor": "def interact(x):\n    print(x)\n    return input() == '14'",
            "input": "7",
        },
        units("unittest", UNIT, weights={"*right": 3}, weight=4),
    ]
}


def test_code_of_the_suite_decides(client: httpx.Client) -> None:
    code = "def double(x): return x * 2\nif __name__ == '__main__': print(double(int(input())))\n"
    answer = grade(client, code, TRUSTED)
    assert [test["verdict"] for test in answer["tests"]] == ["passed", "passed", "wrong_answer"], answer
    assert (answer["score"], answer["max"]) == (5, 6)
    checked, _, unit = answer["tests"]
    assert checked["message"] == "as it is"
    assert [(case["id"].rpartition(".")[2], case["verdict"], case["weight"]) for case in unit["cases"]] == [
        ("test_right", "passed", 3),
        ("test_wrong", "wrong_answer", 1),
    ]
    assert "planted-answer" in unit["cases"][1]["message"]


def test_processes_that_answer_have_the_suites_code_run_where_the_sandboxes_are(serve: Serve) -> None:
    code = "def double(x): return x * 2\nif __name__ == '__main__': print(double(int(input())))\n"
    with (
        serve("native", workers=2, preload="", rate_limit="off") as server,
        httpx.Client(base_url=server.url, timeout=60) as http,
    ):
        for _ in range(4):
            answer = grade(http, code, TRUSTED)
            assert [test["verdict"] for test in answer["tests"]] == ["passed", "passed", "wrong_answer"], answer
            assert len(answer["tests"][2]["cases"]) == 2


def test_a_broken_checker_is_told_and_leaves_no_score(client: httpx.Client) -> None:
    checker = {"type": "program", "code": "def check(i, o, a): return 1 / 0"}
    answer = grade(client, DOUBLE, {"tests": [io("42", stdin="21", checker=checker)]})
    assert (answer["verdict"], answer["score"]) == ("error", None)
    assert (answer["tests"][0]["message"], answer["tests"][0]["verdict"]) == ("the checker failed", "checker_error")
    assert "ZeroDivisionError" in answer["tests"][0]["detail"]


def test_runs_are_held_to_limits_and_have_their_environment(client: httpx.Client) -> None:
    code = "x = bytearray(100 << 20)\nprint(len(x))"
    made = {"tests": [io(str(100 << 20))]}
    assert grade(client, code, made)["verdict"] == "passed"
    asked = {"code": code, "suite": made, "limits": {"memory": 64 << 20}, "environment": "default"}
    answer = client.post("/api/grade", json=asked).json()
    assert (answer["tests"][0]["verdict"], answer["tests"][0]["reason"]) == ("memory_limit", "memory_limit")
    for wrong, status in (
        ({"environment": "nowhere"}, 422),
        ({"limits": {"memory": 1}}, 422),
        ({"trusted": True}, 422),
    ):
        problem(client.post("/api/grade", json=asked | wrong), status)
    problem(client.post("/api/execute", json={"code": "1", "trusted": True}), 422)
    held = {"tests": [io(str(100 << 20)), io(str(100 << 20), limits={"memory": 64 << 20})]}
    assert [test["verdict"] for test in grade(client, code, held)["tests"]] == ["passed", "memory_limit"]
    held["tests"][1]["limits"] = {"memory": 1 << 50}
    assert "suite.tests.1.limits.memory" in problem(client.post("/api/grade", json={"code": code, "suite": held}), 422)


def test_what_the_policy_refuses_is_a_grade(client: httpx.Client) -> None:
    answer = grade(client, "import os\nprint(42)", SUITE)
    assert (answer["verdict"], answer["score"]) == ("failed", 0)
    assert answer["problems"][0]["line"] == 1
    assert {test["reason"] for test in answer["tests"]} == {"policy"}


def test_the_same_as_events(client: httpx.Client) -> None:
    body = {"code": DOUBLE, "suite": SUITE}
    with client.stream("POST", "/api/grade", json=body, headers={"Accept": "text/event-stream"}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = list(raw_events(response.iter_lines()))
    assert [name for name, _ in events] == ["test"] * 4 + ["grade"]
    whole = grade(client, DOUBLE, SUITE)
    assert [data["verdict"] for _, data in events[:4]] == [test["verdict"] for test in whole["tests"]]
    assert set(events[-1][1]) == set(whole) - {"tests"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"code": "1"}, ""),
        ({"code": "1", "suite": SUITE, "suiteId": "x"}, ""),
        ({"code": "1", "suiteId": "../x"}, "suiteId"),
        ({"code": "1", "suite": {"tests": []}}, "suite.tests"),
        ({"code": "1", "suite": {"tests": [io("(", checker={"type": "regex"})]}}, "suite.tests.0.expected"),
        ({"code": "1", "suite": {"tests": [io("x", timeout=1e6)]}}, "suite.tests.0.timeout"),
        ({"code": "1", "suite": {"tests": [io("x", secret=1)]}}, "suite.tests.0.io.secret"),
        ({"code": "1", "suite": {"tests": [call(args=[{"$pickle": "x"}])]}}, "suite.tests.0.args"),
        ({"code": "1", "suite": SUITE, "files": [{"path": "main.py", "content": ""}]}, "files.0.path"),
    ],
)
def test_what_is_wrong_with_a_request_is_named(client: httpx.Client, body: dict[str, Any], field: str) -> None:
    response = client.post("/api/grade", json=body)
    problem(response, 422)
    assert response.json()["errors"][0]["field"] == field


def test_files_in_each_others_way_are_refused(client: httpx.Client) -> None:
    suite = {"tests": [io("x")], "files": [{"path": "a/b", "content": ""}]}
    files = [{"path": "a", "content": ""}]
    response = client.post("/api/grade", json={"code": "1", "suite": suite, "files": files})
    assert "the test 1 cannot be run with these files" in problem(response, 422).lower()


def test_a_body_with_too_many_values_is_refused(client: httpx.Client) -> None:
    response = client.post("/api/grade", json={"code": "1", "suite": {"tests": [call(args=[[0] * 60_000])]}})
    assert problem(response, 422) == "The body has more than 50000 values."


def test_commas_in_what_a_test_reads_are_no_values(client: httpx.Client) -> None:
    table = "1,2,3\n" * 30_000
    answer = grade(client, "print(len(input()))", {"tests": [io("5", stdin=table)]})
    assert answer["verdict"] == "passed"


# ---- with keys


class School:
    def __init__(self, server: Server, data: str, keys: dict[str, str]) -> None:
        self.server, self.data, self.keys = server, data, keys
        done = attempt(data, "token", "grader", "--learner", "ada", "--scope", "grade")
        assert done.returncode == 0, done.stderr
        self.keys["learner"] = done.stdout.strip().splitlines()[-1].removeprefix("token: ")

    def ask(self, method: str, path: str, key: str, body: object = None, **headers: str) -> httpx.Response:
        sent = {"Authorization": f"Bearer {self.keys[key]}", **headers}
        return httpx.request(method, f"{self.server.url}{path}", json=body, headers=sent, timeout=60)


@pytest.fixture(scope="module")
def school(serve: Serve) -> Iterator[School]:
    with tempfile.TemporaryDirectory() as data:
        keys = {
            "grader": made(data, "grader", "--scope", "run,grade,suites"),
            "teacher": made(data, "teacher", "--scope", "grade,grade:full,suites"),
            "runner": made(data, "runner", "--scope", "run"),
        }
        with serve("native", data=data, rate_limit="off", **SETTINGS) as server:
            yield School(server, data, keys)


def test_scopes_are_needed(school: School) -> None:
    body = {"code": "1", "suite": SUITE}
    assert problem(school.ask("POST", "/api/grade", "runner", body), 403).endswith("scope grade.")
    assert problem(school.ask("PUT", "/api/suites/x", "runner", SUITE), 403).endswith("scope suites.")
    assert problem(school.ask("GET", "/api/suites/x", "learner"), 403).endswith("scope suites.")
    assert problem(school.ask("PUT", "/api/suites/x", "learner", SUITE), 403).endswith("scope suites.")


def test_a_learner_is_graded_without_holding_the_tests(school: School) -> None:
    stored = school.ask("PUT", "/api/suites/week-1", "grader", SUITE)
    assert stored.status_code == 201
    assert stored.json()["tests"] == 4
    response = school.ask("POST", "/api/grade", "learner", {"code": DOUBLE, "suiteId": "week-1"})
    assert response.status_code == 200, response.text
    assert "planted" not in response.text
    answer = response.json()
    assert (answer["score"], answer["max"], answer["usage"]) == (2, 4, None)
    assert [test["verdict"] for test in answer["tests"]] == ["passed", "wrong_answer", "passed"]
    assert answer["tests"][1]["stdout"] == "6\n"
    assert set(answer["tests"][2]) == {"id", "name", "group", "verdict", "score", "max"}
    events = school.ask(
        "POST", "/api/grade", "learner", {"code": DOUBLE, "suiteId": "week-1"}, Accept="text/event-stream"
    )
    assert events.text.count("event: test") == 3
    assert "planted" not in events.text


def test_a_key_without_the_scope_for_everything_sees_what_a_learner_does(school: School) -> None:
    body = {"code": DOUBLE, "suite": SUITE}
    assert "planted" not in school.ask("POST", "/api/grade", "grader", body).text
    assert "planted-secret" in school.ask("POST", "/api/grade", "teacher", body).text


def test_suites_are_of_their_key(school: School) -> None:
    body = {"code": DOUBLE, "suiteId": "mine"}
    assert school.ask("PUT", "/api/suites/mine", "grader", SUITE).status_code in (200, 201)
    problem(school.ask("POST", "/api/grade", "teacher", body), 404)
    problem(school.ask("GET", "/api/suites/mine", "teacher"), 404)


def test_versions_stay(school: School) -> None:
    one = school.ask("PUT", "/api/suites/task", "teacher", {"tests": [io("1")]}).json()
    two = school.ask("PUT", "/api/suites/task", "teacher", {"tests": [io("2")]}).json()
    assert one["version"] != two["version"]
    again = school.ask("PUT", "/api/suites/task", "teacher", json.loads(json.dumps({"tests": [io("2", id="1")]})))
    assert (again.status_code, again.json()) == (200, two)
    for reference, verdict in (("task", "failed"), (f"task@{one['version']}", "passed")):
        body = {"code": "print(1)", "suiteId": reference}
        assert school.ask("POST", "/api/grade", "teacher", body).json()["verdict"] == verdict
    whole = school.ask("GET", f"/api/suites/task@{one['version']}", "teacher").json()
    assert whole["suite"]["tests"][0]["expected"] == "1"
    assert school.ask("PUT", "/api/suites/task", "teacher", whole["suite"]).json() == one
    assert school.ask("GET", "/api/suites/task", "teacher").json()["version"] == one["version"]
    problem(school.ask("GET", f"/api/suites/task@{'0' * 64}", "teacher"), 404)
    problem(school.ask("GET", "/api/suites/a%20b", "teacher"), 422)


def test_a_suite_that_is_asked_for_makes_no_database(serve: Serve, tmp_path: Path) -> None:
    with serve("native", data=tmp_path / "none", rate_limit="off", **SETTINGS) as server:
        url = f"{server.url}/api"
        problem(httpx.post(f"{url}/grade", json={"code": "1", "suiteId": "x"}, timeout=60), 404)
        problem(httpx.get(f"{url}/suites/x", timeout=60), 404)
        assert not (tmp_path / "none").exists()
        assert httpx.put(f"{url}/suites/x", json=SUITE, timeout=60).status_code == 201
        answer = httpx.post(f"{url}/grade", json={"code": DOUBLE, "suiteId": "x"}, timeout=60).json()
        assert answer["score"] == 2
    with serve("native", data=tmp_path / "none", rate_limit="off", workers=2, **SETTINGS) as server:
        answer = httpx.post(f"{server.url}/api/grade", json={"code": DOUBLE, "suiteId": "x"}, timeout=60).json()
        assert (answer["score"], len(answer["tests"])) == (2, 4)
