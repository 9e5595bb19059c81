"""Webhooks over HTTP: a job names an address, and a real receiver there is told of its end, signed."""

from __future__ import annotations

import json
import re
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from tests.api.conftest import problem
from tests.api.test_keys import attempt, keys, made
from tests.census import eventually
from tests.conftest import Serve

pytestmark = pytest.mark.timeout(300)

SOON = 20.0
SETTINGS: dict[str, object] = {"preload": "", "preload_always": "", "pool_size": 2, "pool_min": 1, "rate_limit": "off"}
SCOPES = [each for name in ("run", "check", "jobs", "learner:any") for each in ("--scope", name)]
SLEEP = "import time\ntime.sleep(60)"


class Receiver:
    """Keeps what arrives; answers with ``status``."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # the library's name
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def of(self, job: str) -> list[tuple[dict[str, str], bytes]]:
        return [each for each in self.got if json.loads(each[1])["data"]["id"] == job]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


class School:
    """A server of two processes that answer, and one that runs jobs; with keys."""

    def __init__(self, url: str, data: str, key: str, other: str) -> None:
        self.url, self.data, self.key, self.other = url, data, key, other

    def ask(self, method: str, path: str, key: str | None = None, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key if key is None else key}", **more.pop("headers", {})}
        return httpx.request(method, f"{self.url}{path}", headers=headers, timeout=60, **more)

    def post(self, code: str, url: str, **more: Any) -> str:
        response = self.ask("POST", "/api/jobs", json=job(code, url, **more))
        assert response.status_code == 202, response.text
        name: str = response.json()["id"]
        return name

    def show(self, name: str) -> dict[str, Any]:
        response = self.ask("GET", f"/api/jobs/{name}?wait=30")
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def told(self, name: str) -> dict[str, Any]:
        """Return how a job stands, once its webhook has come to an end."""
        assert eventually(lambda: (self.show(name)["webhook"] or {}).get("state") not in (None, "pending"), SOON), (
            self.show(name)["webhook"]
        )
        return self.show(name)


def job(code: str, url: str, **more: Any) -> dict[str, Any]:
    return {"kind": "execute", "request": {"code": code}, "callbackUrl": url, **more}


@pytest.fixture(scope="module")
def school(serve: Serve) -> Iterator[School]:
    settings = {**SETTINGS, "webhook_allow": "127.0.0.1", "webhook_retries": "0.2,0.2"}
    with tempfile.TemporaryDirectory() as data:
        known = made(data, "moodle", *SCOPES), made(data, "other", *SCOPES)
        with serve("native", "--workers", "2", data=data, **settings) as server:
            yield School(server.url, data, *known)


def test_the_end_of_a_job_is_told_signed_and_as_it_is_shown(school: School, receiver: Receiver) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    response = school.ask("POST", "/api/jobs", json=job("print('grüße')", receiver.url), headers={"traceparent": trace})
    name = response.json()["id"]
    shown = school.told(name)
    ((headers, body),) = receiver.of(name)
    secret = re.findall(r"whsec_\S+", keys(school.data, "webhook-secret", "moodle"))[0]
    said = Webhook(secret).verify(body, headers)
    assert said["type"] == "job.done"
    webhook = shown.pop("webhook")
    assert said["data"] == shown
    assert shown["result"]["output"] == "grüße\n"
    assert shown["callbackUrl"] == receiver.url
    assert headers["traceparent"] == trace
    assert webhook == {
        "id": headers["webhook-id"],
        "url": receiver.url,
        "state": "delivered",
        "attempts": 1,
        "status": 200,
        "error": None,
    }


def test_a_job_without_an_address_tells_nobody(school: School) -> None:
    response = school.ask("POST", "/api/jobs", json={"kind": "check", "request": {"code": "1"}})
    shown = school.show(response.json()["id"])
    assert (shown["state"], shown["callbackUrl"], shown["webhook"]) == ("done", None, None)
    again = school.ask("POST", f"/api/jobs/{shown['id']}/webhook")
    assert problem(again, 409) == "This job has no webhook, or has not ended yet."


def test_what_is_cancelled_is_told_too(school: School, receiver: Receiver) -> None:
    name = school.post(SLEEP, receiver.url)
    assert school.ask("DELETE", f"/api/jobs/{name}").json()["state"] == "cancelled"
    assert school.told(name)["webhook"]["state"] == "delivered"
    ((_, body),) = receiver.of(name)
    assert json.loads(body)["data"]["state"] == "cancelled"


def test_each_job_of_a_batch_is_told(school: School, receiver: Receiver) -> None:
    whole = {
        "jobs": [{"kind": "execute", "request": {"code": f"print({number})"}} for number in range(5)],
        "defaults": {"callbackUrl": receiver.url},
    }
    names = school.ask("POST", "/api/batches", json=whole).json()["jobs"]
    assert [school.told(name)["webhook"]["state"] for name in names] == ["delivered"] * 5
    outputs = [json.loads(receiver.of(name)[0][1])["data"]["result"]["output"] for name in names]
    assert outputs == [f"{number}\n" for number in range(5)]


def test_what_nobody_took_is_tried_again_and_can_be_sent_once_more(school: School, receiver: Receiver) -> None:
    receiver.status = 500
    name = school.post("print(1)", receiver.url)
    webhook = school.told(name)["webhook"]
    assert (webhook["state"], webhook["attempts"], webhook["status"]) == ("failed", 3, 500)
    receiver.status = 200
    answer = school.ask("POST", f"/api/jobs/{name}/webhook")
    assert answer.status_code == 202
    assert answer.json()["state"] == "pending"
    assert school.told(name)["webhook"]["state"] == "delivered"
    assert len(receiver.of(name)) == 4
    assert len({headers["webhook-id"] for headers, _ in receiver.of(name)}) == 1


def test_another_key_learns_nothing_of_it(school: School, receiver: Receiver) -> None:
    name = school.post("print(1)", receiver.url)
    school.told(name)
    before = len(receiver.of(name))
    answer = school.ask("POST", f"/api/jobs/{name}/webhook", key=school.other)
    assert problem(answer, 404) == "There is no such job, or it is not kept any more."
    assert len(receiver.of(name)) == before


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://10.0.0.1/hook", "10.0.0.1 is not found, or is not on the public internet"),
        ("http://[::1]/hook", "::1 is not found, or is not on the public internet"),
        ("ftp://127.0.0.1/", "The address of a webhook is a URL"),
    ],
)
def test_where_nothing_may_be_sent_no_job_is_taken(school: School, url: str, why: str) -> None:
    assert problem(school.ask("POST", "/api/jobs", json=job("1", url)), 422).startswith(why)
    whole = {"jobs": [job("1", url)]}
    assert problem(school.ask("POST", "/api/batches", json=whole), 422).startswith(why)


def test_a_batch_looks_few_addresses_up(school: School, receiver: Receiver) -> None:
    whole = {"jobs": [job("1", f"{receiver.url}/{number}") for number in range(9)]}
    refused = problem(school.ask("POST", "/api/batches", json=whole), 422)
    assert refused == "The jobs of a batch name 8 different addresses at most."


def test_a_token_names_no_address(school: School, receiver: Receiver) -> None:
    done = attempt(school.data, "token", "moodle", "--learner", "ada", "--scope", "jobs,run")
    token = re.findall(r"\S+", done.stdout)[-1]
    answer = school.ask("POST", "/api/jobs", key=token, json=job("print(1)", receiver.url))
    assert problem(answer, 403) == "callbackUrl: a learner's token cannot name one."
    assert school.ask("POST", "/api/jobs", key=token, json=job("print(1)", None)).status_code == 202  # type: ignore[arg-type]


def test_a_learner_that_a_platform_names_is_told_of(school: School, receiver: Receiver) -> None:
    answer = school.ask(
        "POST", "/api/jobs", json=job("print(1)", receiver.url), headers={"X-Learner": "ada@example.org"}
    )
    name = answer.json()["id"]
    assert eventually(lambda: bool(receiver.of(name)), SOON)


def test_a_server_without_keys_sends_none(serve: Serve, receiver: Receiver) -> None:
    with tempfile.TemporaryDirectory() as data, serve("native", data=data, **SETTINGS) as server:
        answer = httpx.post(f"{server.url}/api/jobs", json=job("print(1)", receiver.url))
        assert problem(answer, 422).startswith("A webhook needs a key")


def test_what_ended_before_a_kill_is_told_by_the_next_server(serve: Serve, receiver: Receiver) -> None:
    """The receiver does not answer the first one, which is killed; the second one tells it."""
    settings = {**SETTINGS, "webhook_allow": "127.0.0.1", "webhook_retries": "1"}
    with tempfile.TemporaryDirectory() as data:
        key = made(data, "moodle", *SCOPES)
        receiver.status = 503
        with serve("native", data=data, **settings) as server:
            headers = {"Authorization": f"Bearer {key}"}
            name = httpx.post(f"{server.url}/api/jobs", json=job("print(1)", receiver.url), headers=headers).json()[
                "id"
            ]
            assert eventually(lambda: bool(receiver.of(name)), SOON)
            server.process.kill()
            server.process.wait()
        receiver.status = 200
        before = len(receiver.of(name))
        with serve("native", data=data, **settings):
            assert eventually(lambda: len(receiver.of(name)) > before, 60)
