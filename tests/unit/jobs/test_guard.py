"""No webhook reaches an inner network, however its address is written; with the guard off it does."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Sequence

import pytest

from code_executor.core.errors import WebhookRefusedError
from code_executor.jobs.addresses import Allowed
from code_executor.jobs.guard import Guard, LookupFailedError, Lookups, Place, take_apart

pytestmark = pytest.mark.anyio

OPEN = Allowed(["0.0.0.0/0", "::/0"])
"""The guard switched off."""

INNER = [
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.254",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:a00:1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
PUBLIC = ["93.184.216.34", "8.8.8.8", "100.63.255.255", "172.32.0.1", "198.20.0.1", "2606:2800:220:1::1"]
LEADS_TO_PUBLIC = ["::ffff:8.8.8.8", "64:ff9b::808:808"]


def written(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def answers(*found: str) -> Guard:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return found

    return Guard(Allowed(), resolve)


@pytest.mark.parametrize("address", INNER)
async def test_an_inner_address_is_refused_and_reached_with_the_guard_off(address: str) -> None:
    url = f"https://{written(address)}/hook"
    with pytest.raises(WebhookRefusedError, match="not on the public internet"):
        await Guard(Allowed()).examine(url)
    _, found = await Guard(OPEN).examine(url)
    assert found == [ipaddress.ip_address(address)]


@pytest.mark.parametrize("address", INNER)
async def test_a_name_that_leads_there_is_refused_too(address: str) -> None:
    for found in ([address], ["8.8.8.8", address], [address, "2606:2800:220:1::1"]):
        with pytest.raises(WebhookRefusedError, match="not on the public internet"):
            await answers(*found).examine("https://hooks.example.org/")


@pytest.mark.parametrize("address", PUBLIC + LEADS_TO_PUBLIC)
async def test_a_public_address_is_not(address: str) -> None:
    place, found = await Guard(Allowed()).examine(f"https://{written(address)}:8443/hook?a=b#c")
    assert (place.scheme, place.port, place.target) == ("https", 8443, "/hook?a=b")
    assert len(found) == 1
    _, by_name = await answers(address).examine("https://hooks.example.org/")
    assert by_name == found


SPELLINGS = [
    "127.1",
    "127.0.1",
    "0x7f.1",
    "0x7f.0.0.1",
    "0x7f000001",
    "0X7F000001",
    "2130706433",
    "0177.0.0.1",
    "017700000001",
    "127.0.0.1.",
    "0",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "127\u30020\u30020\u30021",
    "\uff11\uff12\uff17.0.0.1",
    "loc\uff41lhost",
]


@pytest.mark.parametrize("host", SPELLINGS)
async def test_another_spelling_of_this_machine_is_refused_and_leads_here_with_the_guard_off(host: str) -> None:
    url = f"https://{host}:8443/"
    with pytest.raises(WebhookRefusedError, match="not on the public internet"):
        await Guard(Allowed()).examine(url)
    _, found = await Guard(OPEN).examine(url)
    assert {str(each) for each in found} <= {"127.0.0.1", "0.0.0.0", "::1"}
    assert found


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "is a URL"),
        ("example.org/hook", "is a URL"),
        ("ftp://example.org/", "is a URL"),
        ("file:///etc/passwd", "is a URL"),
        ("gopher://example.org:70/_x", "is a URL"),
        ("unix:///run/docker.sock", "is a URL"),
        ("https://", "is a URL"),
        ("https:///hook", "is a URL"),
        ("https://user@example.org/", "no user name"),
        ("https://user:secret@example.org/", "no user name"),
        ("https://example.org@127.0.0.1/", "no user name"),
        ("https://@example.org/", "no user name"),
        ("https://example.org\\@127.0.0.1/", "backslashes"),
        ("https://example.org/a b", "blanks"),
        ("https://example.org/\r\nX-Evil: 1", "blanks"),
        ("https://exa\tmple.org/", "blanks"),
        (" https://example.org/", "blanks"),
        ("https://example.org/\x00", "blanks"),
        ("https://example.org/\u202e", "blanks"),
        ("https://example.org/caf\u00e9", "ASCII"),
        ("https://example.org:99999/", "not a URL"),
        ("https://example.org:x/", "not a URL"),
        ("https://[::1/", "not a URL"),
        ("https://[v1.x]/", "not a"),
        ("https://[fe80::1%25eth0]/", "not a name or an address"),
        ("https://exa%6dple.org/", "not a name or an address"),
        ("https://example.org%2f@127.0.0.1/", "no user name"),
        ("https://-example.org/", "not a name or an address"),
        ("https://ex..ample.org/", "not a name or an address"),
        ("https://exam!ple.org/", "not a name or an address"),
        (f"https://{'a' * 64}.org/", "not a name or an address"),
        (f"https://{'a.' * 127}org/", "not a name or an address"),
        (f"https://example.org/{'a' * 2048}", "at most 2048"),
    ],
)
async def test_what_is_no_plain_address_is_refused_even_with_the_guard_off(url: str, why: str) -> None:
    with pytest.raises(WebhookRefusedError, match=why):
        await Guard(OPEN).examine(url)


@pytest.mark.parametrize("port", [0, 1, 22, 25, 80, 53, 110, 445, 465, 993])
async def test_ports_of_other_services_are_refused(port: int) -> None:
    with pytest.raises(WebhookRefusedError, match="443, or above 1023"):
        await Guard(Allowed()).examine(f"https://8.8.8.8:{port}/")
    assert (await Guard(OPEN).examine(f"https://8.8.8.8:{port}/"))[0].port == port


async def test_plain_http_needs_the_operator() -> None:
    with pytest.raises(WebhookRefusedError, match="begins with https://"):
        await Guard(Allowed()).examine("http://8.8.8.8/")
    for allowed in ("8.8.8.0/24", "8.8.8.8"):
        assert (await Guard(Allowed([allowed])).examine("http://8.8.8.8/"))[0].port == 80


async def test_what_the_operator_names_is_allowed_and_nothing_beside_it() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["10.1.2.3"]

    for allowed in ("hooks.example.org", "HOOKS.example.org.", "*.example.org", "10.0.0.0/8", "10.1.2.3"):
        guard = Guard(Allowed([allowed]), resolve)
        assert [str(each) for each in (await guard.examine("http://hooks.example.org:22/"))[1]] == ["10.1.2.3"]
        with pytest.raises(WebhookRefusedError):
            await guard.examine("https://127.0.0.1/")
    for allowed in ("example.org", "*.hooks.example.org", "11.0.0.0/8", "10.1.2.4", "s.example.org"):
        with pytest.raises(WebhookRefusedError):
            await Guard(Allowed([allowed]), resolve).examine("https://hooks.example.org/")
    with pytest.raises(WebhookRefusedError):
        await Guard(Allowed(["*.example.org"]), resolve).examine("https://evilexample.org/")


async def test_a_network_of_the_operators_covers_addresses_that_wrap_it() -> None:
    guard = Guard(Allowed(["10.0.0.0/8"]))
    for host in ("[::ffff:10.0.0.1]", "[64:ff9b::a00:1]"):
        await guard.examine(f"https://{host}/")


@pytest.mark.parametrize(
    "wrong", ["http://example.org", "example.org:443", "10.0.0.0/33", "10.0.0", "a b", "*", "*.*.x"]
)
def test_what_the_operator_cannot_name_is_an_error(wrong: str) -> None:
    with pytest.raises(ValueError, match="not a host, address or network"):
        Allowed([wrong])


async def test_a_name_that_does_not_exist_is_refused_as_one_of_an_inner_network_is() -> None:
    async def missing(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    said = set()
    for guard in (Guard(Allowed(), missing), answers("10.0.0.1"), answers()):
        with pytest.raises(WebhookRefusedError) as refused:
            await guard.admit("https://hooks.example.org/")
        said.add(str(refused.value))
    assert len(said) == 1


async def test_a_look_up_that_fails_for_now_is_accepted_and_not_sent_to() -> None:
    async def later(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    for guard in (Guard(Allowed(), later), Guard(Allowed(), never, patience=0.01)):
        await guard.admit("https://hooks.example.org/")
        with pytest.raises(LookupFailedError):
            await guard.examine("https://hooks.example.org/")
        for wrong in ("http://hooks.example.org/", "https://hooks.example.org:22/"):
            with pytest.raises(WebhookRefusedError, match=r"^the (address|port) of a webhook"):
                await guard.admit(wrong)


async def test_the_system_looks_names_up() -> None:
    lookups = Lookups()
    assert "127.0.0.1" in await lookups.resolve("127.0.0.1", 80)
    with pytest.raises(OSError):
        await lookups.resolve("does-not-exist.invalid", 80)


async def test_slow_look_ups_are_bounded_and_keep_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    hold, begun = threading.Event(), threading.Semaphore(0)

    def slow(*_: object, **__: object) -> list[object]:
        begun.release()
        hold.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    lookups = Lookups()
    tasks = [asyncio.create_task(lookups.resolve("slow.example.org", 443)) for _ in range(20)]
    for _ in range(8):
        assert await asyncio.to_thread(begun.acquire, timeout=30)
    for task in tasks:  # nobody waits any more, but the threads are not free
        task.cancel()
    await asyncio.wait(tasks)
    late = asyncio.create_task(lookups.resolve("slow.example.org", 443))
    await asyncio.sleep(0)
    assert not begun.acquire(blocking=False)
    hold.set()
    assert await late == []


def test_an_address_is_taken_apart_once() -> None:
    assert take_apart("HTTPS://B\u00fccher.Example:8443/a?b#c") == Place("https", "xn--bcher-kva.example", 8443, "/a?b")
    assert take_apart("https://example.org").authority == "example.org"
    assert take_apart("https://example.org:444?x").authority == "example.org:444"
    assert take_apart("https://example.org:444?x").target == "/?x"
    assert take_apart("https://[2606:2800:220:1::1]:444/").authority == "[2606:2800:220:1::1]:444"
    assert take_apart("https://EXAMPLE.org/").counted_as == "example.org:443"
