"""Files of a session over HTTP: by one process, and by workers that reach the sessions through another."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.api.conftest import problem
from tests.api.test_sessions import WITHIN, run, until_state
from tests.conftest import Serve, Server

KINDS = {"docker": ("docker", 1), "native, two workers": ("native", 2)}


@pytest.fixture(scope="module", params=list(KINDS.values()), ids=list(KINDS))
def sessions(request: pytest.FixtureRequest, serve: Serve) -> Iterator[Server]:
    engine, workers = request.param
    if engine == "docker":
        request.getfixturevalue("docker")
    settings = {"rate_limit": "off", "pool_size": 3, "preload": "", "policy": "off", "max_attachments": 100_000}
    with serve(engine, workers=workers, **settings) as running:
        yield running


@pytest.fixture
def http(sessions: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sessions.url, timeout=60) as client:
        yield client


@pytest.fixture
def session(http: httpx.Client) -> Iterator[str]:
    response = http.post("/api/sessions")
    assert response.status_code == 201, response.text
    address: str = response.headers["location"]
    yield address
    http.delete(address)


def test_a_file_goes_in_is_listed_comes_out_and_is_deleted(http: httpx.Client, session: str) -> None:
    data = bytes(range(256))
    answer = http.put(f"{session}/files/data/in.png", content=data)
    assert (answer.status_code, answer.json()) == (201, {"path": "data/in.png", "size": 256, "mediaType": "image/png"})
    assert run(http, session, "open('data/in.png', 'rb').read() == bytes(range(256))")["output"] == "True\n"
    assert http.put(f"{session}/files/data/in.png", content=b"new").status_code == 200
    run(http, session, "open('table.csv', 'w').write('a,b\\n');")
    assert http.get(f"{session}/files").json() == {
        "files": [
            {"path": "data/in.png", "size": 3, "mediaType": "image/png"},
            {"path": "table.csv", "size": 4, "mediaType": "text/csv"},
        ],
        "filesOmitted": 0,
    }
    assert http.get(f"{session}/files/table.csv").content == b"a,b\n"
    assert http.delete(f"{session}/files/table.csv").status_code == 204
    assert "no such file" in problem(http.get(f"{session}/files/table.csv"), 404)
    assert "no such file" in problem(http.delete(f"{session}/files/table.csv"), 404)


def test_no_browser_takes_a_file_for_a_page_of_ours(http: httpx.Client, session: str) -> None:
    http.put(f"{session}/files/pages/%E4%B8%AD%22%0A.html", content=b"<script>alert(1)</script>")
    answer = http.get(f"{session}/files/pages/%E4%B8%AD%22%0A.html")
    assert answer.content == b"<script>alert(1)</script>"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''%E4%B8%AD%22%0A.html"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


def test_an_empty_file_and_the_largest_one_go_in_and_out(http: httpx.Client, session: str) -> None:
    for name, data in (("empty", b""), ("large", b"x" * 100_000)):
        assert http.put(f"{session}/files/{name}", content=data).status_code == 201
        assert http.get(f"{session}/files/{name}").content == data
    assert "larger than 100000 bytes" in problem(http.put(f"{session}/files/more", content=b"x" * 100_001), 413)
    run(http, session, "open('large', 'a').write('x');")
    assert "larger than the service sends" in problem(http.get(f"{session}/files/large"), 409)


@pytest.mark.parametrize("path", ["%2e%2e/x", "a/%2e%2e/%2e%2e/x", "%2fetc/passwd", "a/", "a%00b", "x" * 300])
def test_one_rule_for_paths_holds_here_too(http: httpx.Client, session: str, path: str) -> None:
    with http.stream("PUT", f"{session}/files/{path}", content=b"x") as answer:
        assert answer.status_code == 422, path
    assert http.get(f"{session}/files").json()["files"] == []


def test_what_is_in_the_way_is_named(http: httpx.Client, session: str) -> None:
    http.put(f"{session}/files/d/f", content=b"x")
    assert problem(http.get(f"{session}/files/d"), 409) == "'d': it is a directory."
    assert (
        problem(http.put(f"{session}/files/d/f/g", content=b"x"), 409) == "'d/f/g': a part of its path is no directory."
    )


def test_while_a_cell_runs_files_are_refused(http: httpx.Client, session: str) -> None:
    thread = threading.Thread(target=lambda: run(http, session, "import time\ntime.sleep(60)"))
    thread.start()
    until_state(http, session, "running")
    for refused in (
        http.get(f"{session}/files"),
        http.get(f"{session}/files/a"),
        http.put(f"{session}/files/a", content=b""),
        http.delete(f"{session}/files/a"),
    ):
        assert "when it is over" in problem(refused, 409)
    http.post(f"{session}/interrupt")
    thread.join(WITHIN)
    assert http.get(f"{session}/files").status_code == 200


def test_a_full_disk_is_said_to_be_full(http: httpx.Client, session: str) -> None:
    run(http, session, "try: open('fill', 'wb').write(bytes(100 << 20))\nexcept OSError: pass")
    assert "disk of the session is full" in problem(http.put(f"{session}/files/a", content=b"x" * 90_000), 507)


def test_a_session_that_is_none_has_no_files(http: httpx.Client) -> None:
    for answer in (http.get("/api/sessions/x/files"), http.put("/api/sessions/x/files/a", content=b"")):
        problem(answer, 404)
