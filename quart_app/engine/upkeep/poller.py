"""Makes delayed tasks ready when their time comes, and fails tasks that have expired."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from quart_app.clock import Trust, WallTrust
from quart_app.core.task import OnEnd, ignore
from quart_app.engine.upkeep.next_due import NextDue
from quart_app.store.protocols.tasks import Store

CHUNK: Final = 500
DOUBT_PAUSE: Final = 1000  # ms until the next look at tasks that are due while the clock is in doubt


class Poller:
    def __init__(
        self,
        store: Store,
        on_end: OnEnd = ignore,
        trust: Trust | None = None,
        notify: Callable[[str], None] = lambda queue: None,
    ) -> None:
        """`notify`: a task of this queue may be claimed."""
        self._store = store
        self._notify = notify
        self._on_end = on_end
        self._trust = trust or WallTrust()
        self._next_due = NextDue()
        self._set_back = False
        self._replanned = 0  # the second of the last call of `replan`
        self.due_at = self._next_due.due_at

    def clock_set_back(self) -> None:
        """Called after the clock went back. While it was ahead, ready tasks may have seemed expired to the claim."""
        self._set_back = True

    async def run_once(self, now: int) -> float | None:
        """Seconds until the next look, or None for the caller's interval."""
        doubtful = self._trust.to_run(now) < now or self._trust.to_forget(now) < now
        if self._set_back:
            for count in await self._store.counts():
                if count.ready:
                    self._notify(count.queue)
            self.due_at(now)  # the next look may have been set by the clock that was ahead
            self._set_back = False
        if self._next_due.waits and now // 1000 != self._replanned:
            # Each second, not only after a step of the clock: a task planned before the step may be written after it,
            # and the server may have been down during the step.
            while replanned := await self._store.replan(now, CHUNK):
                self.due_at(now)
                if replanned < CHUNK:
                    break
            self._replanned = now // 1000
        return await self._next_due.turn(now, self._look, doubtful)

    async def _look(self, now: int) -> int | None:
        settled, over = self._trust.to_run(now), self._trust.to_forget(now)
        staged = await self._store.make_ready(now, CHUNK, settled)
        expired = await self._store.expire(over, CHUNK)
        for kind in expired:
            self._on_end(kind, "expired", None)
        if CHUNK in (staged, len(expired)):
            return now
        following = await self._store.next_due()
        if following is None or following > now or min(settled, over) == now:
            return following
        return now + DOUBT_PAUSE  # due by the clock, but not by the trusted time
