"""Where a running task is in its code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from quart_app.core.errors import WrongState
from quart_app.engine.stacks import Frame
from quart_app.service.tasks import TaskService


class Stack(NamedTuple):
    """`at`: milliseconds since 1970. `frames`: outermost first."""

    at: int
    frames: list[Frame]


class StackReader:
    def __init__(self, service: TaskService, of: Callable[[str], Awaitable[list[Frame] | None]]) -> None:
        """`of`: the frames of a task's handler in this process; None when there is none, empty when it does not
        answer."""
        self._service = service
        self._of = of

    async def read(self, task_id: str, owner: str | None) -> Stack:
        """Raises TaskNotFound, and WrongState when the task does not run here."""
        task = await self._service.get(task_id, owner)
        at = self._service.now()
        frames = await self._of(task_id)
        if frames is None:
            raise WrongState(f"the task does not run here, it is {task.status}", task.status)
        if not frames:
            raise WrongState("the task runs, and its process does not say where", task.status)
        return Stack(at, frames)
