"""Recovery: makes tasks pending again that were `processing` when their worker died; the ordinary claim takes them. It
does the same with tasks that are `processing` here without a run, after a fault of the runner or a lost answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Final

from quart_app.clock import Clock
from quart_app.core.errors import StoreUnavailable
from quart_app.core.lifecycle import Cancel, Fail, Resume, after_crash
from quart_app.core.task import OnEnd, Orphan, ignore
from quart_app.store.protocols.tasks import EndAnswer, Store

log = logging.getLogger("quart_app.services")

CHUNK: Final = 500
INTERVAL: Final = 30.0  # seconds between two looks for tasks without a run; such a task must be seen twice

Run = tuple[str, int]  # task id, fence


class Recovery:
    def __init__(
        self,
        store: Store,
        clock: Clock,
        max_crashes: int,
        on_end: OnEnd = ignore,
        died_at: int | None = None,
        runs: Callable[[], Collection[Run]] = lambda: (),
    ) -> None:
        """`died_at`: when the process before this one was last seen alive; None: unknown. `runs`: of this process."""
        self._store = store
        self._clock = clock
        self._max_crashes = max_crashes
        self._on_end = on_end
        self._died_at = died_at
        self._runs = runs
        self._guilty: set[str] = set()  # dead workers for whose end the guilty task is known
        self._unattended: set[Run] = set()
        self.recovered = False
        """True once all tasks of dead workers have been given back."""

    async def run_once(self, now: int) -> float | None:
        """Seconds to the next batch, None when nothing is left."""
        if await self.bite(now) == CHUNK:
            return 0.0
        if not self.recovered:
            while await self._store.tidy_crash_groups(CHUNK) == CHUNK:
                pass
            self.recovered = True
        await self.give_back_strays(now)
        return None

    async def bite(self, now: int) -> int:
        """Decide on up to CHUNK orphans; returns how many. Idempotent: a kill in the middle does no harm."""
        orphans = await self._store.orphans(CHUNK, self._max_crashes - 1)
        if orphans:
            log.info("recovering %d task%s whose process died", len(orphans), "s" * (len(orphans) > 1))
            decided = [(orphan, after_crash(orphan, now, self._max_crashes)) for orphan in orphans]
            self._guilty |= {orphan.worker for orphan, decision in decided if isinstance(decision, Fail)}
            await asyncio.gather(*(self._recover(*one, now, one[0].worker not in self._guilty) for one in decided))
        return len(orphans)

    async def _recover(self, orphan: Orphan, decision: Resume | Cancel | Fail, now: int, grouped: bool) -> None:
        """`grouped`: tasks that ran beside it may have caused the crash."""
        answer: EndAnswer | bool
        match decision:
            case Resume(run_at):
                outcome = "crash"
                answer = await self._store.crash(orphan.id, orphan.fence, run_at, now, self._died_at, grouped)
            case Cancel():
                outcome, answer = "cancelled", await self._store.end_cancelled(orphan.id, orphan.fence, now)
            case Fail(error):
                log.error("poisoned: %s", error.message, extra={"task_id": orphan.id})
                outcome, answer = "poisoned", await self._store.crash_out(orphan.id, orphan.fence, error, now)
        if answer:
            self._on_end(orphan.kind, "cancelled" if answer == "cancelled" else outcome, None)

    async def give_back_strays(self, now: int) -> None:
        """Treat tasks as crashed that this process has claimed but does not run, now and at the last look."""
        running = {(one.id, one.fence): one for one in await self._store.running()}
        unattended = running.keys() - set(self._runs())
        for key in unattended & self._unattended:
            log.error("a task is processing and nobody runs it; it is given back", extra={"task_id": key[0]})
            try:
                await self._recover(running[key], after_crash(running[key], now, self._max_crashes), now, grouped=False)
            except StoreUnavailable:
                raise
            except Exception:
                log.exception("a task that nobody runs cannot be given back", extra={"task_id": key[0]})
        self._unattended = unattended
