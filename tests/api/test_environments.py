"""Environments over HTTP and on the command line: choosing one, listing them, and keys that may use only some."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from tests.api.conftest import events, execute, metrics, problem
from tests.api.test_keys import made
from tests.conftest import Serve, Server
from tests.venvs import make_venv

pytestmark = pytest.mark.timeout(300)  # it starts several processes

OTHER = "import abacus; print(abacus.VERSION)"
SMALL: dict[str, Any] = {"preload": "", "preload_always": "", "pool_size": 2, "pool_min": 1, "rate_limit": "off"}


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with an environment beside the default."""
    directory = tmp_path_factory.mktemp("environments")
    path = directory / "environments.toml"
    path.write_text(
        f'[environments.other]\npython = "{make_venv(directory / "venv", abacus="1.2")}"\ndescription = "Another"\n'
    )
    return str(path)


@pytest.fixture(scope="module", params=[1, 2], ids=["one-process", "workers"])
def running(request: pytest.FixtureRequest, serve: Serve, environments: str) -> Iterator[Server]:
    with serve("native", environments=environments, workers=request.param, **SMALL) as server:
        yield server


@pytest.fixture
def http(running: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, timeout=60) as client:
        yield client


# ---- choosing one


def test_a_request_chooses_its_environment_and_the_answer_says_so(http: httpx.Client) -> None:
    answer = execute(http, OTHER, environment="other")
    assert (answer["output"], answer["environment"]) == ("1.2\n", "other")
    assert "ModuleNotFoundError" in execute(http, OTHER)["error"]
    assert execute(http, "", environment="default")["environment"] == "default"


@pytest.mark.parametrize("more", [{}, {"environment": None}])
def test_an_answer_says_nothing_of_it_to_who_did_not_ask(http: httpx.Client, more: dict[str, Any]) -> None:
    assert "environment" not in execute(http, "", **more)
    check = http.post("/api/check", json={"code": "", **more}).json()
    assert set(check) == {"ok", "reason", "problems"}
    session = http.post("/api/sessions", json=more).json()
    assert "environment" not in session
    http.delete(f"/api/sessions/{session['id']}")


def test_a_stream_and_a_websocket_choose_too(http: httpx.Client, running: Server) -> None:
    body = {"code": OTHER, "environment": "other"}
    with http.stream("POST", "/api/execute", json=body, headers={"Accept": "text/event-stream"}) as response:
        result = dict(events(response.iter_lines()))["result"]
    assert (result["output"], result["environment"]) == ("1.2\n", "other")
    with connect(running.url.replace("http", "ws") + "/api/execute/ws", proxy=None) as socket:
        socket.send(json.dumps(body))
        told = [json.loads(message) for message in socket]
    assert "".join(each["data"] for each in told if each["type"] == "stdout") == "1.2\n"
    assert told[-1]["environment"] == "other"


def test_a_check_and_a_session_choose_too(http: httpx.Client) -> None:
    checked = http.post("/api/check", json={"code": "1", "environment": "other"}).json()
    assert checked == {"ok": True, "reason": None, "problems": [], "environment": "other"}
    key = {"Idempotency-Key": "one"}
    session = http.post("/api/sessions", json={"environment": "other"}, headers=key).json()
    assert session["environment"] == "other"
    address = f"/api/sessions/{session['id']}"
    cell = {"code": OTHER, "stdin": ""}
    assert http.post(f"{address}/cells", json=cell).json()["output"] == "1.2\n"
    assert http.post(f"{address}/restart").json()["environment"] == "other"
    assert http.post(f"{address}/cells", json=cell).json()["output"] == "1.2\n"
    assert http.get(address).json()["environment"] == "other"
    assert http.post("/api/sessions", json={"environment": "other"}, headers=key).json()["id"] == session["id"]
    assert "another" in problem(http.post("/api/sessions", json={}, headers=key), 409)
    http.delete(address)


@pytest.mark.parametrize("path", ["/api/execute", "/api/check", "/api/sessions"])
def test_an_unknown_name_is_refused_with_those_that_there_are(http: httpx.Client, path: str) -> None:
    body = {"environment": "third"} | ({} if path == "/api/sessions" else {"code": ""})
    answer = http.post(path, json=body)
    message = "There is no environment 'third' here, but default, other"
    assert problem(answer, 422) == f"environment: {message}"
    assert answer.json()["errors"] == [{"field": "environment", "message": message}]
    for wrong in ("", "x" * 65, 3):
        assert "environment: " in problem(http.post(path, json=body | {"environment": wrong}), 422)


def test_streams_refuse_an_unknown_name_before_they_begin(http: httpx.Client, running: Server) -> None:
    body = {"code": "", "environment": "third"}
    answer = http.post("/api/execute", json=body, headers={"Accept": "text/event-stream"})
    assert problem(answer, 422).startswith("environment: ")
    with connect(running.url.replace("http", "ws") + "/api/execute/ws", proxy=None) as socket:
        socket.send(json.dumps(body))
        assert [json.loads(message)["status"] for message in socket] == [422]


# ---- listing them


def test_the_list_says_what_is_installed_in_each(http: httpx.Client) -> None:
    default, other = http.get("/api/environments").json()
    assert set(default) == {"name", "python", "packages", "kinds", "digest", "default", "description"}
    version = execute(http, "import platform, numpy; print(platform.python_version(), numpy.__version__)")["output"]
    assert f"{default['python']} {default['packages']['numpy']}\n" == version
    assert other | {"digest": "", "python": ""} == {
        "name": "other",
        "python": "",
        "packages": {"abacus": "1.2"},
        "kinds": [{"name": "plain", "preload": []}],
        "digest": "",
        "default": False,
        "description": "Another",
    }
    assert default["digest"].startswith("sha256:")
    assert http.get("/api/environments").json() == [default, other]


def test_the_description_has_their_names_unless_a_key_is_needed_to_know_them(
    http: httpx.Client, keyed: tuple[Server, str, str]
) -> None:
    def described(answer: httpx.Response) -> object:
        asked = answer.json()["components"]["schemas"]["ExecuteRequest"]["properties"]["environment"]
        return asked["anyOf"][0].get("enum")

    assert described(http.get("/openapi.json")) == ["default", "other"]
    assert described(httpx.get(f"{keyed[0].url}/openapi.json")) is None


def test_a_server_without_others_lists_its_default(client: httpx.Client) -> None:
    (only,) = client.get("/api/environments").json()
    assert (only["name"], only["default"]) == ("default", True)
    assert "numpy" in only["packages"]
    answer = client.post("/api/execute", json={"code": "", "environment": "other"})
    assert problem(answer, 422).endswith("but default")


def test_metrics_tell_environments_apart(http: httpx.Client) -> None:
    name = 'code_executor_executions_total{environment="other",reason="completed",status="success"}'
    before = metrics(http)[name]
    execute(http, "", environment="other")
    after = metrics(http)
    assert after[name] == before + 1
    assert after['code_executor_ready{environment="other",kind="plain"}'] == 1
    assert 'code_executor_sandboxes{environment="default",kind="plain",state="idle"}' in after


# ---- keys


@pytest.fixture(scope="module")
def keyed(
    serve: Serve, environments: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, str, str]]:
    """A server, a key that may use one environment, and one that may only open sessions, anywhere."""
    data = tmp_path_factory.mktemp("data")
    one = made(data, "one", "--environment", "other")
    sessions = made(data, "sessions", "--scope", "session")
    with serve("native", environments=environments, data=data, **SMALL) as server:
        yield server, one, sessions


def test_a_key_uses_its_environments_alone(keyed: tuple[Server, str, str]) -> None:
    server, key, _ = keyed
    with httpx.Client(base_url=server.url, headers={"X-API-Key": key}, timeout=60) as http:
        assert execute(http, OTHER)["output"] == "1.2\n"  # it need not say so
        assert execute(http, OTHER, environment="other")["output"] == "1.2\n"
        for name in ("default", "third"):
            refused = http.post("/api/execute", json={"code": "", "environment": name})
            assert problem(refused, 403) == "This key may not use that environment, but other."
            assert problem(http.post("/api/sessions", json={"environment": name}), 403)
        assert [each["name"] for each in http.get("/api/environments").json()] == ["other"]


def test_whoever_has_a_key_may_list_them_and_nobody_else(keyed: tuple[Server, str, str]) -> None:
    server, _, sessions = keyed
    problem(httpx.get(f"{server.url}/api/environments"), 401)
    listed = httpx.get(f"{server.url}/api/environments", headers={"X-API-Key": sessions}, timeout=60).json()
    assert [each["name"] for each in listed] == ["default", "other"]


# ---- the command line


def cli(environments: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CODE_EXECUTOR_")}
    return subprocess.run(
        [sys.executable, "-m", "code_executor", *arguments],
        env=clean | {"CODE_EXECUTOR_ENVIRONMENTS": environments, "CODE_EXECUTOR_DATA": "/nonexistent"},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_run_and_check_choose_an_environment(environments: str) -> None:
    done = cli(environments, "run", "--engine", "native", "--environment", "other", "-", stdin=OTHER)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1.2\n", "")
    checked = cli(environments, "check", "--engine", "native", "--environment", "other", "--json", "-", stdin="1")
    assert json.loads(checked.stdout)["environment"] == "other"
    unknown = cli(environments, "run", "--engine", "native", "--environment", "third", "-")
    assert unknown.returncode != 0
    assert unknown.stderr == "code-executor: there is no environment 'third' here, but default, other\n"


def test_environments_are_listed_with_what_is_in_them(environments: str) -> None:
    done = cli(environments, "environments", "--engine", "native")
    assert done.returncode == 0, done.stderr
    assert "other: Python 3." in done.stdout
    assert "  Another\n  abacus 1.2\n" in done.stdout
    default, other = json.loads(cli(environments, "environments", "--engine", "native", "--json").stdout)
    assert (default["name"], default["default"], other["packages"]) == ("default", True, {"abacus": "1.2"})


def test_doctor_names_each_and_says_which_does_not_work(environments: str, tmp_path: Path) -> None:
    broken = tmp_path / "environments.toml"
    broken.write_text(Path(environments).read_text() + '[environments.broken]\npython = "/nonexistent/python"\n')
    done = cli(str(broken), "doctor", "--engine", "native")
    assert done.returncode == 1
    assert "environment other: Python 3." in done.stdout
    assert "environment broken: FAILS: cannot use /nonexistent/python as the sandbox's Python" in done.stdout
    told = json.loads(cli(str(broken), "doctor", "--engine", "native", "--json").stdout)
    assert told["ok"] is False
    assert [each["name"] for each in told["environments"]] == ["other", "broken"]


def test_a_bad_file_stops_the_server_with_one_line(tmp_path: Path) -> None:
    bad = tmp_path / "environments.toml"
    bad.write_text("[environments.x]\nimmage = 'x'\n")
    done = cli(str(bad), "serve", "--engine", "native", "--port", "0")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f"code-executor: CODE_EXECUTOR_ENVIRONMENTS: {bad}: environments.x.immage: Extra inputs are not permitted"
    )
