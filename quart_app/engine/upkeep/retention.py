"""Retention: deletes ended tasks, and counters of unused queues, in small batches, so that no caller waits long."""

from __future__ import annotations

from typing import Final

from quart_app.clock import Trust, WallTrust
from quart_app.core.task import TERMINAL
from quart_app.store.protocols.tasks import Store

CHUNK: Final = 500
ROWS: Final = 1_000  # of deleted tasks, deleted in one batch
SIZE: Final = 1_048_576  # characters of such rows
PAUSE: Final = 0.05  # seconds between two batches


class Retention:
    def __init__(self, store: Store, retention_seconds: int, retention_rows: int, trust: Trust | None = None) -> None:
        """0 means no limit of age, or of number."""
        self._store = store
        self._trust = trust or WallTrust()
        self._seconds = retention_seconds
        self._rows = retention_rows

    async def run_once(self, now: int) -> float | None:
        """Seconds to the next batch, None when nothing is left to prune."""
        pruned = await self.bite(now) + await self.clear()
        # Counters of a queue in use reach 0 all the time: only a full batch means that there is more.
        more = await self._store.prune_counters(CHUNK) == CHUNK
        return PAUSE if pruned or more else None

    async def clear(self) -> int:
        """Delete some rows of deleted tasks. Returns how many; 0 when nothing is left. The batch counts rows and not
        tasks: a task may have any number of rows, and an output or a result of a megabyte."""
        return await self._store.clear_deleted(ROWS, SIZE)

    async def bite(self, now: int) -> int:
        """Prune one batch. Returns how many rows; 0 when nothing is left to prune."""
        over = self._trust.to_forget(now)
        before = over - self._seconds * 1000 if self._seconds else None
        pruned = await self._store.prune(over, before, CHUNK)
        if self._rows and self._trust.steady(now):  # after a step back the newest tasks look like the oldest
            ended = sum(count.n for count in await self._store.counts() if count.status in TERMINAL)
            if ended > self._rows:
                # The oldest are deleted first, at any age: only the number counts.
                pruned += await self._store.prune(now, now + 1, min(CHUNK, ended - self._rows))
        return pruned
