"""Time that stands still until a test moves it."""

from __future__ import annotations

import asyncio

START = 1_700_000_000_000  # some day in 2023, in ms UTC


class VirtualClock:
    """A Clock whose hands are moved by `advance`; whoever sleeps on it wakes when its time has come."""

    def __init__(self, now: int = START) -> None:
        self._now = now
        self._monotonic = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._monotonic + seconds, future))
        await future

    def advance(self, seconds: float) -> int:
        """Let time pass; the new time in ms."""
        self._monotonic += seconds
        awake = [future for at, future in self._sleepers if at <= self._monotonic]
        self._sleepers = [sleeper for sleeper in self._sleepers if sleeper[0] > self._monotonic]
        for future in awake:
            if not future.done():
                future.set_result(None)
        return self.step(seconds)

    def step(self, seconds: float) -> int:
        """Set the wall clock forward or back, as NTP does; the new time in ms."""
        self._now += round(seconds * 1000)
        return self._now
