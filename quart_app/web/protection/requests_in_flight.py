"""Bounds the requests that are being answered and the bytes of their bodies in memory, in all and for each caller.

Clients without a key count as one caller for each address. Requests over the control socket are not counted.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from quart_app.web.messages.problems import Problem

SMALL: Final = 65_536  # bytes; a body up to this size costs no more than the request itself
_RETRY: Final = {"Retry-After": "2"}
_CLOSE: Final = {**_RETRY, "Connection": "close"}


class RequestsInFlight:
    def __init__(self, most: int, of_one: int, bytes_of_bodies: int) -> None:
        """`most`: requests in all. `of_one`: requests of one caller. `bytes_of_bodies`: bytes in all; one caller may
        have half of them."""
        self._most = most
        self._of_one = of_one
        self._bytes_of_bodies = bytes_of_bodies
        self._of: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self.open = 0
        self.held = 0

    def begin(self) -> Share:
        """Count a request. Call `end` of its share when it is answered."""
        self.open += 1
        return Share(self)

    def check(self, caller: str) -> None:
        """Raises Problem 429 when the caller has too many requests, 503 when there are too many in all."""
        if self._of[caller] >= self._of_one:
            detail = f"{self._of[caller]} requests of this caller are being answered; that is the limit for one"
            raise Problem(429, "too-many-requests", "Too many requests", detail, _RETRY)
        if self.open > self._most:
            detail = f"{self.open - 1} requests are being answered; the limit is {self._most}"
            raise Problem(503, "too-many-requests", "Too many requests", detail, _RETRY)

    def grow(self, caller: str, size: int) -> Problem | None:
        """Count `size` more bytes of a body. Returns None, or the problem when they are too many."""
        if self._bytes[caller] + size > max(self._bytes_of_bodies // 2, size):
            detail = "the bodies that this caller is sending hold as many bytes as one caller may send at once"
            return Problem(429, "too-many-bytes", "Too many bytes", detail, _CLOSE)
        if self.held + size > max(self._bytes_of_bodies, size):
            detail = "the bodies that are on their way are as many bytes as the server keeps"
            return Problem(503, "too-many-bytes", "Too many bytes", detail, _CLOSE)
        self._bytes[caller] += size
        self.held += size
        return None


class Share:
    """The share of one request."""

    __slots__ = ("_caller", "_flight", "_held", "_holder")

    def __init__(self, flight: RequestsInFlight) -> None:
        self._flight = flight
        self._caller: str | None = None
        self._holder = ""
        self._held = 0

    def belongs_to(self, caller: str) -> None:
        """Count the request for this caller. Raises Problem 429, 503."""
        self._flight.check(caller)
        self._flight._of[caller] += 1
        self._caller = caller

    def hold(self, size: int) -> Problem | None:
        """Count a body of `size` bytes in memory. Returns None, or the problem when they are too many."""
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
    """The share of a request; None in an embedding app, and for the operator."""
    found: Share | None = scope.get("quart_app.share")
    return found


def _less(counter: Counter[str], name: str, count: int) -> None:
    counter[name] -= count
    if not counter[name]:
        del counter[name]
