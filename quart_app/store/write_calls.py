"""What several methods of the store have in common: their calls (one SQL statement each), and whom they wake up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from quart_app.core.flow import Record
from quart_app.core.size_budget import size_of
from quart_app.core.task import Claimed, Enqueued, NewTask, Orphan, TaskError
from quart_app.store.protocols.tasks import Listener
from quart_app.store.sqlite.transaction import Call, Row
from quart_app.store.unique_tasks import unique_call

INLINE: Final = 256  # characters of args and results that stay in the task's own row, see the migration


def enqueue_calls(task: NewTask) -> list[Call]:
    calls = [Call("enqueue", task)]
    if task.idempotency_key is not None:
        before = task.created_at if task.keys_before is None else task.keys_before
        calls = [Call("reserve_keys", task, params={"now": before}), Call("enqueue_keyed", task)]
    if task.unique_key is not None:  # the procedure writes the rest of it
        return [*calls[:-1], unique_call(task)]
    if len(task.args) > INLINE:
        calls.append(Call("put_args", {"id": task.id, "args": task.args}))
    if task.tags:
        calls.append(Call("put_tags", {"id": task.id, "tags": task.tags}))
    for upload in task.uploads:
        calls.append(Call("use_upload", params={"task": task.id, "upload": upload, "owner": task.owner}))
    return calls


def enqueued(task: NewTask, found: tuple[str, str, str | None] | None) -> Enqueued:
    """The answer for a task; `found`: the (task, fingerprint, status of the task) of its idempotency key."""
    if found is None or found[0] == task.id:
        return Enqueued(task.id, "pending")
    return Enqueued(found[0], found[2], replayed=True)  # type: ignore[arg-type]


def claimed(row: Row) -> Claimed:
    """A Claimed from its row; SQLite has no booleans."""
    return Claimed(*row[:-4], bool(row[-4]), bool(row[-3]), *row[-2:])  # type: ignore[call-arg]


def orphan(row: Row) -> Orphan:
    return Orphan(row[0], row[1], row[2], bool(row[3]), *row[4:])


def announce(task: NewTask, listener: Listener) -> None:
    """Notify the listener of a task that has been enqueued."""
    if task.expires_at is not None:
        listener.task_due_at(task.expires_at)
    if task.ready:
        listener.task_ready(task.queue)
    else:
        listener.task_due_at(task.run_at)


def make_ready_calls(now: int, limit: int, settled: int | None) -> list[Call]:
    """`settled`: as in `Store.make_ready`, the time up to which the clock is believed."""
    if settled is None or settled >= now:
        return [Call(name, params={"now": now, "limit": limit}) for name in ("make_ready", "end_waits")]
    doubtful = {"now": now, "settled": settled, "limit": limit}
    by_then = [Call(name, params={"now": settled, "limit": limit}) for name in ("make_ready", "end_waits")]
    return [*by_then, Call("make_ready_doubtful", params=doubtful)]


def record_calls(task_id: str, fence: int, record: Record, now: int, keyed: bool = True) -> list[Call]:
    """The first one tells whether it landed, when it is `keyed`."""
    row = {"id": task_id, "fence": fence, "name": record.name, "at": now, "ordinal": record.ordinal}
    shown = {"name": record.name} if record.type == "step" else {"name": record.name, "type": record.type}
    recorded = {**row, "type": record.type, "size": size_of(record.output), "output": record.output}
    event = {**row, "data": msgspec.json.encode(shown).decode()}
    return [Call("record_step", recorded, key=task_id if keyed else None), Call("step_event", event)]


def headway_calls(task_id: str, fence: int) -> list[Call]:
    """It did not cause the crashes of its earlier runs."""
    return [Call(name, {"id": task_id, "fence": fence}) for name in ("leave_crash_groups", "clear_crashes")]


def put_event(task_id: str, fence: int, name: str, data: str, now: int) -> Call:
    return Call("put_event", {"id": task_id, "fence": fence, "at": now, "name": name, "data": data})


def output_calls(task_id: str, fence: int, outputs: Sequence[str], now: int) -> list[Call]:
    """They land all or none; the first one tells whether they did."""
    calls = [put_event(task_id, fence, "output", data, now) for data in outputs]
    return [msgspec.structs.replace(calls[0], key=f"{task_id}/{fence}", share=task_id), *calls[1:]]


def put_error(task_id: str, fence: int, error: TaskError, now: int) -> Call:
    row = {
        "id": task_id,
        "fence": fence,
        "at": now,
        "type": error.type,
        "message": error.message,
        "retryable": int(error.retryable),
        "traceback": error.traceback,
        "place": error.place,
    }
    return Call("put_error", row)
