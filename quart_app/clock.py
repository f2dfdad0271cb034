"""The only source of time. The wall clock dates rows. It never decides whether a process is dead or how long something
took."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, Protocol

from quart_app.core import trusted_time
from quart_app.core.trusted_time import Settled

log = logging.getLogger("quart_app")

LONG_DOWN: Final = 86_400_000  # ms; after a longer downtime due tasks wait until the clock has proved steady


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
    """How far the wall clock can be trusted. `now` is the time that it shows (ms UTC). `to_run` and `to_forget` return
    a time that is not later (ms UTC); while the clock runs correctly, that is `now` itself."""

    def to_run(self, now: int) -> int:
        """Return the time up to which due tasks may start."""
        ...

    def to_forget(self, now: int) -> int:
        """Return the time up to which expired rows may be deleted, or failed."""
        ...

    def steady(self, now: int) -> bool:
        """Whether the clock has not stepped for a while, so that a newer row has a later date."""
        ...


class WallTrust:
    """Trusts the wall clock fully. For a single moment, and for tests whose clock does not step."""

    def to_run(self, now: int) -> int:
        return now

    def to_forget(self, now: int) -> int:
        return now

    def steady(self, now: int) -> bool:
        return True


class ClockTrust:
    """Trusts the wall clock as far as the monotonic clock agrees (core/trusted_time.py). It must be asked once a second
    to notice steps; the poller does that."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._run = Settled(trusted_time.TO_RUN)
        self._forget = Settled(trusted_time.TO_FORGET)
        self._offset: int | None = None
        self.on_step_back: list[Callable[[], None]] = []
        """Called when the wall clock is seen to have been set back."""

    def begin(self, newest: int) -> None:
        """Begin with a store that was served before. `newest` is its newest date (ms UTC). Only the wall clock says how
        long the server was down, and it may be wrong. So after a downtime above LONG_DOWN due tasks wait for a moment.
        Nothing is forgotten in the first minute, because the newest date may itself be from a moment when the clock was
        ahead."""
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
        # `now` may have been read before a step that was noticed just now.
        return now if history.steady else min(now, history.settled)

    def _look(self) -> None:
        up, wall = self._up(), self._clock.now()
        before, self._offset = self._offset, wall - up
        self._run.look(wall, up)
        self._forget.look(wall, up)
        if before is not None and wall - up < before - trusted_time.STEP:
            log.warning("the clock was set back by %g s; its plans are made anew", (before - wall + up) / 1000)
            for one in self.on_step_back:
                one()

    def _up(self) -> int:
        return int(self._clock.monotonic() * 1000)
