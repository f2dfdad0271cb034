"""The write that makes tasks: all or none. Under a known idempotency key it returns the task made before, and under a
unique key that is held it does as the task's `on_duplicate` says."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from quart_app.core.errors import DuplicateTask, IdempotencyConflict, KeyedTaskGone, UploadNotFound
from quart_app.core.task import Enqueued, NewTask
from quart_app.store.lanes import SORT
from quart_app.store.protocols.tasks import Listener
from quart_app.store.sqlite.database import Database
from quart_app.store.sqlite.transaction import Answer, Call
from quart_app.store.unique_tasks import Outcome, outcome
from quart_app.store.write_calls import announce, enqueue_calls, enqueued


class NewTasks:
    def __init__(self, tasks: Sequence[NewTask], listener: Listener, laned: Collection[str]) -> None:
        """`laned`: kinds whose tasks are put into lanes."""
        self._tasks = tasks
        self._listener = listener
        self._keyed = [task for task in tasks if task.idempotency_key is not None]
        makes = [call for task in tasks for call in enqueue_calls(task)]
        self._uses = [(n, call.params or {}) for n, call in enumerate(makes) if call.statement == "use_upload"]
        self._unique = [n for n, call in enumerate(makes) if call.statement == "enqueue_unique"]
        self._made = len(makes)
        self.calls = [*makes, *(Call("find_keys", task, key=task.id) for task in self._keyed)]
        if any(task.owner or task.kind in laned for task in tasks):
            self.calls.append(SORT)
        # A single task that is rejected has written nothing: no reason to roll back what shares its transaction.
        uploads = any(task.uploads for task in tasks)
        self.checked = bool(self._keyed or uploads or (self._unique and len(tasks) > 1))

    def _existing(self, answer: Answer) -> dict[str, tuple[str, str, str | None]]:
        """For the id of each keyed task: the task id, fingerprint and status that are stored under its key."""
        return {
            row[0]: (row[1], row[2], row[3])
            for rows in answer[self._made : self._made + len(self._keyed)]
            for row in rows
        }

    def _outcomes(self, answer: Answer) -> dict[str, Outcome]:
        """For the id of each task with a unique key, unless it is a replay: what became of it."""
        found = [outcome(answer[n]) for n in self._unique]
        return {one.id: one for one in found if one is not None}

    def check(self, answer: Answer) -> None:
        """Raises IdempotencyConflict, KeyedTaskGone, UploadNotFound, DuplicateTask."""
        found, unique = self._existing(answer), self._outcomes(answer)
        for task in self._keyed:
            _, fingerprint, status = found[task.id]
            if fingerprint != task.fingerprint:
                raise IdempotencyConflict("this Idempotency-Key was used with another kind, args or options")
            if status is None:
                raise KeyedTaskGone("the task of this Idempotency-Key was deleted")
        for n, use in self._uses:
            task_id = str(use["task"])
            if not answer[n] and (task_id not in found or found[task_id][0] == task_id):  # else it made no task
                raise UploadNotFound(str(use["upload"]))
        self._check_unique(unique)

    def _check_unique(self, unique: dict[str, Outcome]) -> None:
        """Raises UploadNotFound, DuplicateTask."""
        ours = {task.id: index for index, task in enumerate(self._tasks)}
        for index, task in enumerate(self._tasks):
            one = unique.get(task.id)
            if one is not None and one.missing is not None:
                raise UploadNotFound(one.missing)
            if one is not None and one.decision == "reject":
                # The one before it in this batch is not made either.
                raise DuplicateTask(one.task_id if one.task_id not in ours else None, str(task.unique_key), index)

    def announce(self, answer: Answer) -> None:
        found = self._existing(answer) if self._keyed else {}
        unique = self._outcomes(answer)
        for task in self._tasks:
            if task.id in unique:
                unique[task.id].announce(task, self._listener)
            elif task.id not in found or found[task.id][0] == task.id:
                announce(task, self._listener)

    def enqueued(self, answer: Answer) -> list[Enqueued]:
        """Raises DuplicateTask."""
        found = self._existing(answer) if self._keyed else {}
        unique = self._outcomes(answer)
        self._check_unique(unique)
        return [
            unique[task.id].enqueued if task.id in unique else enqueued(task, found.get(task.id))
            for task in self._tasks
        ]


async def all_known(database: Database, tasks: Sequence[NewTask]) -> bool:
    """Whether each of these tasks has an idempotency key that is in use, or a unique key that a task holds."""
    rows = {"rows": msgspec.json.encode(tasks).decode()}
    known = {row[0] for row in await database.read(database.text("find_keys"), rows) if row[4]}
    known |= {row[0] for row in await database.read(database.text("held_unique_keys"), rows)}
    return all(task.id in known for task in tasks)
