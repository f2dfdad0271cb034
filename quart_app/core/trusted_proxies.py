"""The trusted proxies before this server: a number of them, or their addresses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

import msgspec

MAX_HOPS: Final = 10
UNIX: Final = "unix"
_PORT: Final = re.compile(r"(?:\[(?P<six>[^\]]*)\](?::\d*)?|(?P<four>[0-9.]+):\d*)")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Trusted(msgspec.Struct, frozen=True):
    """`hops`: this number of proxies, at any address. Else the proxies in `networks`, and with `unix` those that
    connect through a Unix socket."""

    hops: int = 0
    networks: tuple[Network, ...] = ()
    unix: bool = False

    def __bool__(self) -> bool:
        return bool(self.hops or self.networks or self.unix)

    def count(self, peer: str, forwarded: Sequence[str]) -> int:
        """How many trusted proxies a request came through; each has added an entry to `forwarded`. 0: the peer is no
        trusted proxy."""
        if self.hops:
            return self.hops
        if not (self.unix if not peer or peer.startswith("/") else self.includes(peer)):
            return 0
        number = 1
        for entry in reversed(forwarded[1:]):  # the first entry is the client
            if not self.includes(entry):
                break
            number += 1
        return number

    def includes(self, text: str) -> bool:
        found = address(text)
        return found is not None and any(found in network for network in self.networks)


def parse(text: str) -> Trusted:
    """Raises ValueError."""
    text = text.strip()
    if re.fullmatch("[0-9]+", text, re.ASCII):
        if len(text) > 3 or int(text) > MAX_HOPS:
            raise ValueError(f"at most {MAX_HOPS} proxies")
        return Trusted(hops=int(text))
    networks: list[Network] = []
    unix = False
    for word in (word.strip() for word in text.split(",")):
        if word == UNIX:
            unix = True
            continue
        try:
            networks.append(ipaddress.ip_network(word))
        except ValueError as error:
            hint = "a number of proxies, or their addresses and networks, as in 10.0.0.7,192.168.8.0/24,unix"
            raise ValueError(f"must be {hint} ({str(error)[:100]})") from None
    return Trusted(0, tuple(networks), unix)


def address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address in a text, perhaps with a port. An IPv4-mapped IPv6 address becomes the IPv4 address."""
    if port := _PORT.fullmatch(text):
        text = port["six"] or port["four"] or ""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
