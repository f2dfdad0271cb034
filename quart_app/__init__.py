"""quart_app: a durable task service on Quart. See README.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quart_app.core.errors import (
    Draining,
    IdempotencyConflict,
    InvalidArgs,
    KeyedTaskGone,
    QueueFull,
    StoreUnavailable,
    TaskFailed,
    TaskNotFound,
    UnknownKind,
    UploadNotFound,
)
from quart_app.core.targets import TargetRefused
from quart_app.runner import NonRetryable, PublicUrl, Retry, TaskContext, Upload, UploadId, schedule, task

if TYPE_CHECKING:
    from quart_app.app import QuartTasks, create_app

__version__ = "0.1.0"
__all__ = [
    "Draining",
    "IdempotencyConflict",
    "InvalidArgs",
    "KeyedTaskGone",
    "NonRetryable",
    "PublicUrl",
    "QuartTasks",
    "QueueFull",
    "Retry",
    "StoreUnavailable",
    "TargetRefused",
    "TaskContext",
    "TaskFailed",
    "TaskNotFound",
    "UnknownKind",
    "Upload",
    "UploadId",
    "UploadNotFound",
    "__version__",
    "create_app",
    "schedule",
    "task",
]


def __getattr__(name: str) -> Any:
    # Quart takes a third of a second to import; a child process that runs one task does without it.
    if name in ("QuartTasks", "create_app"):
        from quart_app import app

        return getattr(app, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
