"""The one seam for time. The wall clock dates rows; it never decides who is dead or how long something took."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, Protocol

from quart_app.core import settled
from quart_app.core.settled import Settled

log = logging.getLogger("quart_app")

LONG_DOWN: Final = 86_400_000  # ms: a server that seems to have been down for longer looks twice at the clock


class Clock(Protocol):
    def now(self) -> int:
        """Milliseconds UTC since 1970."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never steps."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Trust(Protocol):
    """How far the wall clock is to be believed. Each takes what it shows now (ms UTC) and gives a time that is not
    later; while the clock goes as it should, that is `now` itself."""

    def to_run(self, now: int) -> int:
        """What is due by then may start."""
        ...

    def to_forget(self, now: int) -> int:
        """What is over by then may be deleted, or failed."""
        ...

    def steady(self, now: int) -> bool:
        """Whether there was no step for a while: what is newer has a later date."""
        ...


class WallTrust:
    """Believes what the wall clock shows: for one moment, and for tests that have a clock without steps."""

    def to_run(self, now: int) -> int:
        return now

    def to_forget(self, now: int) -> int:
        return now

    def steady(self, now: int) -> bool:
        return True


class ClockTrust:
    """Believes the wall clock as far as the monotonic one bears it out (core/settled.py). It must be asked about once
    a second; the poller does."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._run = Settled(settled.TO_RUN)
        self._forget = Settled(settled.TO_FORGET)
        self._offset: int | None = None
        self.on_step_back: list[Callable[[], None]] = []
        """Called when the wall clock is seen to have been set back."""

    def begin(self, newest: int) -> None:
        """The store was served before: `newest` is the newest date that it knows. How long the server was down, only
        the wall clock says, which may be wrong. So what became due in a very long time waits for a moment, and nothing
        is forgotten in the first minute: the newest date may itself be from a moment when the clock was ahead."""
        if self._clock.now() - newest > LONG_DOWN:
            self._run.begin(newest, self._up())
        self._forget.begin(0, self._up())

    def to_run(self, now: int) -> int:
        return self._settled(self._run, now)

    def to_forget(self, now: int) -> int:
        return self._settled(self._forget, now)

    def steady(self, now: int) -> bool:
        self._look()
        return self._forget.steady

    def _settled(self, history: Settled, now: int) -> int:
        self._look()
        # `now` may be from before a step that has just come.
        return now if history.steady else min(now, history.settled)

    def _look(self) -> None:
        up, wall = self._up(), self._clock.now()
        before, self._offset = self._offset, wall - up
        self._run.look(wall, up)
        self._forget.look(wall, up)
        if before is not None and wall - up < before - settled.STEP:
            log.warning("the clock was set back by %g s; its plans are made anew", (before - wall + up) / 1000)
            for one in self.on_step_back:
                one()

    def _up(self) -> int:
        return int(self._clock.monotonic() * 1000)
