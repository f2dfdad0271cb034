"""Running one attempt of a task, and what users write tasks with."""

from quart_app.core.errors import NonRetryable, Retry
from quart_app.runner.context import TaskContext
from quart_app.runner.registry import TaskKind, task
from quart_app.runner.schedules import schedule

__all__ = ["NonRetryable", "Retry", "TaskContext", "TaskKind", "schedule", "task"]
