"""The open event streams: limits their number, and cuts those whose clients do not read.

A client that has stopped reading would keep its connection, and the data written to it, for ever: the server waits for
room and no time limit of HTTP applies. So each stream notes when it writes data and when the connection has taken them.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Final

from quart_app.clock import Clock
from quart_app.core.errors import TooManyStreams
from quart_app.process.descriptors import Address, cut

log = logging.getLogger("quart_app.services")

MAX_OF_ONE: Final = 500  # streams of one caller with a key
STALL: Final = 30.0  # seconds without taking any data, before a stream is cut
INTERVAL: Final = 2.0
SMALL: Final = 16_384  # bytes that any socket takes at once: a stream that sent no more has nothing unsent
GOODBYE: Final = 0.7  # seconds that open streams have to end when the server stops


class OpenStream:
    """One stream; `peer` is the address of its client, or None when it is unknown."""

    __slots__ = ("_clock", "_dismissed", "_stop", "caller", "handed_at", "peer", "sent")

    def __init__(self, clock: Clock, caller: str, peer: Address | None) -> None:
        self._clock = clock
        self.caller = caller
        self.peer = peer
        self.sent = 0
        self.handed_at: float | None = None
        self._stop: Callable[[], None] | None = None
        self._dismissed = False

    def ends_by(self, stop: Callable[[], None]) -> None:
        """Set `stop`, which ends the stream. It is called at once when the stream is dismissed already."""
        self._stop = stop
        if self._dismissed:
            stop()

    def dismiss(self) -> None:
        """End the stream by its `stop`, or, when it has none, by cutting its connection."""
        self._dismissed = True
        if self._stop is not None:
            self._stop()
        elif self.peer is not None:
            cut({self.peer})

    def hands(self, size: int) -> None:
        """Note that `size` bytes are being written to the connection."""
        self.sent += size
        self.handed_at = self._clock.monotonic()

    def resumes(self) -> None:
        """Note that the connection has taken the bytes."""
        self.handed_at = None


class Streams:
    def __init__(self, limit: int, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._open: set[OpenStream] = set()
        self._of_caller: Counter[str] = Counter()
        self._leaving: dict[Address, float] = {}

    @property
    def open(self) -> int:
        return len(self._open)

    def enter(self, caller: str, peer: Address | None) -> OpenStream:
        """Register a new stream. Raises TooManyStreams."""
        if len(self._open) >= self._limit:
            raise TooManyStreams(f"{len(self._open)} streams are open; the limit is {self._limit}")
        if caller and self._of_caller[caller] >= MAX_OF_ONE:
            raise TooManyStreams(f"{MAX_OF_ONE} streams are open for {caller}; that is the limit for one caller")
        stream = OpenStream(self._clock, caller, peer)
        self._open.add(stream)
        self._of_caller[caller] += 1
        if peer is not None:
            self._leaving.pop(peer, None)
        return stream

    def leave(self, stream: OpenStream) -> None:
        """Remove a stream that has ended. Its connection is closed now, or once everything is sent."""
        self._open.discard(stream)
        self._of_caller[stream.caller] -= 1
        if not self._of_caller[stream.caller]:
            del self._of_caller[stream.caller]
        if stream.peer is not None and stream.sent > SMALL:
            self._leaving[stream.peer] = self._clock.monotonic()

    def dismiss(self, caller: str) -> None:
        """End the streams of this caller, because its key is no longer valid."""
        for stream in self._open:
            if stream.caller == caller:
                stream.dismiss()

    def cut(self, stream: OpenStream) -> None:
        """Cut the connection of the stream now."""
        cut({stream.peer})

    async def run_once(self, now: int) -> float | None:
        """Cut the streams whose clients have taken nothing for STALL seconds, and ended streams whose last bytes were
        not taken for as long. One look at the descriptors serves all of them."""
        if self._open or self._leaving:
            before = self._clock.monotonic() - STALL
            stalled = {one.peer for one in self._open if one.handed_at is not None and one.handed_at < before}
            gone = {peer for peer, since in self._leaving.items() if since < before}
            for peer in gone:
                del self._leaving[peer]
            if due := (stalled | gone) - {None}:
                count = cut(due)
                if count:
                    log.info("cut %d streams that nobody reads", count)
        return None

    async def end(self) -> None:
        """Called when the server stops. The streams end by themselves; those that cannot are cut."""
        while self._open or self._leaving:
            await self._clock.sleep(GOODBYE)
            cut({one.peer for one in self._open if one.peer is not None} | self._leaving.keys())
            self._leaving.clear()
