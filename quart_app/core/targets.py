"""Where a request on somebody's behalf may go: public addresses, ordinary ports. Against server-side request forgery:
nobody shall reach this machine, its network or a cloud's metadata through us.

`check` looks at a URL alone; `is_public` at an address a name was resolved to. Both are asked: the first when a task is
made, the second at the moment of the connection, which then goes to that very address.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

MAX_URL: Final = 2000
PORTS: Final = {"http": 80, "https": 443}

# The whole URL, so that no two readers of it can differ: no user info, no backslash, no blank, nothing but ASCII.
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

_GLOBAL_UNICAST: Final = ipaddress.ip_network("2000::/3")  # the only part of IPv6 that is in public use (RFC 4291)
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address


class TargetRefused(Exception):
    """We do not send requests there; `str()` says why."""


def check(url: str, allow_private: bool = False) -> None:
    """Raises TargetRefused for what can be seen to be wrong without asking for an address. `allow_private`: any
    address and any port will do, for development."""
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
    """Whether an address is one of the public Internet, whatever IPv4 address is wrapped in it."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            address = ipaddress.IPv4Address(address.packed[12:])
        elif wrapped := address.ipv4_mapped or address.sixtofour:
            address = wrapped
        elif address not in _GLOBAL_UNICAST or address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def site(url: str) -> str:
    """The host and port of a checked URL, the same for http and https on their own ports."""
    parts = urlsplit(url)
    host, port = (parts.hostname or "").rstrip("."), parts.port
    return host if port is None or port == PORTS.get(parts.scheme) else f"{host}:{port}"
