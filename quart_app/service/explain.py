"""Why a task is where it is."""

from __future__ import annotations

from collections.abc import Callable

from quart_app.clock import Clock
from quart_app.core.errors import TaskNotFound
from quart_app.core.explanation import Explanation, Place, explain
from quart_app.service.tasks import TaskService
from quart_app.store.protocols.explain import ExplainStore


class Explainer:
    def __init__(self, store: ExplainStore, service: TaskService, clock: Clock, place: Callable[[], Place]) -> None:
        """`place`: the slots of this process."""
        self._store = store
        self._service = service
        self._clock = clock
        self._place = place

    async def explain(self, task_id: str, owner: str | None) -> Explanation:
        """Raises TaskNotFound, StoreUnavailable."""
        task = await self._service.get(task_id, owner)
        now, up = self._clock.now(), int(self._clock.monotonic() * 1000)
        standing = await self._store.standing(task, now, up)
        if standing is None:
            raise TaskNotFound(task_id)
        return explain(task, standing, self._place(), now)
