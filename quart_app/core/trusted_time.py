"""Decides which time can be trusted. The wall clock may be wrong for some seconds, by hours or by days; the monotonic
clock shows how much time has really passed. Pure; all times in ms.

An act that a wrong time would make irreversible, such as an early start of a task or a deletion, waits until that time
has been shown for a while. An act that would only be late does not wait.
"""

from __future__ import annotations

from collections import deque
from typing import Final

TO_RUN: Final = 15_000  # a start that is not due can do harm, and so can a late start
TO_FORGET: Final = 60_000  # a deletion cannot be undone, and no caller waits for it
STEP: Final = 2_000  # less is no step: clocks are slewed, and the two are not read at the same instant
_PIECE: Final = 1_000  # looks within a second are stored as one


class Settled:
    """The wall clock over the last `window` ms, compared to the monotonic clock. Call `look` at least once a second."""

    def __init__(self, window: int) -> None:
        self._window = window
        # For each second: its beginning by the monotonic clock, and the least and the greatest wall - monotonic in it.
        self._seconds: deque[tuple[int, int, int]] = deque()
        self._wall = self._up = 0  # of the last look
        self._before: tuple[int, int] | None = None  # the least and the greatest of all seconds but the last

    def begin(self, known: int, up: int) -> None:
        """Start with a time `known` from an earlier process; it is unknown how long ago that was."""
        self._note(up, known - up)

    def look(self, wall: int, up: int) -> None:
        """Record what both clocks show at this moment."""
        self._note(up, wall - up)
        self._wall, self._up = wall, up

    @property
    def settled(self) -> int:
        """The trusted time: the least time of the window, advanced by the monotonic clock; the time of the wall clock
        itself, unless it is a step later."""
        time = self._up + self._range()[0]
        return time if self._wall - time > STEP else self._wall

    @property
    def steady(self) -> bool:
        """Whether no step, forward or back, was seen in the window."""
        least, greatest = self._range()
        return greatest - least <= STEP

    def _note(self, up: int, offset: int) -> None:
        seconds = self._seconds
        if seconds and up - seconds[-1][0] < _PIECE:
            began, least, greatest = seconds[-1]
            seconds[-1] = began, min(least, offset), max(greatest, offset)
            return
        seconds.append((up, offset, offset))
        # The last look before the window stays: it is valid until the next one.
        while len(seconds) > 1 and seconds[1][0] <= up - self._window:
            seconds.popleft()
        past = list(seconds)[:-1]
        self._before = (min(one[1] for one in past), max(one[2] for one in past)) if past else None

    def _range(self) -> tuple[int, int]:
        _, least, greatest = self._seconds[-1]
        if self._before is None:
            return least, greatest
        return min(self._before[0], least), max(self._before[1], greatest)
