"""The clock of the kit: it stands still until it is moved."""

from __future__ import annotations

import asyncio
import datetime
import heapq
import itertools
import math
from typing import Final

BOOT: Final = 1_000_000  # ms since the boot at which the clock starts
TURNS: Final = 20  # turns of the loop in which others may ask for an earlier time


class VirtualClock:
    """A Clock that stands still. Who sleeps on it holds a slot or a request, as in a `ctx.sleep` below a second or in
    `ctx.limit`: that time passes at once, the earliest wake-up first."""

    def __init__(self, start: int) -> None:
        """`start` in ms UTC."""
        self._start = self._now = start
        self._numbers = itertools.count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._waker: asyncio.Task[None] | None = None

    def now(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return (BOOT + self._now - self._start) / 1000

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        at = self._now + max(math.ceil(seconds * 1000), 0)
        heapq.heappush(self._sleepers, (at, next(self._numbers), woken))
        if self._waker is None or self._waker.done():  # it is done with the loop of an earlier test, too
            self._waker = asyncio.create_task(self._wake(), name="virtual-clock")
        await woken

    def pass_until(self, at: int) -> None:
        """Let the time pass until `at`, in ms UTC. It never goes back."""
        self._now = max(self._now, at)

    def stop(self) -> None:
        """Wake nobody any more."""
        if self._waker is not None:
            self._waker.cancel()

    async def _wake(self) -> None:
        while self._sleepers:
            for _ in range(TURNS):
                await asyncio.sleep(0)
            at, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                self.pass_until(at)
                woken.set_result(None)


def moment(at: int) -> datetime.datetime:
    """The aware datetime of a time in ms UTC."""
    return datetime.datetime.fromtimestamp(at / 1000, datetime.UTC)
