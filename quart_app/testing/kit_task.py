"""A task as the kit shows it."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec

from quart_app.core import codec, return_types
from quart_app.core.task import TERMINAL, StepRecord, Task
from quart_app.engine.registry import Registry
from quart_app.testing.clock import moment


class KitError(msgspec.Struct, frozen=True):
    """The error of the last attempt that failed."""

    type: str
    message: str
    attempt: int
    retryable: bool

    def __str__(self) -> str:
        return f"{self.type}: {self.message}"


class KitTask(msgspec.Struct, frozen=True, kw_only=True):
    """The names are those of the API. `result`: what `handle.result()` returns. `steps`: the recorded steps and their
    outputs, in the order of the handler. `waiting_for`: `time`, `children`, `signal:<name>`, `limit:<name>`, `paused`.
    """

    id: str
    kind: str
    status: str
    args: dict[str, Any]
    result: Any
    error: KitError | None
    steps: dict[str, Any]
    queue: str
    priority: int
    tags: list[str]
    owner: str
    attempt: int
    max_attempts: int
    crashes: int
    created_at: datetime.datetime
    run_at: datetime.datetime
    waiting_for: str | None
    parent_id: str | None

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL


def shown(row: Task, steps: list[StepRecord], registry: Registry) -> KitTask:
    kind = registry.get(row.kind)
    result = None
    if row.result is not None:
        result = codec.loads(row.result) if kind is None else return_types.read(row.result, kind.function)
    error = None
    if row.error_type is not None:
        message, attempt = row.error_message or "", row.error_attempt or 0
        error = KitError(row.error_type, message, attempt, bool(row.error_retryable))
    return KitTask(
        id=row.id,
        kind=row.kind,
        status=row.status,
        args=codec.loads(row.args) if row.args else {},
        result=result,
        error=error,
        steps={step.name: codec.loads(step.output) for step in steps if step.type == "step"},
        queue=row.queue,
        priority=row.priority,
        tags=codec.loads(row.tags) if row.tags else [],
        owner=row.owner,
        attempt=row.attempt,
        max_attempts=row.max_attempts,
        crashes=row.crashes,
        created_at=moment(row.created_at),
        run_at=moment(row.run_at),
        waiting_for=row.waiting_for,
        parent_id=row.parent_id,
    )
