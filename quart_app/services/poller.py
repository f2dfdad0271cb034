"""Makes delayed tasks ready when their time comes, and ends those whose time to start is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from quart_app.clock import Trust, WallTrust
from quart_app.core.task import Ended, nobody
from quart_app.services.alarm import Alarm
from quart_app.store.base import Store

CHUNK: Final = 500
DOUBT_PAUSE: Final = 1000  # ms until another look at what is due by a clock that is in doubt


class Poller:
    def __init__(
        self,
        store: Store,
        on_end: Ended = nobody,
        trust: Trust | None = None,
        ring: Callable[[str], None] = lambda queue: None,
    ) -> None:
        """`ring`: a task of this queue may be claimed."""
        self._store = store
        self._ring = ring
        self._on_end = on_end
        self._trust = trust or WallTrust()
        self._alarm = Alarm()
        self._set_back = False
        self._replanned = 0  # the second of the last look for what was planned in a future that is no more
        self.due_at = self._alarm.due_at

    def clock_set_back(self) -> None:
        """By the clock that was ahead, the time to start was over for some that are ready: nobody claimed them."""
        self._set_back = True

    async def run_once(self, now: int) -> float | None:
        """Seconds until it is worth another look, at most the caller's interval (None)."""
        doubtful = self._trust.to_run(now) < now or self._trust.to_forget(now) < now
        if self._set_back:
            for count in await self._store.counts():
                if count.ready:
                    self._ring(count.queue)
            self.due_at(now)  # a look that was put off to a moment of that clock
            self._set_back = False
        if self._alarm.waits and now // 1000 != self._replanned:
            # Each second, not only when the clock was seen to step: what was planned before the step may be written
            # after it, and the server may have been down.
            while replanned := await self._store.replan(now, CHUNK):
                self.due_at(now)
                if replanned < CHUNK:
                    break
            self._replanned = now // 1000
        return await self._alarm.turn(now, self._look, doubtful)

    async def _look(self, now: int) -> int | None:
        settled, over = self._trust.to_run(now), self._trust.to_forget(now)
        staged = await self._store.stage(now, CHUNK, settled)
        expired = await self._store.expire(over, CHUNK)
        for kind in expired:
            self._on_end(kind, "expired", None)
        if CHUNK in (staged, len(expired)):
            return now
        following = await self._store.next_due()
        if following is None or following > now or min(settled, over) == now:
            return following
        return now + DOUBT_PAUSE  # due by the clock, but not yet for us
