"""So many runs per client and minute, told in headers; who the client is, a proxy is believed only if it is trusted."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import httpx
import pytest

from tests.api.conftest import problem
from tests.conftest import Serve, Server

PROGRAM = {"code": "print(1)"}
HEADERS = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "ratelimit-policy")

_addresses = count(1)


@pytest.fixture(scope="module")
def behind_proxy(serve: Serve) -> Iterator[Server]:
    settings = {"rate_limit": "3/minute", "check_rate_limit": "2/minute", "trusted_proxies": "127.0.0.1,10.0.0.0/8"}
    with serve("native", preload="", pool_size=1, **settings) as running:
        yield running


@pytest.fixture
def proxy(behind_proxy: Server) -> Iterator[httpx.Client]:
    """A client behind a trusted proxy, whose address nobody has had before."""
    headers = {"X-Forwarded-For": f"203.0.113.{next(_addresses)}"}
    with httpx.Client(base_url=behind_proxy.url, headers=headers, timeout=60) as http:
        yield http


def standing(response: httpx.Response) -> tuple[str, str]:
    """Return limit and what remains of it, having made sure that all headers are there."""
    limit, remaining, reset, policy = (response.headers[name] for name in HEADERS)
    assert 0 <= int(reset) <= 60
    assert policy == f"{limit};w=60"
    return limit, remaining


def test_a_client_has_so_many_runs_and_then_none(proxy: httpx.Client) -> None:
    allowed = [proxy.post("/api/execute", json=PROGRAM) for _ in range(3)]
    assert [(response.status_code, standing(response)) for response in allowed] == [
        (200, ("3", "2")),
        (200, ("3", "1")),
        (200, ("3", "0")),
    ]
    refused = proxy.post("/api/execute", json=PROGRAM)
    assert problem(refused, 429).startswith("Rate limit exceeded: 3 runs in 60 seconds. Try again in ")
    assert standing(refused) == ("3", "0")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert "retry-after" not in allowed[0].headers


def test_requests_that_are_none_count_as_well(proxy: httpx.Client) -> None:
    """Or a client could have its guesses at a valid one for nothing."""
    assert standing(proxy.post("/api/execute", content=b"{", headers={"Content-Type": "application/json"}))[1] == "2"
    assert standing(proxy.post("/api/execute", json={}))[1] == "1"
    assert standing(proxy.post("/api/execute", json=PROGRAM))[1] == "0"


def test_every_answer_says_how_the_client_stands(proxy: httpx.Client) -> None:
    proxy.post("/api/execute", json=PROGRAM)
    with proxy.stream("POST", "/api/execute", json=PROGRAM, headers={"Accept": "text/event-stream"}) as response:
        assert standing(response) == ("3", "1")
    assert [standing(proxy.request(method, path)) for method, path in (("GET", "/api/x"), ("GET", "/api/execute"))] == [
        ("3", "1")
    ] * 2


def test_checks_count_apart(proxy: httpx.Client) -> None:
    answers = [proxy.post("/api/check", json=PROGRAM) for _ in range(3)]
    assert [(response.status_code, standing(response)) for response in answers] == [
        (200, ("2", "1")),
        (200, ("2", "0")),
        (429, ("2", "0")),
    ]
    assert standing(proxy.post("/api/execute", json=PROGRAM)) == ("3", "2")


def test_operators_are_not_counted(proxy: httpx.Client) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
        assert all(proxy.get(path).status_code == 200 for _ in range(5))
    assert standing(proxy.post("/api/execute", json=PROGRAM)) == ("3", "2")


def test_addresses_of_one_ipv6_network_are_one_client(behind_proxy: Server) -> None:
    with httpx.Client(base_url=behind_proxy.url) as http:
        addresses = ["2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"]
        answers = [http.post("/api/execute", json=PROGRAM, headers={"X-Forwarded-For": a}) for a in addresses]
    assert [standing(response)[1] for response in answers] == ["2", "1", "2"]


def test_only_what_trusted_proxies_added_is_believed(behind_proxy: Server) -> None:
    """A client can send the header too: the last address that is no proxy's is the one that counts."""
    with httpx.Client(base_url=behind_proxy.url) as http:
        lies = [f"198.51.100.{n}, 192.0.2.7, 10.1.2.3" for n in range(3)]
        answers = [http.post("/api/execute", json=PROGRAM, headers={"X-Forwarded-For": lie}) for lie in lies]
    assert [standing(response)[1] for response in answers] == ["2", "1", "0"]


def test_without_trusted_proxies_nobody_is_believed(serve: Serve) -> None:
    with (
        serve("native", preload="", pool_size=1, rate_limit="2/minute") as server,
        httpx.Client(base_url=server.url, timeout=60) as http,
    ):
        answers = []
        for n in range(3):
            headers = {
                "X-Forwarded-For": f"203.0.113.{n}",
                "Forwarded": f"for=203.0.113.{n}",
                "X-Real-IP": f"10.0.0.{n}",
            }
            answers.append(http.post("/api/execute", json=PROGRAM, headers=headers))
    assert [response.status_code for response in answers] == [200, 200, 429]


def test_where_nothing_is_limited_no_answer_says_anything(client: httpx.Client) -> None:
    response = client.post("/api/execute", json=PROGRAM)
    assert not set(HEADERS) & set(response.headers)
