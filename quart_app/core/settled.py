"""Which time can be believed. The wall clock may be wrong for some seconds, by hours or by days; the monotonic clock
tells how much time has really passed. Pure; all in ms.

What a wrong time would do for good waits until that time has been true for a while: a task that starts too early, a row
that is deleted. What is only late when the clock is wrong does not wait.
"""

from __future__ import annotations

from collections import deque
from typing import Final

TO_RUN: Final = 15_000  # a start that was not due can do harm, one that comes late too
TO_FORGET: Final = 60_000  # what is deleted is gone, and nobody waits for it
STEP: Final = 2_000  # less is no step: clocks are slewed, and reading two of them takes a moment
_PIECE: Final = 1_000  # looks within a second are kept as one


class Settled:
    """What the wall clock showed over the last `window`, beside the monotonic clock. Look at least once a second."""

    def __init__(self, window: int) -> None:
        self._window = window
        # Of each second: its beginning by the monotonic clock, the least and the greatest wall - monotonic in it.
        self._seconds: deque[tuple[int, int, int]] = deque()
        self._wall = self._up = 0  # of the last look
        self._before: tuple[int, int] | None = None  # the least and the greatest of all but the last of them

    def begin(self, known: int, up: int) -> None:
        """Count from what is `known` of a former life: how long ago that was, nobody knows."""
        self._note(up, known - up)

    def look(self, wall: int, up: int) -> None:
        """What both clocks show at this moment."""
        self._note(up, wall - up)
        self._wall, self._up = wall, up

    @property
    def settled(self) -> int:
        """The time that was already true a window before the last look, and as much later as has passed since: what
        the wall clock shows, unless that is a step later."""
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
        # The last look before the window stays: until the next one nobody knows better.
        while len(seconds) > 1 and seconds[1][0] <= up - self._window:
            seconds.popleft()
        past = list(seconds)[:-1]
        self._before = (min(one[1] for one in past), max(one[2] for one in past)) if past else None

    def _range(self) -> tuple[int, int]:
        _, least, greatest = self._seconds[-1]
        if self._before is None:
            return least, greatest
        return min(self._before[0], least), max(self._before[1], greatest)
