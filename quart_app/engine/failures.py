"""Turns what a handler raised into the error that is recorded."""

from __future__ import annotations

import traceback
from typing import Any, Final

import msgspec

from quart_app.core import codec, exception_groups
from quart_app.core.errors import Foreseen, NonRetryable, Retry
from quart_app.core.lifecycle import Raised
from quart_app.core.retry import after_ms, is_retryable
from quart_app.core.secret import hide
from quart_app.core.task import TaskError
from quart_app.engine.kind import TaskKind
from quart_app.engine.places import place_of
from quart_app.engine.processes.pool import ChildDied, ChildError
from quart_app.engine.steps import ResultTooLarge
from quart_app.engine.suspension import SuspensionSwallowed

MAX_ERROR: Final = 4096
MAX_TRACEBACK: Final = 16_384


def raised(kind: TaskKind[..., Any], error: BaseException) -> Raised:
    """The outcome of a run that ended in an error. The rules of the kind decide whether it may be retried."""
    options = kind.options
    # It may also be inside an exception group: steps may run in a TaskGroup.
    ours = next(
        (one for one in exception_groups.leaves(error) if isinstance(one, (codec.NotJson, ResultTooLarge))), None
    )
    if ours is not None:
        name = "not_json" if isinstance(ours, codec.NotJson) else "result_too_large"
        return Raised(TaskError(name, _message(error)), retryable=False)
    if isinstance(error, ChildError):
        trace = error.traceback and hide(error.traceback)  # the child does not know the secret values
        described_there = TaskError(error.type, hide(error.message), traceback=trace, place=error.place)
        return Raised(described_there, not error.final, error.after_ms)
    name = "process_died" if isinstance(error, ChildDied) else type(error).__name__
    placed = msgspec.structs.replace(described(name, error), place=place_of(kind.function, error))
    return Raised(placed, is_retryable(error, options.retry_on, options.no_retry_on), after_ms(error))


def swallowed() -> Raised:
    """The handler has caught what suspends its task."""
    return Raised(TaskError("suspension_swallowed", str(SuspensionSwallowed())), retryable=False)


def described(name: str, error: BaseException) -> TaskError:
    return TaskError(codec.clean(name, 200), _message(error), traceback=_traceback(error))


def _message(error: BaseException) -> str:
    return codec.clean(exception_groups.text_of(error), MAX_ERROR).encode()[:MAX_ERROR].decode(errors="ignore")


def _traceback(error: BaseException) -> str | None:
    if all(isinstance(one, (Retry, NonRetryable, Foreseen, ChildDied)) for one in exception_groups.leaves(error)):
        return None
    try:
        return codec.clean(hide("".join(traceback.format_exception(error, limit=-20)))[-MAX_TRACEBACK:], MAX_TRACEBACK)
    except BaseException:
        return None
