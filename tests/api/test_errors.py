"""Every request that is not one is answered with a problem that says what is wrong."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from tests.api.conftest import execute, problem
from tests.conftest import Server


def _files(*paths: str) -> str:
    return json.dumps({"code": "1", "files": [{"path": path, "content": ""} for path in paths]})


INVALID = {
    "no object": ("[]", "body"),
    "a number": ("3", "body"),
    "null": ("null", "body"),
    "no code": ("{}", "code: Field required"),
    "null code": ('{"code": null}', "code: Input should be a valid string"),
    "a number as code": ('{"code": 1}', "code: Input should be a valid string"),
    "a list as code": ('{"code": ["print(1)"]}', "code: Input should be a valid string"),
    "another language": ('{"code": "1", "language": "ruby"}', "language: only Python can be run here"),
    "a number as language": ('{"code": "1", "language": 71}', "language: Input should be a valid string"),
    "an unknown field": ('{"code": "1", "tiemout": 3}', "tiemout: Extra inputs are not permitted"),
    "timeout 0": ('{"code": "1", "timeout": 0}', "timeout: Input should be greater than 0"),
    "negative timeout": ('{"code": "1", "timeout": -1}', "timeout: Input should be greater than 0"),
    "too long a timeout": ('{"code": "1", "timeout": 30.001}', "timeout: Input should be less than or equal to 30"),
    "boolean timeout": ('{"code": "1", "timeout": true}', "timeout: Input should be a valid number"),
    "text timeout": ('{"code": "1", "timeout": "5"}', "timeout: Input should be a valid number"),
    "infinite timeout": ('{"code": "1", "timeout": 1e999}', "timeout: Input should be a finite number"),
    "stdin of bytes": ('{"code": "1", "stdin": [1]}', "stdin: Input should be a valid string"),
    "args as text": ('{"code": "1", "args": "a"}', "args: Input should be a valid array"),
    "a number in args": ('{"code": "1", "args": ["a", 1]}', "args.1: Input should be a valid string"),
    "a null character in args": ('{"code": "1", "args": ["a\\u0000b"]}', "args.0: contains a null character"),
    "too many args": (json.dumps({"code": "1", "args": ["a"] * 65}), "args: List should have at most 64 items"),
    "too long an arg": (json.dumps({"code": "1", "args": ["a" * 4097]}), "args.0: String should have at most 4096"),
    "a file outside": ('{"code": "1", "files": [{"path": "../x", "content": ""}]}', "not a relative path"),
    "an absolute file": ('{"code": "1", "files": [{"path": "/etc/x", "content": ""}]}', "not a relative path"),
    "no base64": ('{"code": "1", "files": [{"path": "x", "contentBase64": "*"}]}', "contentBase64: not base64"),
    "a file below a file": (_files("a", "a/b"), "files.1.path: 'a/b' cannot be made, as 'a' is a file"),
    "a file in place of a directory": (_files("a/b", "a"), "files.1.path: 'a' cannot be a file, as 'a/b' makes"),
    "a file in two spellings": (_files("a", "./a"), "files.1.path: './a' and 'a' are the same file"),
    "a file in place of the program": (_files("./main.py"), "files.0.path: main.py is the program itself"),
    "too long a name": (_files("中" * 86), "has 258 bytes in UTF-8; a file's or directory's name may have 255"),
    "a file of nothing": ('{"code": "1", "files": [{"path": "x"}]}', "exactly one of content and contentBase64"),
}

NOT_JSON = [
    "",
    "{",
    "code=print(1)",
    '{"code": "1"',
    "{'code': '1'}",
    '{"code": "1"} x',
    '{"code": "\x01"}',
    "\xff",
    r'{"code": "\ud800"}',
]


def post(client: httpx.Client, body: str | bytes, content_type: str = "application/json") -> httpx.Response:
    content = body.encode("latin-1") if isinstance(body, str) else body
    return client.post("/api/execute", content=content, headers={"Content-Type": content_type})


@pytest.mark.parametrize("name", INVALID)
def test_what_is_no_request_is_answered_with_422_and_every_reason(client: httpx.Client, name: str) -> None:
    body, says = INVALID[name]
    response = post(client, body)
    assert says in problem(response, 422)
    assert all(error.keys() == {"field", "message"} for error in response.json()["errors"])
    assert "pattern" not in response.text  # a sentence says it, not a regular expression


def test_all_that_is_wrong_is_said_at_once(client: httpx.Client) -> None:
    response = post(client, '{"timeout": 0, "language": "c", "x": 1}')
    problem(response, 422)
    assert {error["field"] for error in response.json()["errors"]} == {"code", "timeout", "language", "x"}


@pytest.mark.parametrize("body", NOT_JSON)
def test_what_is_no_json_is_answered_with_400(client: httpx.Client, body: str) -> None:
    assert problem(post(client, body), 400).startswith("The body is not valid JSON: ")


NOT_JSON_BECAUSE = {
    "UTF-16": ('{"code": "1"}'.encode("utf-16"), "UTF-16"),
    "UTF-16 without a mark": ('{"code": "1"}'.encode("utf-16-be"), "UTF-16"),
    "UTF-32": ('{"code": "1"}'.encode("utf-32"), "UTF-16 or UTF-32"),
    "another encoding": ('{"code": "ü"}'.encode("latin-1"), "not UTF-8, at line 1"),
    "half a pair": (rb'{"code": "\ud83d"}', "one half of a surrogate pair"),
    "half a pair, and more": (rb'{"code": "\uD83Dabc"}', "one half of a surrogate pair"),
    "the other half": (rb'{"code": "\ude00"}', "one half of a surrogate pair"),
    "two first halves": (rb'{"code": "\ud83d\ud83d"}', "one half of a surrogate pair"),
}


@pytest.mark.parametrize("name", NOT_JSON_BECAUSE)
def test_what_is_wrong_with_the_text_of_a_body_is_said_in_words(client: httpx.Client, name: str) -> None:
    body, says = NOT_JSON_BECAUSE[name]
    said = problem(post(client, body), 400)
    assert says in said
    assert "hex escape" not in said


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_does_not_have_are_refused(client: httpx.Client, number: str) -> None:
    response = post(client, f'{{"code": "1", "timeout": {number}}}')
    assert response.status_code in (400, 422)
    problem(response, response.status_code)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""])
def test_a_body_of_another_type_is_answered_with_415(client: httpx.Client, content_type: str) -> None:
    assert "Content-Type must be application/json" in problem(post(client, '{"code": "1"}', content_type), 415)


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
def test_json_may_be_declared_in_any_way(client: httpx.Client, content_type: str) -> None:
    assert post(client, '{"code": "print(1)"}', content_type).json()["output"] == "1\n"


@pytest.mark.parametrize("path", ["/api/nothing", "/nothing", "/api/execute/x"])
def test_a_path_that_is_not_there_is_answered_with_404(client: httpx.Client, path: str) -> None:
    problem(client.get(path), 404)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_another_method_is_answered_with_405_and_what_is_allowed(client: httpx.Client, method: str) -> None:
    response = client.request(method, "/api/execute")
    problem(response, 405)
    assert response.headers["allow"] == "POST"


def test_odd_but_right_requests_run(client: httpx.Client) -> None:
    assert execute(client, "", args=[], stdin="")["reason"] == "completed"
    assert post(client, r'{"code": "print(ascii(\"\ud83d\ude00\"))"}').json()["output"] == ascii("\U0001f600") + "\n"
    nothing = dict.fromkeys(("language", "timeout", "stdin", "args", "files", "display"))
    assert execute(client, "print(1)", **nothing)["output"] == "1\n"
    assert post(client, b"\xef\xbb\xbf" + b'{"code": "print(1)"}').json()["output"] == "1\n"
    assert execute(client, "print(1)", timeout=30)["output"] == "1\n"


@pytest.mark.parametrize("language", ["python", "Python", "PYTHON", "python3", "Python3", "py", "py3"])
def test_python_is_understood_by_each_of_its_names(client: httpx.Client, language: str) -> None:
    assert execute(client, "print(1)", language=language)["output"] == "1\n"
    assert client.post("/api/check", json={"code": "1", "language": language}).json()["ok"]


# ---- too large, too slow


@pytest.mark.parametrize(("field", "limit"), [("code", 2000), ("stdin", 1000)])
def test_a_field_that_is_too_large_is_answered_with_413(tight: httpx.Client, field: str, limit: int) -> None:
    request = {"code": "", field: "#" * limit}
    assert tight.post("/api/execute", json=request).status_code == 200
    request[field] += "#"
    assert f"{field} is larger than {limit} bytes" in problem(tight.post("/api/execute", json=request), 413)
    request[field] = "é" * (limit // 2 + 1)
    problem(tight.post("/api/execute", json=request), 413)


def test_files_that_are_too_large_together_are_answered_with_413(tight: httpx.Client) -> None:
    files = [{"path": str(n), "content": "x" * 400} for n in range(3)]
    assert tight.post("/api/execute", json={"code": "", "files": files[:2]}).status_code == 200
    assert "files are larger than 1000 bytes" in problem(
        tight.post("/api/execute", json={"code": "", "files": files}), 413
    )


def test_a_body_that_is_declared_too_large_is_refused_before_it_is_sent(tight_server: Server) -> None:
    head = "POST /api/execute HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n"
    with connected(tight_server) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_grows_too_large_is_refused_while_it_is_read(tight: httpx.Client) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 1 << 30:
            sent += 1 << 16
            yield b" " * (1 << 16)

    try:
        response = tight.post("/api/execute", content=endless(), headers={"Content-Type": "application/json"})
    except httpx.WriteError:  # it was answered and closed while we were still sending
        pass
    else:
        problem(response, 413)
    assert sent < 64 << 20


def test_a_body_that_comes_too_slowly_is_answered_with_408(tight_server: Server) -> None:
    head = "POST /api/execute HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    with connected(tight_server) as connection:
        connection.sendall(head.encode() + b'{"code": ')
        answer = connection.recv(65536)
        while not answer.endswith(b"}"):  # head and body may come one after the other
            answer += (piece := connection.recv(65536))
            assert piece, answer
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"The body did not arrive within 1 seconds." in answer


def test_a_client_that_goes_away_while_it_sends_harms_nobody(tight: httpx.Client, tight_server: Server) -> None:
    head = "POST /api/execute HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    for _ in range(5):
        with connected(tight_server) as connection:
            connection.sendall(head.encode() + b'{"code": ')
    assert execute(tight, "print(1)")["output"] == "1\n"


def connected(server: Server) -> socket.socket:
    address = urlsplit(server.url)
    assert address.hostname
    assert address.port
    return socket.create_connection((address.hostname, address.port), timeout=30)


# ---- too much


@pytest.mark.anyio
async def test_who_waits_too_long_is_answered_with_503_and_when_to_come_again(tight_server: Server) -> None:
    async with httpx.AsyncClient(base_url=tight_server.url, timeout=60) as client:
        request = {"code": "import time; time.sleep(3)", "timeout": 2}
        responses = await asyncio.gather(*(client.post("/api/execute", json=request) for _ in range(3)))
    by_status = {response.status_code: response for response in responses}
    assert sorted(response.status_code for response in responses) == [200, 503, 503]
    assert "every sandbox stayed busy" in problem(by_status[503], 503)
    assert 1 <= int(by_status[503].headers["retry-after"]) <= 30


@pytest.mark.anyio
async def test_a_stream_that_finds_no_sandbox_is_answered_with_503_as_well(tight_server: Server) -> None:
    async with httpx.AsyncClient(base_url=tight_server.url, timeout=60) as client:
        request = {"code": "import time; time.sleep(3)", "timeout": 2}
        accept = {"Accept": "text/event-stream"}
        responses = await asyncio.gather(*(client.post("/api/execute", json=request, headers=accept) for _ in range(2)))
    refused = max(responses, key=lambda response: response.status_code)
    problem(refused, 503)
