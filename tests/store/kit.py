"""What tests of a store need: tasks to enqueue, a listener that remembers, and shortcuts into every status."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import uuid_utils

from quart_app.core.task import Claimed, NewTask, TaskError
from quart_app.store import migrate
from quart_app.store.protocols.tasks import Store
from quart_app.store.sqlite.database import Database
from tests.clock import START
from tests.store import template

T = START
ERROR = TaskError(type="ValueError", message="no", traceback="Traceback …")


class Bells:
    """A listener that keeps what it hears, in order."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def task_coming(self, queue: str) -> None:
        pass

    def task_ready(self, queue: str, suspect: bool = False) -> None:
        self.heard.append(("ready", queue, suspect))

    def task_due_at(self, at: int) -> None:
        self.heard.append(("due", at))

    def held_back(self, asked: Any, queues: Any, opens: int | None) -> None:
        pass

    def place_freed(self) -> None:
        pass

    def task_changed(self, task_id: str) -> None:
        self.heard.append(("changed", task_id))

    def parent_ended(self) -> None:
        self.heard.append(("parent ended",))

    def schedule_due_at(self, at: int) -> None:
        self.heard.append(("schedule", at))

    def store_broken(self, reason: str) -> None:
        self.heard.append(("broken", reason))

    def take(self) -> list[tuple[Any, ...]]:
        """What was heard since the last call."""
        heard, self.heard = self.heard, []
        return heard


class Sql:
    """Plain SQL on a SQLite file, through a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, statement: str, *params: object) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self._path, timeout=10)) as connection, connection:
            return connection.execute(statement, params).fetchall()


async def open_database(path: Path, listener: Bells, synchronous: str = "FULL") -> Database:
    """An open, migrated database, as test_migrate.py and the servers of the acceptance tests make theirs; the caller
    closes it."""
    await template.copy_to(path)
    database = Database(path, synchronous, listener.store_broken)
    connection = await database.connect()
    try:
        await migrate.apply(connection, migrate.find("sqlite"), T)
        await database.start()
    except BaseException:
        await database.close()
        raise
    return database


def new_id(now: int = T) -> str:
    """Ids as the service makes them: they begin with their time and rise."""
    return str(uuid_utils.uuid7(nanoseconds=now * 1_000_000))


def new_task(now: int = T, delay: int = 0, **changes: Any) -> NewTask:
    """A task made at `now` and due `delay` ms later."""
    given: dict[str, Any] = {
        "id": new_id(now),
        "kind": "thumbnail",
        "args": '{"url":"…"}',
        "queue": "default",
        "owner": "",
        "priority": 0,
        "created_at": now,
        "run_at": now + delay,
        "max_attempts": 3,
        "timeout_ms": 60_000,
    }
    return NewTask(**{**given, **changes})


def keyed(key: str, fingerprint: str = "f", now: int = T, keep: int = 1000, **changes: Any) -> NewTask:
    """A task under an idempotency key that holds for `keep` ms."""
    return new_task(now, idempotency_key=key, fingerprint=fingerprint, key_expires_at=now + keep, **changes)


async def pending(store: Store, now: int = T, **changes: Any) -> str:
    """A ready task; its id."""
    (made,) = await store.enqueue([new_task(now, **changes)])
    return made.id


async def claimed(store: Store, now: int = T, **changes: Any) -> Claimed:
    """A task in the hands of this store's worker. It must be the only one ready in its queue."""
    await pending(store, now, **changes)
    (task,) = await store.claim({changes.get("queue", "default"): 1}, now)
    return task


async def in_status(store: Store, status: str, now: int = T, **changes: Any) -> Claimed:
    """A task brought to a status by the shortest way; `fence` is that of its last run (0 when pending)."""
    if status == "pending":
        new = new_task(now, **changes)
        await store.enqueue([new])
        return never_ran(new)
    task = await claimed(store, now, **changes)
    match status:
        case "completed":
            assert await store.complete(task.id, task.fence, '{"ok":true}', now)
        case "failed":
            assert await store.fail(task.id, task.fence, ERROR, now)
        case "cancelled":
            assert await store.end_cancelled(task.id, task.fence, now)
        case _:
            assert status == "processing"
    return task


def never_ran(new: NewTask, crashes: int = 0) -> Claimed:
    """As a claim would return it."""
    return Claimed(
        id=new.id,
        fence=0,
        kind=new.kind,
        args=new.args,
        queue=new.queue,
        owner=new.owner,
        attempt=0,
        max_attempts=new.max_attempts,
        crashes=crashes,
        lived_ms=0,
        timeout_ms=new.timeout_ms,
        cancel_requested=False,
        has_steps=False,
        traceparent=None,
    )


async def crashed(store: Store, task: Claimed, times: int, now: int = T, run_at: int | None = None) -> Claimed:
    """The task after it was running while its process died `times` times: pending, from `run_at` on (None: at once)."""
    for index in range(times):
        last = index == times - 1
        assert await store.crash(task.id, task.fence, run_at if last else None, now)
        if not last:
            found = await store.claim({task.queue: 1}, now) or await store.claim_suspects(2, 99, 1, now)
            (task,) = found
    return task
