"""Limits of tasks, and pauses of queues and kinds: what is declared, what operators set, and their upkeep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import UNSET, UnsetType

from quart_app.clock import Clock
from quart_app.core.claim_limits import OF_QUEUE, LimitDefinition, LimitOverride, LimitUse, Off, QueueUse, Rate
from quart_app.core.errors import LimitNotFound, QueueNotFound, UnknownKind
from quart_app.engine.registry import Registry
from quart_app.store.protocols.claim_limits import ClaimLimitStore

PRUNED: Final = 500  # lanes, and gates, at a time


class ClaimLimits:
    """`of_queues`: how many tasks of a queue may run at once. `laned`: kinds whose tasks are in lanes; the store reads
    it."""

    def __init__(self, store: ClaimLimitStore, registry: Registry, clock: Clock, laned: set[str]) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._laned = laned
        self.of_queues: Mapping[str, int] = {}

    def _up(self) -> int:
        """Now, in ms since the boot."""
        return int(self._clock.monotonic() * 1000)

    async def begin(self) -> None:
        """Called at the start, before anything is claimed. Raises StoreUnavailable."""
        limits = self._registry.limits()
        limits += [LimitDefinition(OF_QUEUE + queue, most) for queue, most in self.of_queues.items()]
        kinds = {
            kind.name: [(one.definition.name, one.key) for one in kind.limits] for kind in self._registry if kind.limits
        }
        await self._store.declare(limits, kinds)
        await self._store.begin(self._clock.now(), self._up())
        _, paused = await self._store.paused()
        self._laned.update(kinds, paused)

    # --- limits

    async def limits(self, after: str, limit: int) -> list[LimitUse]:
        """Limits whose name comes after this one, by name. Raises StoreUnavailable."""
        return await self._store.limits(after, limit, self._up())

    async def change_limit(
        self,
        name: str,
        concurrency: int | Off | UnsetType | None = UNSET,
        rate: Rate | Off | UnsetType | None = UNSET,
    ) -> LimitUse:
        """Override what the code says, at once; None takes that back. Raises LimitNotFound, StoreUnavailable."""
        queue = name.removeprefix(OF_QUEUE) if name.startswith(OF_QUEUE) else None
        known = await self._store.limit(name, self._up())
        if known is None and (queue is None or await self._store.queue(queue, self._up()) is None):
            raise LimitNotFound(f"there is no limit {name[:200]!r}")
        await self._store.override(name, concurrency, rate, queue)
        changed = await self._store.limit(name, self._up())
        if changed is None:  # of a queue that has none any more
            return LimitUse(name, None, None, LimitDefinition(name), LimitOverride(), 0, 0, 0, 0)
        return changed

    # --- queues

    async def queues(self, after: str, limit: int) -> list[QueueUse]:
        """Queues whose name comes after this one, by name. Raises StoreUnavailable."""
        return await self._store.queues(after, limit, self._up())

    async def queue(self, name: str) -> QueueUse:
        """Raises QueueNotFound, StoreUnavailable."""
        found = await self._store.queue(name, self._up())
        if found is None:
            raise QueueNotFound(f"there is no queue {name[:100]!r}")
        return found

    async def change_queue(
        self, name: str, concurrency: int | UnsetType | None = UNSET, rate: Rate | UnsetType | None = UNSET
    ) -> QueueUse:
        """Set the limit of a queue, which need not exist. None takes back what was set. Raises StoreUnavailable."""
        await self._store.override(OF_QUEUE + name, concurrency, rate, name)
        return await self.queue(name)

    async def pause_queue(self, name: str, paused: bool) -> QueueUse:
        """A paused queue starts nothing. A queue may be paused before its first task. Raises QueueNotFound when there
        is none to resume, StoreUnavailable."""
        if not paused:
            await self.queue(name)
        await self._store.pause_queue(name, paused)
        return await self.queue(name)

    # --- kinds

    async def pause_kind(self, kind: str, paused: bool) -> None:
        """A paused kind starts nothing. Raises UnknownKind, StoreUnavailable."""
        if self._registry.get(kind) is None:
            raise UnknownKind(f"no kind {kind[:100]!r} is registered")
        # Before the pause is written: a task that comes after it is put into a lane at once. It stays here when the
        # kind is resumed, for another pause may be on its way.
        self._laned.add(kind)
        await self._store.pause_kind(kind, paused)

    async def paused_kinds(self) -> list[str]:
        """Raises StoreUnavailable."""
        return await self._store.paused_kinds()

    async def held(self) -> tuple[int, int, int]:
        """How many tasks that are due limits hold back; how many queues, and kinds, are paused. Raises
        StoreUnavailable."""
        return await self._store.held()

    # --- upkeep

    async def run_once(self, now: int) -> float | None:
        """Put tasks into the lanes of new limits, and forget lanes and gates that nobody needs."""
        if await self._store.settle():
            return 0.05
        return 0.05 if await self._store.prune(self._up(), PRUNED) >= PRUNED else None
