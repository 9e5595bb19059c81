"""What holds for every route: whose hosts are answered, what is logged of clients, and how the server stops."""

from __future__ import annotations

import re
import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.api.conftest import problem
from tests.api.test_door import SHAKE, address, connection, everything
from tests.api.test_serving import SETTINGS, SLOW, runs_under_way
from tests.census import eventually
from tests.conftest import Serve, Server

STRANGER = {"Host": "attacker.example:8000", "Origin": "http://attacker.example:8000"}


# ---- hosts


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/notebook"),
        ("GET", "/embed"),
        ("GET", "/assets/run-code.js"),
        ("GET", "/docs"),
        ("GET", "/docs-assets/favicon.png"),
        ("GET", "/openapi.json"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/nowhere"),
        ("POST", "/api/execute"),
        ("POST", "/api/check"),
        ("POST", "/api/sessions"),
        ("GET", "/api/sessions"),
        ("OPTIONS", "/api/execute"),
    ],
)
def test_nobody_gets_anywhere_by_another_name(client: httpx.Client, method: str, path: str) -> None:
    answer = client.request(method, path, json={"code": "print(1)"}, headers=STRANGER)
    assert "CODE_EXECUTOR_ALLOWED_HOSTS" in problem(answer, 421)


def test_nor_by_a_websocket(server: Server) -> None:
    with connection(server, SHAKE.replace(b"localhost", b"attacker.example") + b"\r\n") as connected:
        assert everything(connected).startswith(b"HTTP/1.1 421 ")


@pytest.mark.parametrize("hosts", [b"", b"Host: localhost\r\nHost: localhost\r\n", b"Host: \r\n"])
def test_a_request_names_one_host(server: Server, hosts: bytes) -> None:
    with connection(server, b"GET /healthz HTTP/1.1\r\n" + hosts + b"Connection: close\r\n\r\n") as connected:
        assert everything(connected).startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 421 "))


def test_allowed_names_and_addresses_are_answered(serve: Serve) -> None:
    settings = {"host": "0.0.0.0", "allowed_hosts": "code.example.org,*.school.example"}
    with serve("native", **SETTINGS, **settings) as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        for host in ("code.example.org", "a.school.example:8000", "203.0.113.9:8000", "[2001:db8::1]", "localhost"):
            assert httpx.get(f"{url}/healthz", headers={"Host": host}).status_code == 200
        assert httpx.get(f"{url}/healthz", headers=STRANGER).status_code == 421


@pytest.mark.parametrize("origin", ["ftp://{host}", "null", "http://{host}.attacker.example", "http://{host}/"])
def test_pages_of_others_open_nothing_here(server: Server, origin: str) -> None:
    host = httpx.URL(server.url).netloc.decode()
    headers = {"Origin": origin.format(host=host)}
    assert httpx.post(f"{server.url}/api/sessions", headers=headers).status_code == 403
    shake = SHAKE.replace(b"localhost", host.encode()) + f"Origin: {headers['Origin']}\r\n\r\n".encode()
    with connection(server, shake) as connected:
        assert not connected.recv(1 << 16).startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize("path", ["/docs/", "/notebook/?a=b", "/healthz/", "/api/sessions/"])
def test_a_redirect_names_no_host(client: httpx.Client, path: str) -> None:
    answer = client.get(path, follow_redirects=False)
    assert answer.status_code == 307
    assert answer.headers["location"] == path.replace("/?", "?").rstrip("/")
    assert client.get(path, follow_redirects=True).status_code == 200


def test_no_redirect_leaves_the_server(client: httpx.Client) -> None:
    for path in ("//attacker.example/", "//attacker.example/docs/", "/nowhere/", "/\\attacker.example/"):
        assert client.get(f"{client.base_url}{path}", follow_redirects=False).status_code == 404


# ---- pages


def test_the_description_has_a_policy_and_is_in_nobodys_frame(client: httpx.Client) -> None:
    answer = client.get("/docs")
    policy = answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'" in policy
    scripts = re.search("script-src ([^;]*)", policy)
    assert scripts is not None
    assert "unsafe" not in scripts[1]


# ---- the log

UPGRADE = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_whatever_clients_send_the_log_is_json_and_short(serve: Serve, workers: str) -> None:
    settings = {**SETTINGS, "trusted_proxies": "*", "connections_per_client": 5}
    with serve("native", "--workers", workers, **settings) as server:
        for _ in range(100):
            with connection(server, b"\x16\x03\x01 garbage\r\n\r\n") as connected:
                everything(connected)
            with connection(
                server, b"GET / HTTP/1.1\r\nHost: ::1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"
            ) as other:
                other.recv(1 << 16)
        headers = {b"X-Forwarded-For": b"a" * 3000 + b"\x9b31m", b"X-Forwarded-Proto": b"\x9b"}
        for _ in range(3):
            assert (
                httpx.post(f"{server.url}/api/execute", json={"code": "print(1)"}, headers=headers).status_code == 200
            )
        assert eventually(lambda: [entry["event"] for entry in server.log].count("execution") == 3)
    assert all("timestamp" in entry for entry in server.log), server.log
    assert {entry["client"] for entry in server.log if entry["event"] == "execution"} == {"127.0.0.1"}
    assert len(server.log) < 20


# ---- the end


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_that_stops_refuses_at_once_while_runs_end(serve: Serve, workers: str) -> None:
    with serve("native", "--workers", workers, **SETTINGS) as server, ThreadPoolExecutor() as threads:
        long = {"code": SLOW["code"].replace("sleep(2)", "sleep(8)")}
        answer = threads.submit(httpx.post, f"{server.url}/api/execute", json=long, timeout=60)
        assert eventually(lambda: runs_under_way(server, 1))
        server.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: refuses(server))
        assert not answer.done()
        assert answer.result().json()["output"] == "begun\ndone\n"
        assert server.stop() == 0


def refuses(server: Server) -> bool:
    try:
        with socket.create_connection(address(server), timeout=1):
            return False
    except ConnectionRefusedError:
        return True
    except OSError:
        return False


# ---- sessions whose opener went away


@pytest.mark.parametrize("workers", ["1", "2"])
def test_whoever_lost_the_answer_to_opening_a_session_opens_another(serve: Serve, workers: str) -> None:
    with serve("native", "--workers", workers, **SETTINGS) as server:
        for _ in range(5):
            with connection(server, b"POST /api/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"):
                pass
            answer = httpx.post(f"{server.url}/api/sessions", timeout=60)
            assert answer.status_code == 201
        session = answer.json()["id"]
        cell = httpx.post(f"{server.url}/api/sessions/{session}/cells", json={"code": "1 + 1"}, timeout=60)
        assert cell.json()["value"] == "2"
        assert httpx.post(f"{server.url}/api/sessions", timeout=60).status_code == 429


def test_an_answer_leaves_with_its_head_in_one_piece(server: Server) -> None:
    with connection(server) as client:
        for _ in range(30):
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            piece = client.recv(1 << 16)
            assert piece.startswith(b"HTTP/1.1 200 ")
            assert piece.endswith(b"}")
