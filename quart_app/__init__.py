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

if TYPE_CHECKING:
    from quart_app.app import QuartTasks, create_app
    from quart_app.engine import (
        Limit,
        NonRetryable,
        PublicUrl,
        Retry,
        TaskContext,
        TaskHandle,
        Upload,
        UploadId,
        around,
        resource,
        schedule,
        task,
    )

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
    "TaskHandle",
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
    # Quart takes a third of a second to import; a child process that runs one task does without it. The client does
    # without what tasks are written with, too.
    if name in ("QuartTasks", "create_app"):
        from quart_app import app

        return getattr(app, name)
    if name in __all__:
        from quart_app import engine

        return getattr(engine, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
