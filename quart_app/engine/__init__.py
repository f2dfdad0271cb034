"""Running one attempt of a task, and what users write tasks with."""

from quart_app.core.arg_types import PublicUrl, UploadId
from quart_app.core.claim_limits import Limit
from quart_app.core.errors import NonRetryable, Retry
from quart_app.engine.arounds import around
from quart_app.engine.context import TaskContext
from quart_app.engine.kind import TaskKind, task
from quart_app.engine.resources import resource
from quart_app.engine.schedule_declarations import schedule
from quart_app.engine.upload import Upload

__all__ = [
    "Limit",
    "NonRetryable",
    "PublicUrl",
    "Retry",
    "TaskContext",
    "TaskKind",
    "Upload",
    "UploadId",
    "around",
    "resource",
    "schedule",
    "task",
]
