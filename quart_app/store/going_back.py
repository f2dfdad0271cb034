"""Going back, in the store: running again from a step, forking, and changing a pending task."""

from __future__ import annotations

from typing import Final

import msgspec

from quart_app.core.errors import DuplicateTask, TaskNotFound, UnknownStep, UploadNotFound, VersionChanged, WrongState
from quart_app.core.lifecycle import SUSPECT_CRASHES
from quart_app.store.lanes import SORT
from quart_app.store.protocols.going_back import CancelledChildren, NewArgs, TaskChanges
from quart_app.store.protocols.tasks import Listener
from quart_app.store.run_writes import RunWrites
from quart_app.store.sqlite.database import Database
from quart_app.store.sqlite.transaction import Answer, Call, Params, Row
from quart_app.store.write_calls import INLINE

MOST_NAMES: Final = 1000  # of forgotten steps in the history


class SqlGoingBack:
    def __init__(self, database: Database, listener: Listener) -> None:
        self._db = database
        self._listener = listener
        self._runs = RunWrites(database, listener)

    async def rerun_from(self, task_id: str, step: str | None, now: int) -> CancelledChildren:
        row = {"id": task_id, "at": now}
        params = {"id": task_id, "step": step, "now": now, "most": MOST_NAMES}
        forget = ("forget_log", "retire_signals", "cancel_forgotten", "forget_steps")
        calls = [Call("rerun", row, key=task_id), Call("state", row, key=task_id)]
        calls += [Call(name, params=params) for name in forget]
        calls += [Call("forget_progress", row)] if step is None else []
        calls.append(SORT)

        def check(answer: Answer) -> None:
            refuse_duplicate(answer)
            if not answer[0]:
                raise _not_rerun(task_id, answer[1])
            if step is not None and not answer[5]:
                raise UnknownStep(step)

        def after(answer: Answer) -> None:
            self._listener.task_changed(task_id)
            for child in answer[4]:
                self._listener.task_changed(child[0])
                if child[4] == "cancelled":
                    self._runs.family(child)
            self._listener.task_ready(answer[0][0][1])

        children = (await self._db.write(calls, check=check, after=after))[4]
        return CancelledChildren(
            tuple(child[3] for child in children if child[4] == "cancelled"),
            tuple(child[0] for child in children if child[4] != "cancelled"),
        )

    async def restart(self, task_id: str, now: int) -> bool:
        """Run it again without anything. False unless failed or cancelled."""
        try:
            await self.rerun_from(task_id, None, now)
        except (TaskNotFound, WrongState):
            return False
        return True

    async def fork(
        self, task_id: str, fork_id: str, step: str | None, args: NewArgs | None, traceparent: str | None, now: int
    ) -> None:
        text = None if args is None else args.text
        params = {"id": task_id, "new": fork_id, "step": step, "args": text, "traceparent": traceparent, "now": now}
        calls = [Call("find_step", params=params, key=task_id), Call("fork", params=params, key=fork_id)]
        calls += [Call(name, params=params) for name in ("fork_args", "fork_tags", "fork_steps")]
        calls.append(SORT)
        uploads = () if args is None else args.uploads
        calls += [Call("fork_uploads", params=params)] if args is None else _use(fork_id, uploads)

        def check(answer: Answer) -> None:
            if not answer[1]:
                raise TaskNotFound(task_id)
            if step is not None and not answer[0]:
                raise UnknownStep(step)
            _check_uploads(uploads, answer)

        def after(answer: Answer) -> None:
            self._listener.task_ready(answer[1][0][0])

        await self._db.write(calls, check=check, after=after)

    async def change(self, task_id: str, changes: TaskChanges, versions: frozenset[str] | None, now: int) -> None:
        run_at = None if changes.run_at is None else max(changes.run_at, now)
        text = None if changes.args is None else changes.args.text
        uploads = () if changes.args is None else changes.args.uploads
        tags = None if changes.tags is None else msgspec.json.encode(changes.tags).decode()
        params = {**msgspec.structs.asdict(changes), "id": task_id, "now": now, "run_at": run_at, "args": text}
        params |= {"tags": tags, "data": _told(changes)}
        names = ["changeable", "change", "count_change", "change_log"]
        names += ["change_sleep"] * (run_at is not None)
        names += ["drop_args"] * (text is not None) + ["change_args"] * (len(text or "") > INLINE)
        names += ["drop_tags", "change_tags"] if tags is not None else []
        calls = [*(Call(name, params=params, key=task_id) for name in names), SORT]
        calls += _use(task_id, uploads) if text is not None else []

        def check(answer: Answer) -> None:
            if not answer[0]:
                raise TaskNotFound(task_id)
            status, version, waiting_for, has_steps = answer[0][0]
            if versions is not None and str(version) not in versions:
                raise VersionChanged(f"the task has changed: its version is {version}")
            if status != "pending":
                raise WrongState(f"only a pending task can be changed, this one is {status}", status)
            if run_at is not None and waiting_for is not None:
                raise WrongState(f"run_at: it does not wait for a time, but for {waiting_for}", status)
            if text is not None and has_steps:
                raise WrongState("args: it has recorded steps with those it has; fork it", status)
            _check_uploads(uploads, answer)

        def after(answer: Answer) -> None:
            queue, ready, due_at, crashes = answer[1][0]
            self._listener.task_changed(task_id)
            if ready:
                self._listener.task_ready(queue, suspect=crashes >= SUSPECT_CRASHES)
            else:
                self._listener.task_due_at(due_at)

        await self._db.write(calls, check=check, after=after)


def refuse_duplicate(answer: Answer) -> None:
    """Raises DuplicateTask for a `rerun` that did not land, when the `state` after it says that another task has the
    key. Both are the first calls of the answer."""
    if not answer[0] and answer[1]:
        _, status, _, holder, key = answer[1][0]
        if status in ("failed", "cancelled") and holder is not None:
            raise DuplicateTask(holder, key)


def _not_rerun(task_id: str, state: list[Row]) -> Exception:
    if not state:
        return TaskNotFound(task_id)
    status = state[0][1]
    return WrongState(f"only a failed or cancelled task can be retried, this one is {status}", status)


def _use(task_id: str, uploads: tuple[str, ...]) -> list[Call]:
    """The last one answers which uploads the task uses."""
    params: Params = {"id": task_id, "uploads": msgspec.json.encode(uploads).decode()}
    return [Call(name, params=params) for name in ("add_uses", "drop_uses", "uses")]


def _check_uploads(uploads: tuple[str, ...], answer: Answer) -> None:
    """Raises UploadNotFound."""
    if uploads and (unknown := set(uploads) - {upload for (upload,) in answer[-1]}):
        raise UploadNotFound(min(unknown))


def _told(changes: TaskChanges) -> str:
    """What the history says of the change: the names alone, because args may be large."""
    names = {"timeout_ms": "timeout"}
    changed = [names.get(name, name) for name, value in msgspec.structs.asdict(changes).items() if value is not None]
    return msgspec.json.encode({"message": "changed", "fields": {"changed": changed}}).decode()
