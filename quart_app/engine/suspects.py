"""Limits how many suspects may run together. A suspect is a task whose process has died under it twice or more
(SUSPECT_CRASHES) without a recorded step in between: it may be the cause. It holds a seat until it ends, records a
step, or has run for so long that it is unlikely to be what killed its process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

from quart_app.core.lifecycle import SUSPECT_CRASHES, suspect_seats, suspect_seconds
from quart_app.core.task import Claimed

MANY: Final = 2**31


class SuspectSeats:
    def __init__(self, concurrency: int, max_crashes: int, on_free: Callable[[], None]) -> None:
        """`on_free` is called when a seat becomes free."""
        self._seats = suspect_seats(concurrency, max_crashes)
        self._on_free = on_free
        self._taken: dict[tuple[str, int], tuple[int, asyncio.TimerHandle]] = {}

    def rooms(self) -> Iterator[tuple[int, int, int]]:
        """Ranges of suspects that may start now: (least crashes, most crashes, how many more of them), those with the
        fewest crashes first."""
        taken = [self._seats_with(crashes) for crashes, _ in self._taken.values()]
        last = SUSPECT_CRASHES + len(self._seats) - 1
        for crashes in range(SUSPECT_CRASHES, last + 1):
            room = min([self._seats_with(crashes), *taken]) - len(taken)
            if room > 0:
                yield crashes, MANY if crashes == last else crashes, room

    def _seats_with(self, crashes: int) -> int:
        return self._seats[min(crashes - SUSPECT_CRASHES, len(self._seats) - 1)]

    def take(self, task: Claimed) -> None:
        timer = asyncio.get_running_loop().call_later(suspect_seconds(task.lived_ms), self.free, task)
        self._taken[task.id, task.fence] = task.crashes, timer

    def free(self, task: Claimed) -> None:
        """Free the seat of a task that has ended or is no suspect any more. Does nothing when it has no seat."""
        if (taken := self._taken.pop((task.id, task.fence), None)) is not None:
            taken[1].cancel()
            self._on_free()

    def close(self) -> None:
        for _, timer in self._taken.values():
            timer.cancel()
        self._taken.clear()
