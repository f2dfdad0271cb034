"""Sliding windows: when may one more call start? Never more than so many in any window, wherever one puts it.

A log holds the date of each call that counts. Any unit of time will do, as long as it is one.
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
        """The first moment from `now` on at which one more call may start; None: not before one of those in flight
        has been answered. `dates` are those of the answered calls, oldest first; old ones do no harm."""
        # An answered call leaves the window at its date + window; one in flight will be dated by its answer. So many
        # of them must have left before there is room:
        last = in_flight + len(dates) - self.max_calls
        if last < 0:
            return now
        if last >= len(dates):
            return None
        return max(now, dates[last] + self.window)

    def inside(self, dates: Sequence[Date], now: float) -> Sequence[Date]:
        """Those of the dates, oldest first, that still count at `now`."""
        return dates[bisect_right(dates, now - self.window) :]


class Moment(NamedTuple):
    """The two clocks at one instant, in ms: the wall clock, which steps, and the one that starts again at a boot."""

    wall: int
    up: int

    def age(self, now: Moment) -> int:
        """How long ago this was, in ms, over restarts: never more than it is, for then a limit would be broken.

        Within one boot the time since boot is right, whatever the wall clock did; after another boot it is usually
        smaller than it was. Where both are possible the smaller one counts.
        """
        age = now.wall - self.wall
        if now.up >= self.up:
            age = min(age, now.up - self.up)
        return max(age, 0)


class LimitedCall(NamedTuple):
    """A call that is on record. `at`: when it was answered; of one that a dead process has `left` in flight, now."""

    id: int
    name: str
    window_ms: int
    at: Moment
    left: bool


class Hold(NamedTuple):
    """Nobody calls under this name for `held_ms` from `at` on."""

    id: int
    name: str
    at: Moment
    held_ms: int


def retry_after(text: str, now: int) -> float | None:
    """Seconds that a Retry-After field asks for (RFC 9110, 10.2.3: seconds or a date; `now` in ms UTC); None when it
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
