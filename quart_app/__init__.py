"""quart_app: a durable task service on Quart. See README.md and docs/."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quart_app.core.errors import (
    ChildFailed,
    Draining,
    DuplicateTask,
    IdempotencyConflict,
    InvalidArgs,
    KeyedTaskGone,
    QueueFull,
    ResourceFailed,
    SignalTimeout,
    StoreUnavailable,
    TaskFailed,
    TaskNotFound,
    UnknownKind,
    UploadNotFound,
)
from quart_app.core.outbound_targets import TargetRefused
from quart_app.core.version import __version__
from quart_app.engine import (
    Limit,
    NonRetryable,
    PublicUrl,
    Retry,
    TaskContext,
    Upload,
    UploadId,
    around,
    resource,
    schedule,
    task,
)

if TYPE_CHECKING:
    from quart_app.app import QuartTasks, create_app

__all__ = [
    "ChildFailed",
    "Draining",
    "DuplicateTask",
    "IdempotencyConflict",
    "InvalidArgs",
    "KeyedTaskGone",
    "Limit",
    "NonRetryable",
    "PublicUrl",
    "QuartTasks",
    "QueueFull",
    "ResourceFailed",
    "Retry",
    "SignalTimeout",
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
    "around",
    "create_app",
    "resource",
    "schedule",
    "task",
]


def __getattr__(name: str) -> Any:
    # Quart takes a third of a second to import; a child process that runs one task does without it.
    if name in ("QuartTasks", "create_app"):
        from quart_app import app

        return getattr(app, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
