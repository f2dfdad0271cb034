"""Running one attempt of a task, and what users write tasks with."""

from quart_app.core.errors import NonRetryable, Retry
from quart_app.core.marks import PublicUrl, UploadId
from quart_app.runner.context import TaskContext
from quart_app.runner.registry import TaskKind, task
from quart_app.runner.schedules import schedule
from quart_app.runner.upload import Upload

__all__ = ["NonRetryable", "PublicUrl", "Retry", "TaskContext", "TaskKind", "Upload", "UploadId", "schedule", "task"]
