"""Limits how often one client may call this server: a sliding window for each client. The windows are in the store, so
that they take no memory and outlive a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from quart_app.clock import Clock, Trust, WallTrust
from quart_app.core.limits import Limit
from quart_app.store.protocols.limits import ClientStore

MAX_CLIENTS: Final = 100_000  # known of one owner; above this, the client with the oldest last call is deleted
CHUNK: Final = 500
PAUSE: Final = 0.05  # seconds between two chunks


class Standing(NamedTuple):
    """Whether a call is `allowed`, how many are `left` after it, and after how many seconds one more is allowed (None:
    there was no call in the whole window)."""

    allowed: bool
    left: int
    resets: float | None


class ClientLimit:
    """`max_calls` in any `window` seconds for each client of each owner. A client's name counts only together with the
    key that it came with."""

    def __init__(
        self, store: ClientStore, clock: Clock, max_calls: int, window: int, trust: Trust | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self._trust = trust or WallTrust()
        self.max_calls = max_calls
        self.window = window
        self._limit = Limit(max_calls, window * 1000)
        # The store has times of the wall clock. In this process they advance by the monotonic clock, which never steps.
        # The time since the last process is trusted only after the clock was steady for a while.
        self._zero = clock.now() - self._up()
        self._provisional = True
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._counts: dict[str, int] = {}

    async def load(self) -> None:
        """Read the number of known clients, once, at the start. Raises StoreUnavailable."""
        known = await self._store.client_counts()
        self._counts = {owner: number for owner, (number, _) in known.items()}
        wall = self._clock.now()
        last = max((last for _, last in known.values()), default=wall)
        self._zero = min(wall, max(last, self._trust.to_run(wall))) - self._up()

    async def call(self, owner: str, client: str) -> Standing:
        """Count one call if it is allowed; it is on disk when this returns. Raises StoreUnavailable."""
        # Shielded: a client that hangs up has still made the call, and its next call must count it.
        return await asyncio.shield(self._call(owner, client))

    async def _call(self, owner: str, client: str) -> Standing:
        async with self._turns.setdefault((owner, client), asyncio.Lock()):
            known = await self._store.client_calls(owner, client)
            now = self._now()
            dates = self._inside(known, now)
            allowed = self._allows(dates, now)
            if allowed:
                dates.append(now)
            # Dates in the future come from a process before the clock was set back. They are stored as `now`, or they
            # would stay in the future.
            if allowed or (known and known[-1] > now):
                await self._put(owner, client, dates, new=known is None)
            return self._standing(allowed, dates, now)

    async def look(self, owner: str, client: str) -> Standing:
        """What `call` would return, without counting a call. Raises StoreUnavailable."""
        known = await self._store.client_calls(owner, client)
        now = self._now()
        dates = self._inside(known, now)
        return self._standing(self._allows(dates, now), dates, now)

    def _now(self) -> int:
        up = self._up()
        if self._provisional:
            wall = self._clock.now()
            self._zero = max(self._zero, self._trust.to_forget(wall) - up)
            self._provisional = not self._trust.steady(wall)
        return self._zero + up

    def _up(self) -> int:
        return int(self._clock.monotonic() * 1000)

    def _inside(self, known: Sequence[int] | None, now: int) -> list[int]:
        return [min(date, now) for date in self._limit.inside(known or (), now)]

    def _allows(self, dates: Sequence[int], now: int) -> bool:
        return self._limit.opens_at(dates, 0, now) == now

    def _standing(self, allowed: bool, dates: Sequence[int], now: int) -> Standing:
        if not dates:
            return Standing(allowed, self.max_calls, None)
        next_out = dates[max(len(dates) - self.max_calls, 0)]
        resets = (next_out + self._limit.window - now) / 1000
        return Standing(allowed, max(self.max_calls - len(dates), 0), resets)

    async def _put(self, owner: str, client: str, dates: Sequence[int], new: bool) -> None:
        known = self._counts.get(owner, 0) + new
        evict = min(max(known - MAX_CLIENTS, 0), CHUNK)
        self._counts[owner] = known - evict  # before the write, so that concurrent writes see it
        try:
            forgotten = await self._store.put_client_calls(owner, client, dates, evict)
        except BaseException:
            self._counts[owner] += evict - new
            raise
        self._counts[owner] += evict - forgotten

    async def run_once(self, now: int) -> float | None:
        """Delete clients without a call in the window, in batches. Returns seconds to the next one, None when done."""
        forgotten = 0
        for owner in list(self._counts):
            gone = await self._store.forget_clients(owner, self._now() - self.window * 1000, CHUNK)
            self._counts[owner] -= gone
            forgotten += gone
        return PAUSE if forgotten else None
