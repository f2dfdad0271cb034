"""Going back: a task runs again from a step, another one begins where it was, and a pending one is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from quart_app.core import arg_types, json_pointers
from quart_app.core.errors import (
    ArgsTooLarge,
    Draining,
    InvalidArgs,
    InvalidInput,
    UnknownKind,
    UploadNotFound,
    WrongState,
)
from quart_app.core.task import Enqueued, Task
from quart_app.core.task_request import EnqueueOptions, TaskRequest
from quart_app.service.tasks import TaskService, new_id
from quart_app.store.protocols.going_back import GoingBackStore, NewArgs, TaskChanges
from quart_app.store.protocols.tasks import Store


class GoingBack:
    def __init__(self, service: TaskService, tasks: Store, store: GoingBackStore) -> None:
        self._service = service
        self._tasks = tasks
        self._store = store

    async def rerun(self, task_id: str, owner: str | None = None, *, restart: bool = False, step: str = "") -> None:
        """Retry a task that failed or was cancelled. It keeps what it has recorded, or forgets it from `step` on, or
        (`restart`) all of it. Raises TaskNotFound, KeyGone, KindRefused, ScopeNeeded, WrongState, UnknownStep."""
        task = await self._service.startable(task_id, owner)
        now = self._service.now()
        if not restart and not step:
            if not await self._tasks.rerun(task_id, False, now):
                status = (await self._service.get(task.id)).status
                raise WrongState(f"only a failed or cancelled task can be retried, this one is {status}", status)
            return
        children = await self._store.rerun_from(task_id, None if restart else step, now)
        for kind in children.kinds:
            self._service.on_end(kind, "cancelled", None)
        for child in children.asked:
            self._service.cancel_run(child)

    async def fork(
        self,
        task_id: str,
        step: str | None = None,
        args: Mapping[str, Any] | None = None,
        owner: str | None = None,
        traceparent: str | None = None,
    ) -> Enqueued:
        """Make a task like this one, of the same owner, with what it has recorded before `step`; None: with everything.
        `args` None: its own. Raises TaskNotFound, KeyGone, KindRefused, ScopeNeeded, UnknownStep, InvalidArgs,
        QueueFull, Draining."""
        if not self._service.accepting:
            raise Draining("the server is stopping")
        task = await self._service.startable(task_id, owner)
        checked = None if args is None else self._checked(task, args)
        await self._service.reserve(1)
        now = self._service.now()
        fork_id = new_id(now)
        try:
            await self._store.fork(task_id, fork_id, step, checked, traceparent, now)
        except UploadNotFound as error:
            raise self._unknown_upload(task, args or {}, str(error)) from None
        return Enqueued(fork_id, "pending")

    async def change(
        self,
        task_id: str,
        options: EnqueueOptions,
        args: Mapping[str, Any] | None = None,
        tags: bool = False,
        versions: frozenset[str] | None = None,
        owner: str | None = None,
    ) -> Task:
        """Change a pending task, when its version is among `versions` (None: any); the task as it is then. Options that
        are None stay; `tags`: whether those of the options are meant. Raises TaskNotFound, KeyGone, KindRefused,
        ScopeNeeded, InvalidArgs, VersionChanged, WrongState."""
        task = await self._service.startable(task_id, owner)
        try:
            self._service.check_asked(TaskRequest(task.kind, {}, msgspec.structs.replace(options, owner=owner or "")))
        except InvalidInput as error:
            raise InvalidArgs([("/queue", str(error))]) from None
        changes = TaskChanges(
            args=None if args is None else self._checked(task, args),
            priority=options.priority,
            run_at=options.run_at,
            queue=options.queue,
            tags=options.tags if tags else None,
            max_attempts=options.max_attempts,
            timeout_ms=None if options.timeout is None else max(int(options.timeout * 1000), 1),
        )
        try:
            await self._store.change(task_id, changes, versions, self._service.now())
        except UploadNotFound as error:
            raise self._unknown_upload(task, args or {}, str(error)) from None
        return await self._service.get(task_id)

    def _checked(self, task: Task, args: Mapping[str, Any]) -> NewArgs:
        """New args for this task. Raises InvalidArgs with pointers into the body."""
        asked = TaskRequest(task.kind, args, EnqueueOptions(owner=task.owner))
        try:
            made = self._service.prepare(asked, self._service.now())
        except UnknownKind:
            raise InvalidArgs([("/args", f"no kind {task.kind} is registered here, which could check them")]) from None
        except ArgsTooLarge:
            raise
        except InvalidArgs as error:
            raise _within_args(error) from None
        return NewArgs(made.args, made.uploads)

    def _unknown_upload(self, task: Task, args: Mapping[str, Any], upload: str) -> InvalidArgs:
        kind = self._service.registry.get(task.kind)
        return _within_args(arg_types.unknown_upload(kind.marks if kind is not None else {}, args, upload))


def _within_args(error: InvalidArgs) -> InvalidArgs:
    return InvalidArgs([(json_pointers.token("args") + pointer, detail) for pointer, detail in error.errors])
