"""The contract of the store that says where tasks stand. `now` in ms UTC, `up` in ms since the boot. Raises
StoreUnavailable."""

from __future__ import annotations

from typing import Protocol

from quart_app.core.explanation import Coming, Standing
from quart_app.core.task import Task


class ExplainStore(Protocol):
    async def standing(self, task: Task, now: int, up: int) -> Standing | None:
        """None: the task is gone, or it has another status by now."""
        ...

    async def coming(self, coming: Coming, now: int, up: int) -> Standing:
        """Where a task would stand that is due and made now."""
        ...
