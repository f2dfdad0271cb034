"""The audit log: administrative acts, and refused keys.

A refusal costs no write. Refusals are counted by peer and minute, up to MAX_PEERS peers in one minute, and written when
the minute has passed. So a client that guesses keys causes one row a minute, at any speed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import Final, TypeVar

import msgspec

from quart_app.clock import Clock, Trust, WallTrust
from quart_app.core.audit_acts import REFUSED, Act, ActName, Actor
from quart_app.store.protocols.keys import ActStore

log = logging.getLogger("quart_app.keys")

MINUTE: Final = 60_000  # ms
KEPT: Final = 365 * 86_400_000  # ms
MAX_ACTS: Final = 100_000  # rows
MAX_REFUSALS: Final = 20_000
MAX_PEERS: Final = 20  # peers counted separately in one minute
OTHERS: Final = "others"
CHUNK: Final = 500
INTERVAL: Final = 10.0

T = TypeVar("T")


class AuditLog:
    def __init__(self, store: ActStore, clock: Clock, trust: Trust | None = None) -> None:
        self._store = store
        self._clock = clock
        self._trust = trust or WallTrust()
        self._refusals: dict[tuple[int, str, str, str], Act] = {}
        self._told_at = float("-inf")
        self._untold = 0
        self._prune_at = 0.0
        self.refused = 0
        """Number of refused keys since the start."""

    def act(self, name: ActName, actor: Actor, target: str, detail: str = "") -> Act:
        now = self._clock.now()
        return Act(
            at=now,
            act=name,
            actor=actor.name[:100],
            peer=actor.peer[:100],
            target=target[:200],
            detail=detail[:1000],
            last_at=now,
        )

    async def put(self, acts: Sequence[Act]) -> None:
        """Record these acts."""
        if acts:
            await self._store.put_acts(acts)

    async def done(self, act: Act, doing: Awaitable[T]) -> T:
        """Await `doing` and record `act`; a client that hangs up stops neither. Raises what `doing` raises."""
        return await asyncio.shield(self._done(act, doing))

    async def _done(self, act: Act, doing: Awaitable[T]) -> T:
        answer = await doing
        await self._store.put_acts([act])
        return answer

    def refuse(self, peer: str, name: str, why: str) -> None:
        """Count a refused key. `name`: of a key that is no longer valid, else empty."""
        self.refused += 1
        self._tell(peer)
        now = self._clock.now()
        minute = now // MINUTE
        key = (minute, peer, name, why)
        if key not in self._refusals and sum(one[0] == minute for one in self._refusals) >= MAX_PEERS:
            key = (minute, OTHERS, "", "")
        before = self._refusals.get(key)
        self._refusals[key] = (
            msgspec.structs.replace(before, times=before.times + 1, last_at=max(now, before.at))
            if before is not None
            else Act(at=now, act=REFUSED, peer=key[1][:100], target=key[2][:200], detail=key[3], last_at=now)
        )

    def _tell(self, peer: str) -> None:
        """Log a refusal, at most one line a minute."""
        self._untold += 1
        if (now := self._clock.monotonic()) - self._told_at >= MINUTE / 1000:
            more = f", and {self._untold - 1} since the last such line" if self._untold > 1 else ""
            log.warning("refused a key from %s%s (python -m quart_app audit-log has them by minute)", peer, more)
            self._told_at, self._untold = now, 0

    async def find(self, before: int | None, limit: int, act: str | None = None) -> list[Act]:
        """Acts with a seq below `before`, the newest first."""
        return await self._store.acts(before, limit, act)

    async def run_once(self, now: int) -> float | None:
        """Write the refusals of past minutes; delete rows that are too old or too many."""
        await self._put_down([key for key in self._refusals if key[0] != now // MINUTE])
        if self._clock.monotonic() < self._prune_at:
            return None
        before = self._trust.to_forget(now) - KEPT
        if await self._store.prune_acts(before, MAX_ACTS, MAX_REFUSALS, CHUNK) < CHUNK:
            self._prune_at = self._clock.monotonic() + 600
            return None
        return 0.05

    async def flush(self) -> None:
        """Write all refusals; called when the server stops."""
        await self._put_down(list(self._refusals))

    async def _put_down(self, keys: list[tuple[int, str, str, str]]) -> None:
        if keys:
            await self._store.put_acts([self._refusals[key] for key in keys])
            for key in keys:
                del self._refusals[key]
