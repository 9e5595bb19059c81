"""Which proxies are believed when they say for whom they ask, and whom they name."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

ANYBODY = "*"

_MOST_HOPS = 50

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_proxy(text: str) -> _Network | None:
    """Read an address or a network; None is everybody (``*``). Raises ``ValueError`` for anything else."""
    return None if text == ANYBODY else ipaddress.ip_network(text, strict=False)


class TrustedProxies:
    """The addresses that are believed."""

    def __init__(self, proxies: Iterable[str]) -> None:
        networks = [parse_proxy(each) for each in proxies]
        self.everybody = None in networks
        self._networks = [each for each in networks if each is not None]
        self.include = lru_cache(4096)(self._include)

    def __bool__(self) -> bool:
        return self.everybody or bool(self._networks)

    def _include(self, host: str) -> bool:
        address = _address(host)
        return self.everybody or (address is not None and any(address in network for network in self._networks))

    def client(self, forwarded: str) -> str:
        """Return the client's address of an ``X-Forwarded-For``; empty where what stands there is none.

        Every proxy adds whom it was asked by, at the end: so the last that is no proxy of ours is the client.
        """
        if self.everybody:
            return _host(forwarded.partition(",")[0])
        host = ""
        for hop in reversed(forwarded.rsplit(",", _MOST_HOPS)):
            host = _host(hop)
            if not host or not self.include(host):
                break
        return host


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _host(hop: str) -> str:
    """Return the address of ``1.2.3.4``, ``1.2.3.4:5``, ``2001:db8::1`` or ``[2001:db8::1]:5``."""
    hop = hop.strip()
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    address = _address(hop)
    return "" if address is None or "%" in hop else str(address)
