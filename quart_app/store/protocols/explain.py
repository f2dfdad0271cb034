"""The contract of the store that says where a task stands."""

from __future__ import annotations

from typing import Protocol

from quart_app.core.explanation import Standing
from quart_app.core.task import Task


class ExplainStore(Protocol):
    async def standing(self, task: Task, now: int, up: int) -> Standing | None:
        """None: the task is gone. `now` in ms UTC, `up` in ms since the boot. Raises StoreUnavailable."""
        ...
