"""The calls, and the doorbells, that several verbs of the store have in common."""

from __future__ import annotations

from typing import Final

from quart_app.core.task import Claimed, Enqueued, NewTask, Orphan, TaskError
from quart_app.store.base import Listener
from quart_app.store.transaction import Call, Row

INLINE: Final = 256  # characters of args and results that stay in the task's own row, see the migration


def enqueue_calls(task: NewTask) -> list[Call]:
    calls = [Call("enqueue", task)]
    if task.idempotency_key is not None:
        before = task.created_at if task.keys_before is None else task.keys_before
        calls = [Call("reserve_keys", task, params={"now": before}), Call("enqueue_keyed", task)]
    if len(task.args) > INLINE:
        calls.append(Call("put_args", {"id": task.id, "args": task.args}))
    if task.tags:
        calls.append(Call("put_tags", {"id": task.id, "tags": task.tags}))
    for upload in task.uploads:
        calls.append(Call("use_upload", params={"task": task.id, "upload": upload, "owner": task.owner}))
    return calls


def enqueued(task: NewTask, found: tuple[str, str, str | None] | None) -> Enqueued:
    """The answer for a task; `found`: of its idempotency key, the task, the fingerprint and the task's status."""
    if found is None or found[0] == task.id:
        return Enqueued(task.id, "pending")
    return Enqueued(found[0], found[2], replayed=True)  # type: ignore[arg-type]


def claimed(row: Row) -> Claimed:
    """SQLite has no booleans."""
    return Claimed(*row[:-2], bool(row[-2]), bool(row[-1]))  # type: ignore[call-arg]


def orphan(row: Row) -> Orphan:
    return Orphan(row[0], row[1], row[2], bool(row[3]), *row[4:])


def announce(task: NewTask, listener: Listener) -> None:
    """Ring for a task that has been enqueued."""
    if task.expires_at is not None:
        listener.task_due_at(task.expires_at)
    if task.ready:
        listener.task_ready(task.queue)
    else:
        listener.task_due_at(task.run_at)


def stage_calls(now: int, limit: int, settled: int | None) -> list[Call]:
    if settled is None or settled >= now:
        return [Call("stage", params={"now": now, "limit": limit})]
    doubtful = {"now": now, "settled": settled, "limit": limit}
    return [Call("stage", params={"now": settled, "limit": limit}), Call("stage_doubtful", params=doubtful)]


def put_event(task_id: str, fence: int, name: str, data: str, now: int) -> Call:
    return Call("put_event", {"id": task_id, "fence": fence, "at": now, "name": name, "data": data})


def put_error(task_id: str, fence: int, error: TaskError, now: int) -> Call:
    row = {
        "id": task_id,
        "fence": fence,
        "at": now,
        "type": error.type,
        "message": error.message,
        "retryable": int(error.retryable),
        "traceback": error.traceback,
    }
    return Call("put_error", row)
