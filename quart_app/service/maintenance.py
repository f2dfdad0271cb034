"""Maintenance: pruning, sweeping and statistics; handlers have it as `ctx.maintenance`."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any, Final

import msgspec

from quart_app.clock import Clock, Trust, WallTrust
from quart_app.core.statistics import KEPT, KindFigures
from quart_app.core.task import STATUSES, Count
from quart_app.engine.upkeep.retention import PAUSE, Retention
from quart_app.process.files import Files
from quart_app.store.protocols.reports import StatisticsStore
from quart_app.store.protocols.tasks import Store

LEFT_BEHIND: Final = 3_600_000  # ms: a file that is being written is changed more often than that
WINDOW: Final = 3_600_000  # ms that the statistics look back
# Tasks of each status that the statistics read; measured: 0.3 s in a thread of a machine with five times its load.
SAMPLE: Final = 5_000
EVENTS: Final = (
    500  # counted in one transaction; measured: the event loop waits for it up to 7 ms, 80,000 are counted a second
)
COUNTING: Final = 30.0  # seconds of one update, of the 60 that it may take
BUCKETS: Final = 20  # deleted in one transaction; each has at most 102 rows


class Maintenance:
    def __init__(
        self,
        store: Store,
        statistics: StatisticsStore,
        pruner: Retention,
        files: Files,
        clock: Clock,
        trust: Trust | None = None,
    ) -> None:
        self._store = store
        self._statistics = statistics
        self._retention = pruner
        self._files = files
        self._clock = clock
        self._trust = trust or WallTrust()

    async def prune(self) -> int:
        """Delete, in small batches, all rows past their retention: ended tasks, idempotency keys, fires. Returns how
        many rows."""
        total = 0
        while True:
            total += (pruned := await self._retention.bite(self._clock.now()))
            if not await self._retention.clear() and not pruned:
                return total
            await self._clock.sleep(PAUSE)

    async def sweep_files(self) -> list[str]:
        """Delete the temporary files under the data folder that a kill left behind. Returns their paths in it."""
        return await asyncio.to_thread(self._files.sweep, self._trust.to_forget(self._clock.now()) - LEFT_BEHIND)

    async def update_statistics(self) -> dict[str, Any]:
        """Count the new events for `GET /stats`; compute the figures of the last hour by kind, keep them for
        `GET /status`, and return them."""
        now = self._clock.now()
        await self._count_events(now)
        counts = await self._store.counts()
        figures = {one.kind: one for one in await self._statistics.kind_figures(now - WINDOW, SAMPLE)}
        kinds = sorted(figures.keys() | {count.kind for count in counts})
        document = {
            "at": datetime.datetime.fromtimestamp(now / 1000, datetime.UTC).isoformat(timespec="milliseconds")[:-6]
            + "Z",
            "window_seconds": WINDOW // 1000,
            "kinds": {kind: _of_kind(kind, counts, figures.get(kind)) for kind in kinds},
        }
        await self._statistics.put_statistics(msgspec.json.encode(document).decode(), now)
        return document

    async def _count_events(self, now: int) -> None:
        """Chunk by chunk, up to the newest event. After long enough the rest is left for the next time."""
        ends = self._clock.monotonic() + COUNTING
        while (await self._statistics.count_events(now, EVENTS)).more and self._clock.monotonic() < ends:
            pass
        before = self._trust.to_forget(now) - KEPT
        while await self._statistics.prune_figures(before, BUCKETS) and self._clock.monotonic() < ends:
            pass

    async def statistics(self) -> str | None:
        """The figures that were computed last, as JSON text."""
        return await self._statistics.statistics()


def _of_kind(kind: str, counts: list[Count], figures: KindFigures | None) -> dict[str, Any]:
    own = [count for count in counts if count.kind == kind]
    found = figures or KindFigures(kind, 0, 0, 0, 0, None, None)
    return {
        "tasks": {status: sum(count.n for count in own if count.status == status) for status in STATUSES},
        "last_hour": {
            "completed": found.completed,
            "failed": found.failed,
            "cancelled": found.cancelled,
            "runs": found.runs,
            "p50_seconds": _seconds(found.p50_ms),
            "p95_seconds": _seconds(found.p95_ms),
        },
    }


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000
