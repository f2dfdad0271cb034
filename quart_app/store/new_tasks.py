"""The write that makes tasks: all or none, and under an idempotency key the one that it made before."""

from __future__ import annotations

from collections.abc import Sequence

from quart_app.core.errors import IdempotencyConflict, KeyedTaskGone, UploadNotFound
from quart_app.core.task import Enqueued, NewTask
from quart_app.store.base import Listener
from quart_app.store.calls import announce, enqueue_calls, enqueued
from quart_app.store.transaction import Answer, Call


class NewTasks:
    def __init__(self, tasks: Sequence[NewTask], listener: Listener) -> None:
        self._tasks = tasks
        self._listener = listener
        self._keyed = [task for task in tasks if task.idempotency_key is not None]
        makes = [call for task in tasks for call in enqueue_calls(task)]
        self._uses = [(n, call.params or {}) for n, call in enumerate(makes) if call.statement == "use_upload"]
        self._made = len(makes)
        self.calls = [*makes, *(Call("find_keys", task, key=task.id) for task in self._keyed)]
        self.checked = bool(self._keyed or self._uses)

    def _existing(self, answer: Answer) -> dict[str, tuple[str, str, str | None]]:
        """By the id of each keyed task: the id that its key stands for, its fingerprint and status."""
        return {row[0]: (row[1], row[2], row[3]) for rows in answer[self._made :] for row in rows}

    def check(self, answer: Answer) -> None:
        """Raises IdempotencyConflict, KeyedTaskGone, UploadNotFound."""
        found = self._existing(answer)
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

    def announce(self, answer: Answer) -> None:
        found = self._existing(answer) if self._keyed else {}
        for task in self._tasks:
            if task.id not in found or found[task.id][0] == task.id:
                announce(task, self._listener)

    def enqueued(self, answer: Answer) -> list[Enqueued]:
        found = self._existing(answer) if self._keyed else {}
        return [enqueued(task, found.get(task.id)) for task in self._tasks]
