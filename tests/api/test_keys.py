"""Keys over HTTP: what each may do, on every route and on WebSockets, and how soon that changes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastapi_offline
import httpx
import pytest
from fastapi import FastAPI
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from code_executor.accounts.keys import Scope
from code_executor.api import scopes
from tests.api.conftest import problem
from tests.census import eventually
from tests.conftest import Serve, Server

pytestmark = pytest.mark.timeout(300)  # it starts many processes, one after another

PROGRAM = {"code": "print(1)"}
SETTINGS: dict[str, object] = {"preload": "", "preload_always": "", "pool_size": 2, "pool_min": 1}
SOON = 10.0
"""Seconds; it takes two, and this machine may be busy."""


def keys(data: Path | str, *arguments: str, **settings: str) -> str:
    """Run ``code-executor keys``; return what it printed."""
    done = attempt(data, "keys", *arguments, **settings)
    assert done.returncode == 0, done.stderr
    return done.stdout


def attempt(data: Path | str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CODE_EXECUTOR_")}
    given = {f"CODE_EXECUTOR_{name.upper()}": value for name, value in settings.items()}
    return subprocess.run(
        [sys.executable, "-m", "code_executor", *arguments],
        env=clean | {"CODE_EXECUTOR_DATA": str(data)} | given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def made(data: Path | str, name: str, *arguments: str) -> str:
    """Make a key; return it."""
    found = re.search(r"^key: (ce_\w+)$", keys(data, "add", "--name", name, *arguments), re.MULTILINE)
    assert found
    return found[1]


class School:
    """A server with a key for each of several purposes."""

    def __init__(self, server: Server, data: str, **named: str) -> None:
        self.server, self.data, self.keys = server, data, named

    def post(self, path: str = "/api/execute", *, key: str = "", **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.keys.get(key, key)}"} if key else {}
        headers |= more.pop("headers", {})
        return httpx.post(f"{self.server.url}{path}", json=PROGRAM, headers=headers, timeout=60, **more)

    def get(self, path: str, *, key: str = "", headers: dict[str, str] | None = None) -> httpx.Response:
        sent = {"Authorization": f"Bearer {self.keys.get(key, key)}"} if key else {}
        return httpx.get(f"{self.server.url}{path}", headers=sent | (headers or {}), timeout=60)


@pytest.fixture(scope="module")
def school(serve: Serve) -> Iterator[School]:
    with tempfile.TemporaryDirectory() as data:
        named = {
            "usual": made(data, "usual"),
            "checks": made(data, "checks", "--scope", "check"),
            "metrics": made(data, "metrics", "--scope", "metrics"),
            "rated": made(data, "rated", "--rate", "2/hour"),
            "short": made(data, "short", "--wall-time", "2"),
            "small": made(data, "small", "--memory", "64m", "--output", "4k", "--processes", "2", "--disk", "1m"),
            "page": made(data, "page", "--origin", "https://course.example.org"),
        }
        with serve("native", data=data, rate_limit="1/hour", **SETTINGS) as server:
            yield School(server, data, **named)


# ---- without a key


def test_without_a_key_nothing_runs(school: School) -> None:
    for path in ("/api/execute", "/api/check", "/api/sessions", "/api/sessions/x/cells", "/api/nowhere"):
        response = school.post(path)
        assert problem(response, 401) == "This needs a key: send it as `Authorization: Bearer`."
        assert response.headers["www-authenticate"] == "Bearer"
    assert school.get("/metrics").status_code == 401
    assert school.get("/api/sessions").status_code == 401


def test_pages_descriptions_and_probes_need_none(school: School) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json", "/docs"):
        assert school.get(path).status_code == 200
    assert school.get("/").status_code in (200, 404)  # where the page is not built


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer x"},
        {"Authorization": "Bearer ce_aaaaaaaa_" + "0" * 49},
        {"Authorization": "Bearer " + "x" * 20_000},
        {"X-API-Key": "ce_"},
        {"X-API-Key": "null"},
        {"Authorization": "bearer \u00fcber".encode()},
    ],
)
def test_what_is_no_key_is_refused_and_nobody_is_told_why(school: School, headers: dict[str, Any]) -> None:
    response = httpx.post(f"{school.server.url}/api/execute", json=PROGRAM, headers=headers)
    assert problem(response, 401) == "The key or token is not valid."


def test_a_key_counts_in_a_header_alone(school: School) -> None:
    key = school.keys["usual"]
    assert school.post(params={"key": key, "api_key": key, "access_token": key}).status_code == 401
    assert school.post(headers={"Authorization": f"Basic {key}"}).status_code == 401
    assert school.post(headers={"Cookie": f"Authorization=Bearer {key}"}).status_code == 401
    assert school.post(headers={"X-API-Key": key}).status_code == 200
    assert school.post(headers={"authorization": f"BEARER   {key}"}).status_code == 200
    assert school.post(headers={"Authorization": "Basic bWU6bWU=", "X-API-Key": key}).status_code == 200  # a proxy's


@pytest.mark.parametrize("second", ["X-API-Key", "Authorization"])
def test_two_keys_in_a_request_are_none(school: School, second: str) -> None:
    """Or what a proxy in front looked at would be another one than what counts here."""
    key = school.keys["usual"]
    sent = [("Authorization", f"Bearer {key}"), (second, key if second == "X-API-Key" else f"Bearer {key}")]
    response = httpx.post(f"{school.server.url}/api/execute", json=PROGRAM, headers=sent)
    assert problem(response, 401) == "A request must have one key or token."


# ---- scopes


def test_a_key_may_do_what_its_scopes_say_and_nothing_else(school: School) -> None:
    assert school.post(key="usual").status_code == 200
    assert school.post("/api/check", key="checks").status_code == 200
    assert school.get("/metrics", key="metrics").status_code == 200
    for path, key, scope in (("/api/execute", "checks", "run"), ("/api/sessions", "metrics", "session")):
        response = school.post(path, key=key)
        assert problem(response, 403) == f"This needs a key with the scope {scope}."
        assert response.json()["scope"] == scope
    assert school.get("/metrics", key="usual").json()["scope"] == "metrics"
    assert school.post("/api/nowhere", key="usual").status_code == 404


def test_every_route_has_a_scope_or_is_for_anybody() -> None:
    """A route that nobody thought of would need a key, and no scope."""
    found: list[FastAPI] = []
    original = fastapi_offline.FastAPIOffline

    def spy(**named: Any) -> FastAPI:
        found.append(original(**named))
        return found[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("code_executor.api.app.FastAPIOffline", spy)
        _app_of_nothing()
    paths = {*found[0].openapi()["paths"], "/api/execute/ws"}
    assert {"/api/execute", "/api/execute/ws", "/api/check", "/api/sessions/{session}/cells", "/healthz"} <= paths
    for path in paths:
        needed = scopes.needed(re.sub(r"\{[^}]*\}", "x", path))
        is_for_keys = isinstance(needed, Scope) or needed == scopes.ANY_KEY
        assert is_for_keys == (path.startswith("/api/") or path == "/metrics"), path


def _app_of_nothing() -> None:
    from code_executor.api.app import create_app
    from code_executor.api.hosts import HostNames
    from code_executor.core.limits import Limits, RequestLimits
    from code_executor.service.ports import Service

    class Nothing:
        limits = Limits()

        def __getattr__(self, name: str) -> Any:
            return None

    nothing: Any = Nothing()
    create_app(Service(nothing, nothing, nothing, nothing, nothing), RequestLimits(), "0", HostNames("localhost"))


@pytest.mark.parametrize("path", ["//api/execute", "/api//execute", "/api/execute/", "/API/execute", "/api/%65xecute"])
def test_no_other_spelling_of_a_path_gets_past(school: School, path: str) -> None:
    assert school.post(path).status_code in (401, 404, 405)


# ---- WebSockets


def test_a_websocket_needs_a_key_before_it_is_opened(school: School) -> None:
    address = school.server.url.replace("http", "ws") + "/api/execute/ws"
    for headers, status in (({}, 401), ({"Authorization": f"Bearer {school.keys['checks']}"}, 403)):
        with pytest.raises(InvalidStatus) as caught:
            connect(address, additional_headers=headers, proxy=None)
        assert caught.value.response.status_code == status
    with connect(address, additional_headers={"X-API-Key": school.keys["usual"]}, proxy=None) as socket:
        socket.send('{"code": "print(1)"}')
        assert '"started"' in str(socket.recv())


# ---- limits


def test_the_rate_of_a_key_is_its_own_and_the_address_has_none(school: School) -> None:
    answers = [school.post(key="rated") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["ratelimit-policy"] == '2;w=3600;name="key"'
    assert "for this key" in problem(answers[2], 429)
    assert all(school.post(key="usual").status_code == 200 for _ in range(3))  # CODE_EXECUTOR_RATE_LIMIT is 1/hour


def test_a_run_may_take_no_longer_than_its_key_allows(school: School) -> None:
    for _ in range(1):
        answer = httpx.post(
            f"{school.server.url}/api/execute",
            json={"code": "while True: pass"},
            headers={"X-API-Key": school.keys["short"]},
            timeout=60,
        ).json()
        assert answer["reason"] == "wall_time"
        assert answer["executionTime"] < 4000
    headers = {"X-API-Key": school.keys["short"]}
    asked = httpx.post(f"{school.server.url}/api/execute", json={"code": "", "timeout": 3}, headers=headers)
    assert problem(asked, 422) == "timeout: Input should be less than or equal to 2"


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        ("bytearray(80 << 20)", ("memory_limit", "")),
        ("print('x' * 5000)", ("output_limit", "x" * 4096)),
        (
            "import threading, time\nfor _ in range(20):\n    threading.Thread(target=time.sleep, args=(1,)).start()",
            ("process_limit", ""),
        ),
        ("print(1)", ("completed", "1\n")),
    ],
)
def test_a_run_may_use_no_more_than_its_key_allows(school: School, code: str, seen: tuple[str, str]) -> None:
    headers = {"X-API-Key": school.keys["small"]}
    answer = httpx.post(f"{school.server.url}/api/execute", json={"code": code}, headers=headers, timeout=60).json()
    assert (answer["reason"], answer["output"]) == seen
    assert "limits" not in answer  # which nobody asked for


def test_what_cannot_be_held_to_the_limits_of_a_key_is_refused(school: School) -> None:
    headers = {"X-API-Key": school.keys["small"]}
    refused = httpx.post(f"{school.server.url}/api/sessions", json={}, headers=headers)
    assert problem(refused, 403).startswith("This key is held to limits of memory, processes or disk")
    assert school.get("/api/sessions", key="small").json() == {"sessions": []}
    check = httpx.post(f"{school.server.url}/api/check", json={"code": "x ="}, headers=headers, timeout=60).json()
    assert (check["ok"], check["problems"][0]["line"]) == (False, 1)


def test_a_request_asks_for_no_more_than_its_key_allows(school: School) -> None:
    headers = {"X-API-Key": school.keys["small"]}
    for name, value in (("memory", 65 << 20), ("output", 5000), ("processes", 3), ("disk", 2 << 20)):
        body = {"code": "print(1)", "limits": {name: value}}
        asked = httpx.post(f"{school.server.url}/api/execute", json=body, headers=headers)
        assert problem(asked, 422).startswith(f"limits.{name}: It may be at most ")
    body = {"code": "bytearray(60 << 20)", "limits": {"memory": 52 << 20}}
    answer = httpx.post(f"{school.server.url}/api/execute", json=body, headers=headers, timeout=60).json()
    assert (answer["reason"], answer["limits"]["memory"], answer["limits"]["disk"]) == (
        "memory_limit",
        52 << 20,
        1 << 20,
    )


# ---- pages


def test_pages_of_a_keys_origins_may_use_it_and_read_refusals(school: School) -> None:
    url, origin = f"{school.server.url}/api/execute", "https://course.example.org"
    asking = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    asked = httpx.options(url, headers=asking | {"Access-Control-Request-Headers": "authorization,content-type"})
    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, origin)
    assert school.post(key="page", headers={"Origin": origin}).headers["access-control-allow-origin"] == origin
    refused = school.post(headers={"Origin": origin})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, origin)


def test_pages_of_other_origins_may_not(school: School) -> None:
    answer = school.post(key="page", headers={"Origin": "https://other.example.org"})
    assert problem(answer, 403) == "Pages of this origin may not use this key."
    assert "access-control-allow-origin" not in answer.headers
    assert school.post(key="page", headers={"Origin": school.server.url}).status_code == 200  # its own page


# ---- what changes


def test_a_server_closes_with_the_first_key_and_knows_of_changes_within_seconds(serve: Serve, tmp_path: Path) -> None:
    """Two processes answer, and a third one makes the changes."""
    data = tmp_path / "kept"
    with serve("native", "--workers", "2", data=data, rate_limit="off", **SETTINGS) as server:
        school = School(server, str(data))

        def answers(key: str) -> set[int]:
            return {school.post(key=key).status_code for _ in range(8)}

        assert answers("") == {200}
        key = made(data, "first")
        assert eventually(lambda: answers("") == {401}, SOON)
        assert eventually(lambda: answers(key) == {200}, SOON)
        rotated = re.findall(r"ce_\w+", keys(data, "rotate", "first", "--grace", "0m"))[0]
        assert eventually(lambda: answers(key) == {401}, SOON)
        assert eventually(lambda: answers(rotated) == {200}, SOON)  # by the other process too
        keys(data, "revoke", "first")
        assert eventually(lambda: answers(rotated) == {401}, SOON)
        assert [row.split()[2] for row in keys(data, "list").splitlines()] == ["revoked"]
    logged = str(server.log)
    assert rotated not in logged
    assert f"ce_{rotated[3:11]}" in logged


def test_seconds_of_a_day_are_used_up_and_outlive_the_server(serve: Serve, tmp_path: Path) -> None:
    data = tmp_path / "kept"
    key = made(data, "little", "--seconds-per-day", "1")
    for first in (True, False):
        with serve("native", data=data, rate_limit="off", **SETTINGS) as server:
            school = School(server, str(data))
            if first:
                assert school.post(key=key).headers["ratelimit-policy"] == '1;w=86400;name="seconds"'
                busy = {"code": "import time; time.sleep(1.2)"}
                httpx.post(f"{server.url}/api/execute", json=busy, headers={"X-API-Key": key}, timeout=60)
            else:  # it looks at the database when it starts
                eventually(lambda: httpx.get(f"{server.url}/readyz").status_code == 200, SOON)
            refused = school.post(key=key)
            assert "has used its 1 seconds of sandboxes for today" in problem(refused, 429)
            assert int(refused.headers["retry-after"]) > 0


def test_keys_of_a_file_need_no_database(serve: Serve, tmp_path: Path) -> None:
    data, file = tmp_path / "kept", tmp_path / "keys.toml"
    done = attempt(data, "keys", "add", "--name", "git", "--toml", "--scope", "run")
    key = re.findall(r"ce_\w+", done.stderr)[0]
    file.write_text(done.stdout)
    assert key not in done.stdout
    assert not (data / "code-executor.db").exists()
    with serve("native", data=data, keys=file, **SETTINGS) as server:
        school = School(server, str(data))
        assert school.post().status_code == 401
        assert school.post(key=key).status_code == 200
        file.write_text(done.stdout + "revoked = true\n")
        assert eventually(lambda: school.post(key=key).status_code == 401, SOON)
        file.write_text("nonsense [")
        time.sleep(3)
        assert school.post().status_code == 401


# ---- what does not start


def refused_start(data: Path, **settings: str) -> str:
    done = attempt(data, "serve", "--engine", "native", "--port", "0", **settings)
    assert done.returncode == 2, done.stderr
    return done.stderr.splitlines()[-1]


def test_a_server_that_needs_a_key_and_has_none_does_not_listen_to_the_world(tmp_path: Path) -> None:
    said = refused_start(tmp_path, host="0.0.0.0", require_key="true")
    assert said.startswith(
        "code-executor: CODE_EXECUTOR_REQUIRE_KEY is set, and no key is configured: whoever can reach"
    )


def test_a_server_says_when_it_is_open_to_the_world(serve: Serve) -> None:
    with serve("native", host="0.0.0.0", **SETTINGS) as server:
        assert [line["level"] for line in server.log if line["event"] == "open_to_the_network"] == ["warning"]
    with serve("native", require_key="true", **SETTINGS) as server:
        assert not [line for line in server.log if line["event"] == "open_to_the_network"]


def test_keys_of_another_server_secret_are_refused_at_the_start(tmp_path: Path) -> None:
    made(tmp_path, "moved")
    (tmp_path / "secret").unlink()
    assert "moved was made with another server secret than" in refused_start(tmp_path)
    assert "No such file" in refused_start(tmp_path / "b", keys="/nowhere/keys.toml")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("add", "--name", "a b"), "a name has up to 64"),
        (("add", "--name", "a", "--scope", "everything"), "there is no scope 'everything'"),
        (("add", "--name", "a", "--rate", "many"), "rate: not a rate"),
        (("revoke", "nobody"), "there is no key nobody"),
        (("rotate", "nobody"), "there is no key nobody"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(tmp_path: Path, arguments: tuple[str, ...], why: str) -> None:
    done = attempt(tmp_path, "keys", *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (70, 1)
    assert why in done.stderr


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    made(tmp_path, "same")
    assert "there is a key with the name same already" in attempt(tmp_path, "keys", "add", "--name", "same").stderr
