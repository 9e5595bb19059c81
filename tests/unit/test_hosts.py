"""Which hosts are this server's, which pages are, and whom a proxy names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from code_executor.api.hosts import HostNames, Hosts
from code_executor.api.identity import Identity, Proxies, caller_of, is_allowed
from code_executor.core.proxies import TrustedProxies

pytestmark = pytest.mark.anyio

# ---- hosts

LOOPBACK = HostNames("127.0.0.1", ["code.example.org", "*.school.example"], ["https://course.example:8443"])
EVERYWHERE = HostNames("0.0.0.0")


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8000",
        "LOCALHOST:8000",
        "localhost.",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.8.8.8",
        "[::1]:8000",
        "[::ffff:127.0.0.1]",
        "code.example.org",
        "Code.Example.org.:443",
        "a.school.example",
        "b.a.school.example:80",
        "course.example",
    ],
)
def test_a_name_of_its_own_is_the_servers(host: str) -> None:
    assert LOOPBACK.own(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "attacker.example",
        "localhost.attacker.example",
        "127.0.0.1.attacker.example",
        "notcode.example.org",
        "x.code.example.org",
        "school.example",
        "evilschool.example",
        "203.0.113.9",
        "[2001:db8::1]",
        "0.0.0.0",
        "127.1",
        "0x7f000001",
        "2130706433",
        "[localhost]",
        "::1",
        "[::1%eth0]",
        "user@localhost",
        "localhost/",
        "localhost, attacker.example",
        "localhost:80:80",
        "localhost:x",
        "localhost attacker",
        "lo\u212aalhost",
        "*",
        "*.school.example.org",
    ],
)
def test_any_other_is_not(host: str) -> None:
    assert not LOOPBACK.own(host)


def test_on_all_addresses_every_address_is_the_servers_and_no_other_name() -> None:
    for names in (EVERYWHERE, HostNames("::"), HostNames("")):
        assert all(map(names.own, ["203.0.113.9:8000", "[2001:db8::1]:8000", "127.0.0.1", "localhost", "0.0.0.0"]))
        assert not any(map(names.own, ["attacker.example", "server", "203.0.113.9.attacker.example"]))


def test_the_address_or_name_that_it_is_bound_to_is_the_servers() -> None:
    assert HostNames("203.0.113.9").own("203.0.113.9:8000")
    assert not HostNames("203.0.113.9").own("203.0.113.10:8000")
    assert HostNames("server.lan").own("server.lan:8000")
    assert HostNames("2001:db8::1").own("[2001:DB8:0::1]:8000")


class App:
    def __init__(self) -> None:
        self.called = 0

    async def __call__(self, *_: Any) -> None:
        self.called += 1


async def ask(names: HostNames, *hosts: str, kind: str = "http", version: str = "1.1") -> tuple[int, list[Any]]:
    app, sent = App(), []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", host.encode("latin-1")) for host in hosts]
    scope = {"type": kind, "headers": headers, "http_version": version}
    await Hosts(app, names)(scope, None, send)  # type: ignore[arg-type]
    return app.called, sent


@pytest.mark.parametrize(("hosts", "status"), [([], 400), (["localhost"] * 2, 400), (["attacker.example"], 421)])
@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_a_request_for_another_host_or_none_or_two_goes_no_further(
    hosts: list[str], status: int, kind: str
) -> None:
    called, sent = await ask(LOOPBACK, *hosts, kind=kind)
    assert called == 0
    assert sent[0]["type"] == ("http" if kind == "http" else "websocket.http") + ".response.start"
    assert sent[0]["status"] == json.loads(sent[1]["body"])["status"] == status


async def test_the_refusal_names_the_setting_and_the_host_in_plain_ascii() -> None:
    _, sent = await ask(LOOPBACK, "attacker\x9b.example" + "x" * 500)
    assert b"CODE_EXECUTOR_ALLOWED_HOSTS" in sent[1]["body"]
    assert b"attacker\\\\x9b.example" in sent[1]["body"]
    assert len(sent[1]["body"]) < 500


async def test_a_star_lets_every_host_in_but_not_two_at_once() -> None:
    anybody = HostNames("127.0.0.1", ["*"])
    assert [(await ask(anybody, *hosts))[0] for hosts in (["attacker.example"], ["a", "a"], [])] == [1, 0, 0]
    assert (await ask(anybody, version="1.0"))[0] == 1


# ---- pages


@pytest.mark.parametrize(
    ("origin", "host", "scheme", "allowed"),
    [
        (None, "localhost:8000", "http", True),
        ("http://localhost:8000", "localhost:8000", "http", True),
        ("http://localhost", "localhost", "http", True),
        ("http://localhost:80", "localhost", "http", True),
        ("http://LOCALHOST", "localhost:80", "ws", True),
        ("https://code.example", "code.example", "https", True),
        ("https://code.example", "code.example", "http", True),  # a proxy ends TLS, and says nothing of it
        ("https://code.example:8443", "code.example:8443", "wss", True),
        ("https://course.example", "code.example", "https", True),
        ("https://course.example:443", "code.example", "https", True),
        ("http://[::1]:8000", "[::1]:8000", "http", True),
        ("http://code.example", "code.example", "https", False),
        ("http://code.example", "code.example", "wss", False),
        ("ftp://localhost:8000", "localhost:8000", "http", False),
        ("file://localhost:8000", "localhost:8000", "http", False),
        ("null", "localhost:8000", "http", False),
        ("null", "null", "http", False),
        ("", "", "http", False),
        ("http://", "", "http", False),
        ("http://localhost:8001", "localhost:8000", "http", False),
        ("http://localhost", "localhost:8000", "http", False),
        ("https://localhost", "localhost:80", "http", False),
        ("http://localhost:8000@attacker.example", "localhost:8000", "http", False),
        ("http://localhost:8000/", "localhost:8000", "http", False),
        ("http://localhost:99999", "localhost:99999", "http", False),
        ("http://course.example", "code.example", "https", False),
        ("https://course.example.attacker.example", "code.example", "https", False),
    ],
)
def test_a_page_is_ours_by_scheme_host_and_port(origin: str | None, host: str, scheme: str, allowed: bool) -> None:
    assert is_allowed(origin, host, ("https://course.example",), scheme) is allowed


# ---- proxies


async def seen(forwarded: list[str], *trusted: str, proto: str = "") -> tuple[str, str]:
    found = []

    async def app(scope: Any, *_: Any) -> None:
        found.append((caller_of(scope).id, scope["scheme"]))

    headers = [(b"x-forwarded-for", each.encode("latin-1")) for each in forwarded]
    headers += [(b"x-forwarded-proto", proto.encode())] * bool(proto)
    scope: Any = {"type": "http", "client": ("10.0.0.1", 5), "headers": headers, "scheme": "http"}
    await Proxies(Identity(app), TrustedProxies(trusted))(scope, None, None)  # type: ignore[arg-type]
    return found[0]


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (["203.0.113.9"], "203.0.113.9"),
        (["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        (["198.51.100.1, 203.0.113.9 , 10.1.1.1"], "203.0.113.9"),
        (["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9:4711"], "203.0.113.9"),
        (["[2001:db8::1]:4711"], "2001:db8::/64"),
        (["2001:db8::1"], "2001:db8::/64"),
        (["::ffff:203.0.113.9"], "203.0.113.9"),
        (["10.2.2.2, 10.1.1.1"], "10.2.2.2"),
        (["203.0.113.9, unknown"], "10.0.0.1"),
        (["\x9b31mred"], "10.0.0.1"),
        (["a" * 5000], "10.0.0.1"),
        (["203.0.113.9\t\x1b[31m"], "10.0.0.1"),
        (["fe80::1%evil"], "10.0.0.1"),
        ([""], "10.0.0.1"),
        ([], "10.0.0.1"),
        (["10.1.1.1," * 6000], "10.0.0.1"),
    ],
)
async def test_a_client_is_an_address_that_a_trusted_proxy_named_or_else_the_proxy(
    forwarded: list[str], client: str
) -> None:
    assert (await seen(forwarded, "10.0.0.0/8"))[0] == client


async def test_nobody_else_is_believed() -> None:
    assert await seen(["203.0.113.9"], "192.0.2.0/24", proto="https") == ("10.0.0.1", "http")


async def test_where_everybody_is_the_first_address_counts_if_it_is_one() -> None:
    assert (await seen(["203.0.113.9, 198.51.100.1"], "*"))[0] == "203.0.113.9"
    assert (await seen(["anything, 198.51.100.1"], "*"))[0] == "10.0.0.1"


@pytest.mark.parametrize(("proto", "scheme"), [("https", "https"), ("http", "http"), ("wss", "https"), ("ftp", "http")])
async def test_a_trusted_proxy_says_how_it_was_asked(proto: str, scheme: str) -> None:
    assert (await seen([], "10.0.0.1", proto=proto))[1] == scheme
