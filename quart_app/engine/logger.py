"""The logger that a handler gets as `ctx.logger`: structlog over the standard library's loggers, so that its lines take
the same way as all other lines, with any logging configuration."""

from __future__ import annotations

import logging
from typing import Any, Final

import structlog
from structlog.stdlib import BoundLogger, filter_by_level
from structlog.typing import EventDict, Processor, WrappedLogger

_KEPT: Final = ("exc_info", "stack_info", "stacklevel")  # arguments of the standard library's methods


def _to_record(_logger: WrappedLogger, _name: str, event: EventDict) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments for the standard library's logger. The logger applies the positional ones to the message, where a
    mistake in them costs a line and not the task. The named ones go as `fields`, because a log record refuses names of
    its own attributes."""
    arguments = (event.pop("event", ""), *event.pop("positional_args", ()))
    kept = {name: event.pop(name) for name in _KEPT if name in event}
    return arguments, {**kept, "extra": {"fields": event}}


PROCESSORS: Final[tuple[Processor, ...]] = (filter_by_level, _to_record)


def task_logger(kind: str, task_id: str) -> BoundLogger:
    """`info("text %s", value)` and `info("text", name=value)` both work. The task's id is bound to the logger itself,
    so that threads which a handler starts have it too."""
    logger: BoundLogger = structlog.wrap_logger(
        logging.getLogger(f"quart_app.task.{kind}"),
        processors=PROCESSORS,
        wrapper_class=BoundLogger,
        context_class=dict,
        task_id=task_id,
    )
    return logger
