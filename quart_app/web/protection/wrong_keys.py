"""Slows down the guessing of keys, for each peer. A peer may send BURST wrong keys, and then one for each PAUSE. Until
then its keys are not checked, right or wrong; but a key that this peer has used before is still accepted."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import time
from collections import OrderedDict
from typing import Any, Final

import msgspec

BURST: Final = 10  # wrong keys
PAUSE: Final = 2.0  # seconds for one more
DELAY: Final = 1.0  # seconds until the answer
MAX_DELAYED: Final = 100  # answers that wait, in all
MAX_DELAYED_OF_ONE: Final = 10
MAX_PEERS: Final = 10_000
UNIX: Final = "unix"
_SHOWN: Final = 64  # characters of an address that a proxy gives


class _Peer(msgspec.Struct):
    left: float
    at: float
    delayed: int = 0


class WrongKeys:
    def __init__(self) -> None:
        self._peers: OrderedDict[str, _Peer] = OrderedDict()
        self.any = self._peers
        """Not empty when a peer has lately sent a wrong key."""
        self._delayed = 0

    def wrong(self, peer: str) -> None:
        one = self._look(peer)
        if one is None:
            one = self._peers[peer] = _Peer(BURST, time.monotonic())
            if len(self._peers) > MAX_PEERS:
                self._peers.popitem(last=False)
        self._peers.move_to_end(peer)
        one.left -= 1

    def holds(self, peer: str) -> bool:
        """Whether this peer has sent too many wrong keys."""
        one = self._look(peer)
        return one is not None and one.left < 1

    async def delay(self, peer: str) -> None:
        """Wait DELAY seconds, or return at once when too many answers wait already."""
        one = self._peers.get(peer)
        if one is None or one.delayed >= MAX_DELAYED_OF_ONE or self._delayed >= MAX_DELAYED:
            return
        one.delayed += 1
        self._delayed += 1
        try:
            await asyncio.sleep(DELAY)
        finally:
            one.delayed -= 1
            self._delayed -= 1

    def _look(self, peer: str) -> _Peer | None:
        one = self._peers.get(peer)
        if one is None:
            return None
        now = time.monotonic()
        one.left = min(one.left + (now - one.at) / PAUSE, float(BURST))
        one.at = now
        if one.left >= BURST and not one.delayed:
            del self._peers[peer]
            return None
        return one


def peer_of(scope: Any) -> str:
    """The address of the peer; for IPv6 its /64 network, which is that of one customer; UNIX for a Unix socket."""
    client = scope.get("client")
    if not client or not client[0]:
        return UNIX
    text: str = client[0]
    if ":" not in text:
        return text if len(text) <= _SHOWN else text[:_SHOWN]
    return _network(text[:_SHOWN])


@functools.lru_cache(maxsize=1024)
def _network(text: str) -> str:
    try:
        address = ipaddress.IPv6Address(text.partition("%")[0])
    except ValueError:
        return text
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, 64), strict=False))
