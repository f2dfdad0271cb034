"""Makes delayed tasks ready when their time comes, and ends those whose time to start is over."""

from __future__ import annotations

from typing import Final

from quart_app.core.task import Ended, nobody
from quart_app.services.alarm import Alarm
from quart_app.store.base import Store

CHUNK: Final = 500


class Poller:
    def __init__(self, store: Store, on_end: Ended = nobody) -> None:
        self._store = store
        self._on_end = on_end
        self._alarm = Alarm()
        self.due_at = self._alarm.due_at

    async def run_once(self, now: int) -> float | None:
        """Seconds until it is worth another look, at most the caller's interval (None)."""
        return await self._alarm.turn(now, self._look)

    async def _look(self, now: int) -> int | None:
        staged = await self._store.stage(now, CHUNK)
        expired = await self._store.expire(now, CHUNK)
        for kind in expired:
            self._on_end(kind, "expired", None)
        return now if CHUNK in (staged, len(expired)) else await self._store.next_due()
