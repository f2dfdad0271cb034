"""Checks the targets of requests for clients: only public addresses and the usual ports. It prevents server-side
request forgery: a client must not reach this machine, its network or a cloud's metadata through this server.

`check` checks a URL alone, when a task is made. `is_public` checks the address that a name resolved to, at the moment
of the connection; the connection then goes to that same address.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

MAX_URL: Final = 2000
PORTS: Final = {"http": 80, "https": 443}

# The whole URL, so that two parsers cannot read it differently: no user info, no backslash, no blank, only ASCII.
_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9](?:[a-z0-9._-]{0,251}[a-z0-9])?\.?|\[[0-9a-f:.]{2,45}\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?:[/?#][\x21-\x5b\x5d-\x7e]*)?",
    re.IGNORECASE,
)
_NUMERIC: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?", re.IGNORECASE)  # WHATWG URL: "ends in a number"
# RFC 6761, RFC 6762 and ICANN: names that never mean a host of the public Internet.
_INNER: Final = re.compile(
    r"(?:.*\.)?(?:localhost|local|internal|localdomain|home\.arpa|lan|intranet)\.?", re.IGNORECASE
)

# Networks that are not public are listed here, because `is_global` of ipaddress differs between Python versions.
_NOT_PUBLIC_4: Final = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",  # this host (RFC 791)
            "10.0.0.0/8",  # private (RFC 1918)
            "100.64.0.0/10",  # carriers' networks (RFC 6598), and Alibaba Cloud's metadata
            "127.0.0.0/8",  # loopback (RFC 1122)
            "168.63.129.16/32",  # WireServer of Azure
            "169.254.0.0/16",  # link-local (RFC 3927), and most clouds' metadata
            "172.16.0.0/12",  # private (RFC 1918)
            "192.0.0.0/24",  # protocol assignments (RFC 6890), and Oracle Cloud's metadata
            "192.0.2.0/24",  # documentation (RFC 5737)
            "192.88.99.0/24",  # relays of 6to4, deprecated (RFC 7526)
            "192.168.0.0/16",  # private (RFC 1918)
            "198.18.0.0/15",  # benchmarks (RFC 2544)
            "198.51.100.0/24",  # documentation (RFC 5737)
            "203.0.113.0/24",  # documentation (RFC 5737)
            "224.0.0.0/4",  # multicast (RFC 5771)
            "240.0.0.0/4",  # reserved (RFC 1112), and broadcast
        ),
    )
)
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")  # the only part of IPv6 that is in public use (RFC 4291)
_NOT_PUBLIC_6: Final = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "2001::/23",  # protocol assignments (RFC 2928), including Teredo: no web servers are there
            "2001:db8::/32",  # documentation (RFC 3849)
            "3fff::/20",  # documentation (RFC 9637)
        ),
    )
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_ISATAP: Final = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")  # RFC 5214: an IPv4 address follows, as above


class TargetRefused(Exception):
    """Requests to this target are refused; `str()` is the reason."""


def check(url: str, allow_private: bool = False) -> None:
    """Check a URL without resolving its name. Raises TargetRefused. `allow_private`: allow any address and any port,
    for development."""
    found = _URL.fullmatch(url) if len(url) <= MAX_URL else None
    if found is None:
        raise TargetRefused("must be a plain http or https URL: a host, no user name, ASCII only")
    host, port = found["host"], found["port"]
    if port is not None and not 0 < int(port) < 65536:
        raise TargetRefused(f"there is no port {port}")
    if host.startswith("[") or _NUMERIC.fullmatch(host):
        _check_literal(host.strip("[]"), allow_private)
    elif not allow_private and (_INNER.fullmatch(host) or "." not in host.rstrip(".")):
        raise TargetRefused(f"{host} is no host of the public Internet")
    if not allow_private and port is not None and int(port) not in PORTS.values():
        raise TargetRefused(f"port {port} is none of the web's (80, 443)")


def _check_literal(host: str, allow_private: bool) -> None:
    try:
        address = ipaddress.ip_address(host)  # takes neither 127.1 nor 0x7f000001 nor 017700000001
    except ValueError:
        raise TargetRefused(f"{host} is no address in its usual form") from None
    if not allow_private and not is_public(str(address)):
        raise TargetRefused(f"{address} is not a public address")


def is_public(text: str) -> bool:
    """Whether an address is of the public Internet. An IPv4 address inside an IPv6 address must be public, too."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return _is_public_4(address)
    last = ipaddress.IPv4Address(address.packed[12:])
    if address in _NAT64:
        return _is_public_4(last)
    if address.ipv4_mapped is not None:
        return _is_public_4(address.ipv4_mapped)
    if address not in _GLOBAL_UNICAST or any(address in network for network in _NOT_PUBLIC_6):
        return False
    if address.sixtofour is not None and not _is_public_4(address.sixtofour):
        return False
    return address.packed[8:12] not in _ISATAP or _is_public_4(last)


def _is_public_4(address: ipaddress.IPv4Address) -> bool:
    return not any(address in network for network in _NOT_PUBLIC_4)


def site(url: str) -> str:
    """The host and port of a checked URL, the same for http and https on their own ports."""
    parts = urlsplit(url)
    host, port = (parts.hostname or "").rstrip("."), parts.port
    return host if port is None or port == PORTS.get(parts.scheme) else f"{host}:{port}"
