"""Retention: deletes ended tasks, and what was kept of queues that are gone, in small bites, so that nobody notices."""

from __future__ import annotations

from typing import Final

from quart_app.clock import Trust, WallTrust
from quart_app.core.task import TERMINAL
from quart_app.store.base import Store

CHUNK: Final = 500
ROWS: Final = 1_000  # of deleted tasks that go in one bite
SIZE: Final = 1_048_576  # characters of them
PAUSE: Final = 0.05  # seconds between two bites


class Pruner:
    def __init__(self, store: Store, retention_seconds: int, retention_rows: int, trust: Trust | None = None) -> None:
        """0 keeps: no limit of age, or of number."""
        self._store = store
        self._trust = trust or WallTrust()
        self._seconds = retention_seconds
        self._rows = retention_rows

    async def run_once(self, now: int) -> float | None:
        """Seconds to the next bite, None when nothing is left to prune."""
        pruned = await self.bite(now) + await self.clear()
        # Those of a queue in use come and go all the time: only a whole bite says that there is more.
        more = await self._store.prune_counters(CHUNK) == CHUNK
        return PAUSE if pruned or more else None

    async def clear(self) -> int:
        """How many rows of deleted tasks went; 0 when nothing is left. A task may have any number of them, and an
        output or a result of a megabyte: a bite of tasks would be no bite."""
        return await self._store.clear_deleted(ROWS, SIZE)

    async def bite(self, now: int) -> int:
        """How many rows went; 0 when nothing is left to prune."""
        over = self._trust.to_forget(now)
        before = over - self._seconds * 1000 if self._seconds else None
        pruned = await self._store.prune(over, before, CHUNK)
        if self._rows and self._trust.steady(now):  # after a step back the newest look as if they were the oldest
            ended = sum(count.n for count in await self._store.counts() if count.status in TERMINAL)
            if ended > self._rows:
                # The oldest go first, whatever their age: no border in time, only a number.
                pruned += await self._store.prune(now, now + 1, min(CHUNK, ended - self._rows))
        return pruned
