"""Which network addresses are of the public internet, and which the operator has allowed besides.

The tables are IANA's registries of special addresses, and a few that clouds use for themselves. An IPv6 address that
leads to an IPv4 one (NAT64, mapped) is judged by where it leads.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NOT_PUBLIC_4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",  # "this network"; 0.0.0.0 is this machine
            "10.0.0.0/8",
            "100.64.0.0/10",  # between a provider and its clients
            "127.0.0.0/8",
            "168.63.129.16/32",  # of Azure, for each machine in it
            "169.254.0.0/16",  # link-local; 169.254.169.254 gives away what a cloud's machine may do
            "172.16.0.0/12",
            "192.0.0.0/24",  # protocols
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # name servers and relays that are nobody's
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)

_PUBLIC_6 = ipaddress.IPv6Network("2000::/3")
"""All that has been given out; what is outside is loopback, link-local, private, multicast or nobody's."""

_NOT_PUBLIC_6 = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "2001::/23",  # protocols, Teredo among them
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4, which leads to any IPv4 address
            "2620:4f:8000::/48",  # name servers that are nobody's
            "3fff::/20",
        ),
    )
)

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")


def plain(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address only wraps or leads to, else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether it is an address of the public internet."""
    address = plain(address)
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    if address.scope_id is not None:
        return False
    return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)


class Allowed:
    """What an operator allows besides: hosts (``hooks.example.org``, ``*.example.org``), addresses and networks.

    Raises ``ValueError`` for what is none of these.
    """

    def __init__(self, entries: Sequence[str] = ()) -> None:
        self._hosts: set[str] = set()
        self._endings: list[str] = []
        self._networks: list[_Network] = []
        for entry in entries:
            self._add(entry)

    def _add(self, entry: str) -> None:
        try:
            self._networks.append(ipaddress.ip_network(entry.strip("[]"), strict=False))
        except ValueError:
            name = entry.lower().rstrip(".")
            if not _NAME.fullmatch(name) or re.fullmatch(r"[0-9.]+", name) or "/" in entry:
                raise ValueError(
                    f"not a host, address or network: {entry!r} (as hooks.example.org, *.example.org or 10.0.0.0/8)"
                ) from None
            if name.startswith("*."):
                self._endings.append(name[1:])
            else:
                self._hosts.add(name)

    def has_host(self, host: str) -> bool:
        """Whether a host is named, whatever its addresses are; ``host`` is in lower case."""
        return host in self._hosts or any(host.endswith(ending) for ending in self._endings)

    def has_address(self, address: Address) -> bool:
        address = plain(address)
        return any(address in network for network in self._networks)
