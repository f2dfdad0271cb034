"""Makes delayed tasks ready when their time comes, and ends those whose time to start is over."""

from __future__ import annotations

from typing import Final

from quart_app.core.task import Ended, nobody
from quart_app.store.base import Store

CHUNK: Final = 500


class Poller:
    """Remembers when the next task is due, so that an idle system costs no query. The wall clock may step: the
    caller looks at least once a second."""

    def __init__(self, store: Store, on_end: Ended = nobody) -> None:
        self._store = store
        self._on_end = on_end
        self._next_at: int | None = 0  # 0: unknown yet

    def due_at(self, at: int) -> bool:
        """Take note of a new due time; True when it is the earliest."""
        if self._next_at is not None and at >= self._next_at:
            return False
        self._next_at = at
        return True

    async def run_once(self, now: int) -> float | None:
        """Seconds until it is worth another look, at most the caller's interval (None)."""
        if self._next_at is None:
            return None
        if self._next_at > now:
            return min((self._next_at - now) / 1000, 1.0)
        self._next_at = None  # before the look: what is noted during it counts
        try:
            staged = await self._store.stage(now, CHUNK)
            expired = await self._store.expire(now, CHUNK)
            for kind in expired:
                self._on_end(kind, "expired", None)
            following = now if CHUNK in (staged, len(expired)) else await self._store.next_due()
        except BaseException:
            self.due_at(now)
            raise
        if following is not None:
            self.due_at(following)
        return 0.0 if self._next_at is not None else None
