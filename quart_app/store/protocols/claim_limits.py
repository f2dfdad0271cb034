"""The contract of the store of limits of tasks and of pauses. Times in ms; `up`: since the boot. Raises
StoreUnavailable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import UNSET, UnsetType

from quart_app.core.claim_limits import LimitDefinition, LimitUse, Off, QueueUse, Rate


class ClaimLimitStore(Protocol):
    async def begin(self, now: int, up: int) -> None:
        """Called before the first claim of a process: starts of earlier processes get their age by its clocks."""
        ...

    async def declare(
        self, limits: Sequence[LimitDefinition], kinds: Mapping[str, Sequence[tuple[str, str | None]]]
    ) -> None:
        """What the code says: its limits, and for each kind the limits that hold for it, each with the arg that is its
        key. A limit that is declared no longer holds no longer, unless an operator has set it."""
        ...

    async def limits(self, after: str, limit: int, up: int) -> list[LimitUse]:
        """Limits whose name comes after this one, by name."""
        ...

    async def limit(self, name: str, up: int) -> LimitUse | None:
        """None: there is no such limit, or it is one of a queue for which nothing is set."""
        ...

    async def override(
        self,
        name: str,
        concurrency: int | Off | UnsetType | None = UNSET,
        rate: Rate | Off | UnsetType | None = UNSET,
        queue: str | None = None,
    ) -> None:
        """Set what an operator wants; it holds at once. None takes it back. `queue`: makes this queue."""
        ...

    async def queues(self, after: str, limit: int, up: int) -> list[QueueUse]:
        """Queues whose name comes after this one, by name."""
        ...

    async def queue(self, name: str, up: int) -> QueueUse | None:
        """None: there is no such queue."""
        ...

    async def pause_queue(self, queue: str, paused: bool) -> None: ...

    async def pause_kind(self, kind: str, paused: bool) -> None: ...

    async def paused(self) -> tuple[list[str], list[str]]:
        """The paused queues and kinds."""
        ...

    async def paused_kinds(self) -> list[str]: ...

    async def held(self) -> tuple[int, int, int]:
        """How many tasks that are due limits hold back; how many queues, and kinds, are paused."""
        ...

    async def settle(self) -> bool:
        """Move some tasks that are not in the lanes of their kind, as after a change of its limits. False: all are."""
        ...

    async def prune(self, up: int, limit: int) -> int:
        """Delete lanes that no task is in, and gates that no lane needs. Returns how many."""
        ...
