"""Families and signals: what other parts of the service may do with the waits of a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from quart_app.core import codec
from quart_app.core.errors import (
    IdempotencyConflict,
    InvalidArgs,
    SignalsFull,
    TaskNotFound,
    WrongState,
)
from quart_app.core.flow import MAX_SIGNALS, SIGNAL_PREFIX, WaitingTask
from quart_app.core.task import NewTask
from quart_app.core.task_request import EnqueueOptions, TaskRequest
from quart_app.service.tasks import TaskService
from quart_app.store.protocols.flow import FlowStore

CHUNK = 500  # rows in one bite


class Family:
    def __init__(self, service: TaskService, store: FlowStore) -> None:
        self._service = service
        self._store = store

    def children(
        self, kind: str, args: Sequence[Mapping[str, Any]], options: Mapping[str, Any], owner: str
    ) -> list[NewTask]:
        """Tasks of one kind, checked and not yet stored. Raises UnknownKind, ScopeNeeded, InvalidArgs."""
        if options.keys() & {"idempotency_key", "owner"}:
            raise InvalidArgs([("", "a child has the owner of its parent, and no idempotency_key: it is made once")])
        if options.keys() & {"unique_key", "on_duplicate", "debounce"}:
            raise InvalidArgs([("", "a child has no unique key: its parent waits for it, and for no other task")])
        try:
            checked = msgspec.convert({**options, "owner": owner}, EnqueueOptions)
            plain = [codec.loads(codec.encode(dict(one))) for one in args]
        except (msgspec.ValidationError, codec.NotJson) as error:
            raise InvalidArgs([("", str(error))]) from None
        now = self._service.now()
        return [self._service.prepare(TaskRequest(kind, one, checked), now, unique=False) for one in plain]

    async def signal(self, task_id: str, name: str, data: str, dedupe: str | None, owner: str | None) -> bool:
        """Keep a signal for a task; True: it came before under this key. `data` is JSON text. Raises TaskNotFound,
        WrongState when it has ended, IdempotencyConflict, SignalsFull."""
        task = await self._service.get(task_id, owner)
        queue = task.queue if task.waiting_for == SIGNAL_PREFIX + name else None
        match await self._store.put_signal(task_id, name, data, dedupe, self._service.now(), queue):
            case "sent":
                return False
            case "replayed":
                return True
            case "conflict":
                raise IdempotencyConflict("this Idempotency-Key was used with another signal of this task")
            case "full":
                raise SignalsFull(f"{MAX_SIGNALS} signals of this task are waiting to be taken")
            case "ended":
                raise WrongState("the task has already ended", (await self._service.get(task.id)).status)
            case "unknown":
                raise TaskNotFound(task_id)

    async def waiting(self, owner: str | None, since: int, seq: int, limit: int) -> list[WaitingTask]:
        """Tasks that wait for a signal, the oldest first, after (since, seq)."""
        return await self._store.waiting(owner, since, seq, limit)

    async def suspended(self) -> dict[str, int]:
        """How many tasks wait without a slot, by cause: time, children, signal."""
        return await self._store.suspended()

    async def run_once(self, now: int) -> float | None:
        """One bite of what ends of parents mean for their children. Seconds to the next, None when nothing is left."""
        rows, kinds, asked = await self._store.settle_parents(now, CHUNK)
        for kind in kinds:
            self._service.on_end(kind, "cancelled", None)
        for task_id in asked:
            self._service.cancel_run(task_id)
        return 0.0 if rows else None
