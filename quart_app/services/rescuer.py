"""Recovery: gives back what was `processing` when its worker died, through the ordinary claim."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from quart_app.clock import Clock
from quart_app.core.lifecycle import Cancel, Fail, Resume, after_crash
from quart_app.core.task import Ended, Orphan, nobody
from quart_app.store.base import Store

log = logging.getLogger("quart_app.services")

CHUNK: Final = 500


class Rescuer:
    def __init__(self, store: Store, clock: Clock, max_crashes: int, on_end: Ended = nobody) -> None:
        self._store = store
        self._clock = clock
        self._max_crashes = max_crashes
        self._on_end = on_end

    async def run_once(self, now: int) -> int:
        """Decide on up to a chunk of orphans; how many there were. Idempotent: a kill in the middle costs nothing."""
        orphans = await self._store.orphans(CHUNK)
        if orphans:
            log.info("recovering %d task%s whose process died", len(orphans), "s" * (len(orphans) > 1))
            await asyncio.gather(*(self._recover(orphan, now) for orphan in orphans))
        return len(orphans)

    async def _recover(self, orphan: Orphan, now: int) -> None:
        match after_crash(orphan, now, self._max_crashes):
            case Resume(run_at):
                outcome, landed = "crash", await self._store.crash(orphan.id, orphan.fence, run_at, now)
            case Cancel():
                outcome, landed = "cancelled", await self._store.end_cancelled(orphan.id, orphan.fence, now)
            case Fail(error):
                log.error("poisoned: %s", error.message, extra={"task_id": orphan.id})
                outcome, landed = "poisoned", await self._store.crash_out(orphan.id, orphan.fence, error, now)
        if landed:
            self._on_end(orphan.kind, outcome, None)
