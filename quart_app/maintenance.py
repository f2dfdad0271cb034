"""Maintenance: what keeps the service small and tells how it is; a door of the context, `ctx.maintenance`."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any, Final

import msgspec

from quart_app.clock import Clock, Trust, WallTrust
from quart_app.core.statistics import KindFigures
from quart_app.core.task import STATUSES, Count
from quart_app.files import Files
from quart_app.services.pruner import PAUSE, Pruner
from quart_app.store.base import Store
from quart_app.store.base_reports import StatisticsStore

LEFT_BEHIND: Final = 3_600_000  # ms: nobody writes a file for longer without touching it
WINDOW: Final = 3_600_000  # ms that the statistics look back
SAMPLE: Final = (
    5_000  # tasks of each status they look at; measured: 0.3 s in a thread of a machine with five times its load
)


class Maintenance:
    def __init__(
        self,
        store: Store,
        statistics: StatisticsStore,
        pruner: Pruner,
        files: Files,
        clock: Clock,
        trust: Trust | None = None,
    ) -> None:
        self._store = store
        self._statistics = statistics
        self._pruner = pruner
        self._files = files
        self._clock = clock
        self._trust = trust or WallTrust()

    async def prune(self) -> int:
        """Delete, in small bites, all that retention no longer keeps: ended tasks, idempotency keys, fires. How many
        rows went."""
        total = 0
        while True:
            total += (pruned := await self._pruner.bite(self._clock.now()))
            if not await self._pruner.clear() and not pruned:
                return total
            await self._clock.sleep(PAUSE)

    async def sweep_files(self) -> list[str]:
        """Delete the temporary files under the data folder that a kill left behind; their paths in that folder."""
        return await asyncio.to_thread(self._files.sweep, self._trust.to_forget(self._clock.now()) - LEFT_BEHIND)

    async def update_statistics(self) -> dict[str, Any]:
        """Compute the figures of the last hour by kind, keep them for `GET /status`, and return them."""
        now = self._clock.now()
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

    async def statistics(self) -> str | None:
        """What was computed last, as JSON text."""
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
