"""Makes tasks with a unique key. Their transaction runs this procedure at the place of the statement `enqueue_unique`:
one task after the other, so that of two with one key the second finds the first, in one write or in two of one turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec

from quart_app.core.task import Enqueued, NewTask, Status
from quart_app.core.unique import WAITS, Decision, Holder, debounced, decide
from quart_app.store.protocols.tasks import Listener
from quart_app.store.sqlite.transaction import Call, Row, Run


class Outcome(msgspec.Struct, frozen=True):
    """What became of one new task: `task_id` is its own id or that of the holder of its key. `missing`: an upload that
    its owner does not have. `run_at`: of the task that may start now or later, in ms."""

    id: str
    decision: Decision
    task_id: str
    status: Status
    run_at: int
    missing: str | None = None

    @property
    def enqueued(self) -> Enqueued:
        return Enqueued(self.task_id, self.status, duplicate=self.task_id != self.id)

    def announce(self, task: NewTask, listener: Listener) -> None:
        """Notify the listener of what this task has made or changed."""
        if self.decision in ("return", "reject"):
            return
        listener.task_changed(self.task_id)
        if task.expires_at is not None:
            listener.task_due_at(task.expires_at)
        if self.decision == "behind":
            return  # the end of the one ahead wakes it up
        if self.run_at <= task.created_at:
            listener.task_ready(task.queue)
        else:
            listener.task_due_at(self.run_at)


def unique_call(task: NewTask) -> Call:
    return Call("enqueue_unique", task, key=task.id, procedure=enqueue_unique)


def outcome(rows: Sequence[Row]) -> Outcome | None:
    """The outcome in the answer of a `unique_call`; None: its idempotency key is that of another task."""
    return Outcome(*rows[0]) if rows else None


def enqueue_unique(run: Run, calls: Sequence[Call]) -> list[Row]:
    """The procedure. Returns the fields of an Outcome for each task."""
    outcomes = [_enqueue(run, cast(NewTask, call.row)) for call in calls]
    return [msgspec.structs.astuple(one) for one in outcomes if one is not None]


def _enqueue(run: Run, task: NewTask) -> Outcome | None:
    row = {**msgspec.structs.asdict(task), "tags": msgspec.json.encode(task.tags).decode()}
    keyed = task.idempotency_key is not None
    if keyed and not run("has_idempotency_key", row):
        return None
    found = [Holder(*holder) for holder in run("unique_holder", row)]
    holder = found[0] if found else None
    decision = decide(holder, task.on_duplicate)
    missing, run_at = None, task.run_at
    if holder is None or decision == "behind":
        missing = _make(run, task, row, behind=holder is not None)
        return Outcome(task.id, decision, task.id, "pending", run_at, missing)
    if decision == "replace":
        if task.debounce_ms is not None:
            run_at = debounced(task.created_at, holder.first_at, task.debounce_ms)
            row |= {"run_at": run_at, "delay_ms": run_at - task.created_at}
        missing = _replace(run, task, {**row, "id": holder.id, "now": task.created_at})
    if keyed:
        run("move_idempotency_key", {**row, "holder": holder.id})
    return Outcome(task.id, decision, holder.id, holder.status, run_at, missing)


def _make(run: Run, task: NewTask, row: dict[str, object], behind: bool) -> str | None:
    run("enqueue", {"rows": f"[{msgspec.json.encode(task).decode()}]"})
    run("take_unique_key", row)
    run("enqueue_unique", {"id": task.id, "unique_key": task.unique_key, "waiting_for": WAITS if behind else None})
    run("change_args", row)
    run("change_tags", row)
    for upload in task.uploads:
        if not run("use_upload", {"task": task.id, "upload": upload, "owner": task.owner}):
            return upload
    return None


def _replace(run: Run, task: NewTask, row: dict[str, object]) -> str | None:
    """Give the holder (`id` of the row) what the task asks for."""
    uploads = {**row, "uploads": msgspec.json.encode(task.uploads).decode()}
    names = ("replace_unique", "drop_args", "change_args", "drop_tags", "change_tags", "count_change", "replaced_log")
    for name in names:
        run(name, row)
    run("add_uses", uploads)
    run("drop_uses", uploads)
    used = {upload for (upload,) in run("uses", uploads)} if task.uploads else set()
    return min(set(task.uploads) - used, default=None)
