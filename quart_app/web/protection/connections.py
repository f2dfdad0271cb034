"""Limits the connections in all and of one peer, well below the number of descriptors that the process may have.

A server that runs out of descriptors loses more than connections: the log, uploads and child processes need them too.
So at the ceiling the oldest connection without a request is ended. An unused connection makes room for a new client,
whatever their addresses.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import Counter
from itertools import islice
from typing import Final

from quart_app.core.trusted_proxies import Trusted

if sys.platform != "win32":
    import resource

log = logging.getLogger("quart_app.web.connections")

OTHERS: Final = 64  # descriptors kept for other uses than connections
LOOKED_AT: Final = 64  # connections that are searched for one of the same peer
_BODY: Final = (
    b'{"type":"urn:quart-app:problem:too-many-connections","title":"Too many connections","status":503,'
    b'"detail":"no connection more is accepted at the moment","error":"Too many connections"}'
)
REFUSAL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\n"
    b"retry-after: 2\r\nconnection: close\r\n\r\n%b" % (len(_BODY), _BODY)
)


def ceiling(wanted: int) -> int:
    """`wanted`, or three quarters of the descriptors that this process may have, if those are fewer."""
    if sys.platform == "win32":
        return wanted
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    return min(wanted, max(min(soft * 3 // 4, soft - OTHERS), soft // 4, 1))


class Place:
    """The place of one connection."""

    __slots__ = ("peer", "transport", "used")

    def __init__(self, transport: asyncio.WriteTransport, peer: str) -> None:
        self.transport: asyncio.WriteTransport | None = transport
        self.peer = peer
        self.used = False  # it has sent the whole head of a request


class Connections:
    def __init__(self, most: int, of_a_peer: int = 0, proxies: Trusted | None = None) -> None:
        """`of_a_peer`: connections of one peer. 0: half of `most`, and addresses of this machine have no ceiling of
        their own, because they are usually a proxy's. `proxies`: addresses without a ceiling of their own."""
        self.most = most
        self._of_a_peer = of_a_peer
        self._proxies = proxies or Trusted()
        # Connections without a request, the oldest first: those that never had one, and those kept for the next one.
        self._fresh: dict[Place, None] = {}
        self._kept: dict[Place, None] = {}
        self._of: Counter[str] = Counter()
        self.open = 0

    def enter(self, transport: asyncio.WriteTransport) -> Place | None:
        """A place for this connection. None: there is none; a 503 has been sent and the connection is being closed."""
        peer = _peer(transport.get_extra_info("peername"))
        if self._of[peer] >= self._ceiling_of(peer) and not self._end_one_of(peer):
            self._refuse(transport, f"{self._of[peer]} connections of {peer}")
            return None
        if self.open >= self.most and not self._end_one():
            self._refuse(transport, f"{self.open} connections")
            return None
        place = Place(transport, peer)
        self._of[peer] += 1
        self.open += 1
        self._fresh[place] = None
        return place

    def busy(self, place: Place) -> None:
        """The connection has a request."""
        (self._kept if place.used else self._fresh).pop(place, None)
        place.used = True

    def idle(self, place: Place) -> None:
        """The request of the connection is answered."""
        if place.transport is not None:
            self._kept[place] = None

    def leave(self, place: Place) -> None:
        """The connection has ended. A second call does nothing."""
        if place.transport is None:
            return
        place.transport = None
        self._fresh.pop(place, None)
        self._kept.pop(place, None)
        self.open -= 1
        self._of[place.peer] -= 1
        if not self._of[place.peer]:
            del self._of[place.peer]

    def _ceiling_of(self, peer: str) -> int:
        if not peer or self._proxies.hops or self._proxies.includes(peer):
            return self.most
        if self._of_a_peer:
            return self._of_a_peer
        return self.most if peer.startswith("127.") or peer == "::1" else max(self.most // 2, 1)

    def _end_one(self) -> bool:
        """End the oldest connection without a request. It is taken from the larger group (unused or kept), because a
        client that fills the server has opened those."""
        for among in sorted((self._fresh, self._kept), key=len, reverse=True):
            if among:
                self._end(next(iter(among)))
                return True
        return False

    def _end_one_of(self, peer: str) -> bool:
        for among in (self._fresh, self._kept):
            for place in islice(among, LOOKED_AT):
                if place.peer == peer:
                    self._end(place)
                    return True
        return False

    def _end(self, place: Place) -> None:
        transport = place.transport
        self.leave(place)
        if transport is not None:
            transport.abort()

    def _refuse(self, transport: asyncio.WriteTransport, why: str) -> None:
        log.warning("a connection was refused: there are %s, which all have a request", why)
        transport.write(REFUSAL)
        transport.close()


def _peer(name: object) -> str:
    """The address of the peer; for IPv6 its /64 network, which is that of one customer; "" for a Unix socket."""
    if not isinstance(name, tuple):
        return ""
    address = str(name[0])
    if ":" not in address or address == "::1":
        return address
    if address.startswith("::ffff:") and "." in address:
        return address[7:]
    head, gap, tail = address.partition("%")[0].partition("::")
    words = head.split(":") if head else []
    if gap:
        last = tail.split(":") if tail else []
        words += ["0"] * (8 - len(words) - len(last)) + last
    return ":".join(words[:4]) + "::/64"
