"""Sliding windows: computes when one more call may start, so that no window at any position has too many calls.

The dates of all calls that count are known. Any unit of time may be used, but only one for all values.
"""

from __future__ import annotations

import datetime
from bisect import bisect_right
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple, TypeVar

Date = TypeVar("Date", bound=float)

MAX_CALLS: Final = 100_000
MAX_SECONDS: Final = 366 * 86_400
MAX_HOLD: Final = 3600.0  # seconds; a longer window may be held for one window


class Limit(NamedTuple):
    """At most `max_calls` in any `window`."""

    max_calls: int
    window: float

    def opens_at(self, dates: Sequence[float], in_flight: int, now: float) -> float | None:
        """The first moment from `now` on at which one more call may start; None: only after a call in flight has been
        answered. `dates` are the dates of the answered calls, oldest first; old ones do no harm."""
        # An answered call leaves the window at its date + window; a call in flight gets the date of its answer. This
        # is the index of the last call that must have left before there is room:
        last = in_flight + len(dates) - self.max_calls
        if last < 0:
            return now
        if last >= len(dates):
            return None
        return max(now, dates[last] + self.window)

    def inside(self, dates: Sequence[Date], now: float) -> Sequence[Date]:
        """The dates, oldest first, that still count at `now`."""
        return dates[bisect_right(dates, now - self.window) :]


class Moment(NamedTuple):
    """Both clocks at one instant, in ms: the wall clock, which may step, and the time since the boot."""

    wall: int
    up: int

    def age(self, now: Moment) -> int:
        """How long ago this was, in ms, over restarts. Never more than the truth, because then a limit would be broken.

        Within one boot the time since boot is right, even if the wall clock stepped. After another boot it is usually
        smaller than before. Where both clocks give an age, the smaller one counts.
        """
        age = now.wall - self.wall
        if now.up >= self.up:
            age = min(age, now.up - self.up)
        return max(age, 0)


class LimitedCall(NamedTuple):
    """A call on record. `at`: when it was answered; for a call that a dead process has `left` in flight, now."""

    id: int
    name: str
    window_ms: int
    at: Moment
    left: bool


class Hold(NamedTuple):
    """Stops all calls under this name for `held_ms` from `at` on."""

    id: int
    name: str
    at: Moment
    held_ms: int


def retry_after(text: str, now: int) -> float | None:
    """The seconds of a Retry-After field (RFC 9110, 10.2.3: seconds or a date; `now` in ms UTC); None when it
    cannot be read."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:10])
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=datetime.UTC)
    return max(at.timestamp() - now / 1000, 0.0)
