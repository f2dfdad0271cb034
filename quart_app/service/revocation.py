"""Cancels the tasks that were made with a revoked key, on request."""

from __future__ import annotations

import asyncio
from typing import Final, Literal

from quart_app.core.errors import TaskNotFound, WrongState
from quart_app.core.task import TaskFilter
from quart_app.service.tasks import TaskService

PAGE: Final = 200
PASSES: Final = 10  # a running task may make others while it ends


async def cancel_all(service: TaskService, owner: str) -> int:
    """Cancel every task of this owner that has not ended; of running tasks the cancel is requested. Returns how many.
    Raises StoreUnavailable; then some may be cancelled, so call it again."""
    asked: set[str] = set()
    for _ in range(PASSES):
        before = len(asked)
        await _pass(service, owner, "pending", asked)
        await _pass(service, owner, "processing", asked)
        if len(asked) == before:
            break
    return len(asked)


async def _pass(service: TaskService, owner: str, status: Literal["pending", "processing"], asked: set[str]) -> None:
    cursor = None
    while page := await service.find(TaskFilter(status=status, owner=owner, before_seq=cursor, limit=PAGE)):
        cursor = page[-1].seq
        fresh = [task.id for task in page if task.id not in asked]
        done = await asyncio.gather(*(_cancel(service, task_id) for task_id in fresh))
        asked.update(task_id for task_id, landed in zip(fresh, done, strict=True) if landed)


async def _cancel(service: TaskService, task_id: str) -> bool:
    try:
        await service.cancel(task_id)
    except (TaskNotFound, WrongState):
        return False  # it has ended meanwhile
    return True
