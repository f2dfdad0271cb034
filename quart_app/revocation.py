"""What ends with a key, when that is asked for: the tasks that were made with it."""

from __future__ import annotations

import asyncio
from typing import Final, Literal

from quart_app.core.errors import TaskNotFound, WrongState
from quart_app.core.task import TaskFilter
from quart_app.service import TaskService

PAGE: Final = 200
PASSES: Final = 10  # what runs may make others while it is told to end


async def cancel_all(service: TaskService, owner: str) -> int:
    """Cancel every task of this owner that has not ended; how many. Running ones are asked to end. Raises
    StoreUnavailable, then some may be cancelled: ask again."""
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
