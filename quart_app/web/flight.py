"""The requests that are being answered, and the bytes of their bodies in memory: bounded, in all and of one caller.

Who has no key is one caller with all others of the same address. The operator's door is not counted.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from quart_app.web.problems import Problem

SMALL: Final = 65_536  # bytes of a body that cost no more than the request itself
_RETRY: Final = {"Retry-After": "2"}
_CLOSE: Final = {**_RETRY, "Connection": "close"}


class Flight:
    def __init__(self, most: int, of_one: int, bytes_of_bodies: int) -> None:
        """`of_one`, and half of `bytes_of_bodies`: what one caller may have."""
        self._most = most
        self._of_one = of_one
        self._bytes_of_bodies = bytes_of_bodies
        self._of: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self.open = 0
        self.held = 0

    def begin(self) -> Share:
        """A request has come; `end` it."""
        self.open += 1
        return Share(self)

    def check(self, caller: str) -> None:
        """Raises Problem 429, 503."""
        if self._of[caller] >= self._of_one:
            detail = f"{self._of[caller]} requests of this caller are being answered; that is the limit for one"
            raise Problem(429, "too-many-requests", "Too many requests", detail, _RETRY)
        if self.open > self._most:
            detail = f"{self.open - 1} requests are being answered; the limit is {self._most}"
            raise Problem(503, "too-many-requests", "Too many requests", detail, _RETRY)

    def grow(self, caller: str, size: int) -> Problem | None:
        """Keep `size` bytes more of a body; or why not."""
        if self._bytes[caller] + size > max(self._bytes_of_bodies // 2, size):
            detail = "the bodies of this caller that are on their way are as many bytes as one may send at once"
            return Problem(429, "too-many-bytes", "Too many bytes", detail, _CLOSE)
        if self.held + size > max(self._bytes_of_bodies, size):
            detail = "the bodies that are on their way are as many bytes as the server keeps"
            return Problem(503, "too-many-bytes", "Too many bytes", detail, _CLOSE)
        self._bytes[caller] += size
        self.held += size
        return None


class Share:
    """What one request has of it."""

    __slots__ = ("_caller", "_flight", "_held", "_holder")

    def __init__(self, flight: Flight) -> None:
        self._flight = flight
        self._caller: str | None = None
        self._holder = ""
        self._held = 0

    def belongs_to(self, caller: str) -> None:
        """Raises Problem 429, 503."""
        self._flight.check(caller)
        self._flight._of[caller] += 1
        self._caller = caller

    def hold(self, size: int) -> Problem | None:
        """Its body will be so many bytes in memory; or why they are not kept."""
        self._holder = self._caller or ""
        refused = self._flight.grow(self._holder, size)
        if refused is None:
            self._held = size
        return refused

    def end(self) -> None:
        flight = self._flight
        flight.open -= 1
        if self._caller is not None:
            _less(flight._of, self._caller, 1)
        if self._held:
            flight.held -= self._held
            _less(flight._bytes, self._holder, self._held)


def share_of(scope: Any) -> Share | None:
    """None in somebody else's app, and for the operator."""
    found: Share | None = scope.get("quart_app.share")
    return found


def _less(counter: Counter[str], name: str, count: int) -> None:
    counter[name] -= count
    if not counter[name]:
        del counter[name]
