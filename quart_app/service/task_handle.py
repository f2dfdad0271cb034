"""What code gets for a task that it has made."""

from __future__ import annotations

from typing import Any, Protocol

from quart_app.core import codec, return_types
from quart_app.core.errors import TaskFailed
from quart_app.core.task import Task
from quart_app.engine.registry import Registry


class ReadsTasks(Protocol):
    """The methods of TaskService that a handle calls."""

    registry: Registry

    async def get(self, task_id: str) -> Task: ...

    async def wait(self, task_id: str, timeout: float | None) -> Task: ...


class TaskHandle:
    """What `kind.enqueue(…)` returns."""

    def __init__(self, task_id: str, service: ReadsTasks) -> None:
        self.id = task_id
        self._service = service

    async def get(self) -> Task:
        """The task as it is. Raises TaskNotFound when it was deleted."""
        return await self._service.get(self.id)

    async def result(self, timeout: float | None = None) -> Any:
        """Wait for the end and return the result, of the type that the kind's function is annotated to return. Raises
        TaskFailed, or TimeoutError after `timeout` seconds."""
        task = await self._service.wait(self.id, timeout)
        if not task.ended:
            raise TimeoutError(f"task {self.id} has not ended after {timeout} s")
        if task.status != "completed":
            raise TaskFailed(f"task {self.id} {task.status}: {task.error_type}: {task.error_message}")
        if task.result is None:
            return None
        kind = self._service.registry.get(task.kind)
        return codec.loads(task.result) if kind is None else return_types.read(task.result, kind.function)
