"""TaskService: the one way to tasks for web, command line, scheduler and users' code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
import uuid_utils

from quart_app.clock import Clock, Trust, WallTrust
from quart_app.core import arg_types, codec, return_types
from quart_app.core.errors import (
    ArgsTooLarge,
    Draining,
    InvalidArgs,
    InvalidInput,
    QueueFull,
    ScopeNeeded,
    TaskFailed,
    TaskNotFound,
    UnknownKind,
    UploadNotFound,
    WrongState,
)
from quart_app.core.fingerprint import fingerprint
from quart_app.core.size_budget import SizeBudget
from quart_app.core.task import (
    Count,
    Enqueued,
    ErrorRecord,
    Event,
    NewTask,
    OnEnd,
    StepRecord,
    Task,
    TaskFilter,
    ignore,
)
from quart_app.core.task_request import EnqueueOptions, TaskRequest
from quart_app.engine.kind import TaskKind
from quart_app.engine.registry import Registry
from quart_app.engine.retry_store_call import WITHIN_RUN, retry_store_call
from quart_app.service.unique import with_unique_key
from quart_app.settings import Settings
from quart_app.store.protocols.tasks import Store

MAX_HISTORY: Final = 10_000  # events in one history answer
FRESH: Final = 0.05  # seconds for which the count of waiting tasks is used


class TaskHandle:
    """What `kind.enqueue(…)` returns."""

    def __init__(self, task_id: str, service: TaskService) -> None:
        self.id = task_id
        self._service = service

    async def get(self) -> Task:
        """The task as it is. Raises TaskNotFound when it was deleted."""
        return await self._service.get(self.id)

    async def result(self, timeout: float | None = None) -> Any:
        """Wait for the end and return the result, of the type that the kind's function is annotated to return. Raises
        TaskFailed, or TimeoutError after `timeout` seconds."""
        task = await self._service.wait(self.id, timeout)
        if not task.ended:
            raise TimeoutError(f"task {self.id} has not ended after {timeout} s")
        if task.status != "completed":
            raise TaskFailed(f"task {self.id} {task.status}: {task.error_type}: {task.error_message}")
        if task.result is None:
            return None
        kind = self._service.registry.get(task.kind)
        return codec.loads(task.result) if kind is None else return_types.read(task.result, kind.function)


class TaskService:
    def __init__(self, store: Store, registry: Registry, clock: Clock, settings: Settings) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings
        self._watchers: dict[str, set[asyncio.Future[None]]] = {}
        self._waiting, self._waiting_read_at = 0, float("-inf")
        self.registry = registry
        self.accepting = True
        # The runtime sets these.
        self.cancel_run: Callable[[str], None] = lambda task_id: None  # delivers a recorded cancel to the run
        self.check_room: Callable[[], None] = lambda: None  # raises DiskLow
        self.check_start: Callable[[str, str], None] = lambda owner, kind: None
        """Raises KeyGone, KindRefused when a client of this owner may not start this kind."""
        self.limited_queues: Collection[str] = ()
        self.is_admin: Callable[[str], bool] = lambda owner: True
        """Whether this owner's key has the scope admin; the empty owner has all scopes."""
        self.on_end: OnEnd = ignore
        self.trust: Trust = WallTrust()

    def now(self) -> int:
        return self._clock.now()

    # --- creating

    async def accept(self, requests: Sequence[TaskRequest]) -> list[Enqueued]:
        """`enqueue` for clients: it refuses them while the server stops. A task that still runs then may make others
        until the store closes; they wait for the next start. Raises Draining, DiskLow, and as check_asked, enqueue."""
        if not self.accepting:
            raise Draining("the server is stopping")
        self.check_room()
        for request in requests:
            self.check_asked(request)
        return await self.enqueue(requests)

    def check_asked(self, request: TaskRequest) -> None:
        """Check a client's request. The app's own code may move a kind out of its limited queue, a client may not: that
        would lift the limit. Raises KeyGone, KindRefused, InvalidInput."""
        self.check_start(request.options.owner, request.kind)
        kind, queue = self.registry.get(request.kind), request.options.queue
        if queue is not None and kind is not None and queue != kind.options.queue in self.limited_queues:
            raise InvalidInput(f"queue: tasks of {kind.name} stay in the queue {kind.options.queue}, which has a limit")

    async def enqueue(self, requests: Sequence[TaskRequest]) -> list[Enqueued]:
        """Make all the tasks or none; they are on disk when this returns.

        Raises UnknownKind, ScopeNeeded, InvalidArgs, QueueFull, IdempotencyConflict, KeyedTaskGone, DuplicateTask,
        InvalidInput, StoreUnavailable.
        """
        now = self._clock.now()
        tasks = []
        for index, request in enumerate(requests):
            try:
                tasks.append(self.prepare(request, now))
            except (InvalidArgs, UnknownKind) as error:
                error.index = index
                raise
        ready = len({task.idempotency_key or task.id for task in tasks if task.ready})  # one key, one task
        if ready:
            try:
                await self.reserve(ready)
            except QueueFull:
                # A replay or a duplicate makes nothing new, so a full queue is no reason to refuse it.
                if not all(task.keyed for task in tasks) or not await self._store.known_keys(tasks):
                    raise
        try:
            return await self._store.enqueue(tasks)
        except UploadNotFound as error:
            raise self.unknown_upload(requests, tasks, str(error)) from None

    async def enqueue_kind(self, kind: str, args: Mapping[str, Any], options: Mapping[str, Any]) -> TaskHandle:
        """For code: args are Python values that have a JSON form. In a handler it waits until the store takes writes.
        Raises as `enqueue`."""
        try:
            checked = msgspec.convert(dict(options), EnqueueOptions)
            plain = codec.loads(codec.encode(dict(args)))
        except (msgspec.ValidationError, codec.NotJson) as error:
            raise InvalidArgs([("", str(error))]) from None
        asked = [TaskRequest(kind, plain, checked)]
        making = retry_store_call(lambda: self.enqueue(asked), self._clock) if WITHIN_RUN.get() else self.enqueue(asked)
        (made,) = await making
        return TaskHandle(made.id, self)

    def prepare(self, request: TaskRequest, now: int, unique: bool = True) -> NewTask:
        """The requested task, checked and not yet stored. `unique` False: it has no unique key, whatever its kind
        is. Raises UnknownKind, ScopeNeeded, InvalidArgs, InvalidInput."""
        kind = self.registry.get(request.kind)
        if kind is None:
            raise UnknownKind(
                f"no kind {request.kind!r} is registered (GET /kinds lists them; is QUART_APP_TASKS set?)"
            )
        self._check(kind, request.options.owner)
        kind.parse(request.args)
        private = bool(self._settings.allow_private_targets)
        uploads = arg_types.check(kind.marks, request.args, private) if kind.marks else ()
        args = codec.compact(request.args) if request.args else "{}"
        if len(args) * 4 > self._settings.max_args and len(args.encode()) > self._settings.max_args:
            raise ArgsTooLarge(f"args are limited to {self._settings.max_args} bytes of JSON")
        task = self._fill(kind, args, uploads, request, now)
        return with_unique_key(task, kind, request.options, request.args) if unique else task

    def _check(self, kind: TaskKind[..., Any] | None, owner: str) -> None:
        if kind is not None and kind.options.scope == "admin" and not self.is_admin(owner):
            raise ScopeNeeded(kind.name, "admin")

    def for_admins(self, kind: str) -> bool:
        """Whether only a key with the scope admin may start this kind."""
        found = self.registry.get(kind)
        return found is not None and found.options.scope == "admin"

    def unknown_upload(self, requests: Sequence[TaskRequest], tasks: Sequence[NewTask], upload: str) -> InvalidArgs:
        """The error for a request that names this upload, which its owner does not have."""
        index = next(index for index, task in enumerate(tasks) if upload in task.uploads)
        kind = self.registry.get(requests[index].kind)
        error = arg_types.unknown_upload(kind.marks if kind is not None else {}, requests[index].args, upload)
        error.index = index
        return error

    def _fill(
        self, kind: TaskKind[..., Any], args: str, uploads: tuple[str, ...], request: TaskRequest, now: int
    ) -> NewTask:
        options, defaults = request.options, kind.options
        delay_ms = max(int(options.delay * 1000), 0) if options.delay and options.run_at is None else None
        run_at = now + (delay_ms or 0) if options.run_at is None else options.run_at
        expires = defaults.expires if options.expires is None else options.expires
        timeout = defaults.timeout if options.timeout is None else options.timeout
        keyed = options.idempotency_key is not None
        return NewTask(
            id=new_id(now),
            kind=kind.name,
            args=args,
            queue=options.queue or defaults.queue,
            owner=options.owner,
            priority=defaults.priority if options.priority is None else options.priority,
            created_at=now,
            run_at=max(run_at, now),
            delay_ms=delay_ms,
            max_attempts=options.max_attempts or defaults.max_attempts,
            timeout_ms=max(int(timeout * 1000), 1),
            expires_at=now + int(expires * 1000) if expires is not None else None,
            retention_ms=int(defaults.retention * 1000) if defaults.retention is not None else None,
            tags=options.tags,
            uploads=uploads,
            traceparent=options.traceparent,
            idempotency_key=options.idempotency_key,
            fingerprint=fingerprint(request.kind, request.args, options) if keyed else "",
            key_expires_at=now + self._settings.idempotency_seconds * 1000 if keyed else 0,
            keys_before=self.trust.to_forget(now) if keyed else None,
        )

    async def reserve(self, ready: int) -> None:
        """Raises QueueFull when more tasks would be due and waiting than allowed. The count is read rarely and tasks
        accepted since are added, so it errs on the high side; a refusal is always based on a read."""
        limit = self._settings.queue_limit
        stale = self._clock.monotonic() - self._waiting_read_at > FRESH
        if self._waiting + ready > limit or (stale and self._waiting + ready > limit // 2):
            self._waiting_read_at = self._clock.monotonic()
            self._waiting = sum(count.n for count in await self._store.counts() if count.ready)
            if self._waiting + ready > limit:
                raise QueueFull(f"{self._waiting} tasks are due and waiting; the limit is {limit}")
        self._waiting += ready

    # --- reading

    async def get(self, task_id: str, owner: str | None = None) -> Task:
        """Raises TaskNotFound, for another owner's task too."""
        task = await self._store.get(task_id)
        if task is None or (owner is not None and task.owner != owner):
            raise TaskNotFound(task_id)
        return task

    async def find(self, wanted: TaskFilter, budget: SizeBudget | None = None) -> list[Task]:
        return await self._store.find(wanted, budget)

    async def wait(
        self, task_id: str, timeout: float | None, owner: str | None = None, version: int | None = None
    ) -> Task:
        """Return the task once it has ended or after `timeout` seconds; with `version`, once its version differs."""
        ends = None if timeout is None else self._clock.monotonic() + timeout
        while True:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            watchers = self._watchers.setdefault(task_id, set())
            watchers.add(future)  # before the read, so that no change falls between the two
            try:
                task = await self.get(task_id, owner)
                left = None if ends is None else ends - self._clock.monotonic()
                done = task.ended if version is None else task.version != version
                if done or (left is not None and left <= 0) or not self.accepting:
                    return task
                await asyncio.wait([future], timeout=left)
            finally:
                watchers.discard(future)
                if not watchers and self._watchers.get(task_id) is watchers:
                    del self._watchers[task_id]

    def changed(self, task_id: str) -> None:
        """Wake the callers that wait for this task."""
        for future in self._watchers.get(task_id, ()):
            if not future.done():
                future.set_result(None)

    def stop_accepting(self) -> None:
        """Refuse new tasks from now on, and answer waiting callers with the task as it is."""
        self.accepting = False
        for task_id in list(self._watchers):
            self.changed(task_id)

    async def counts(self) -> list[Count]:
        return await self._store.counts()

    async def oldest(self, queues: Sequence[str]) -> dict[str, float]:
        """Seconds for which the oldest due task of each of these queues has waited."""
        now = self._clock.now()
        found = await self._store.oldest(queues)
        return {queue: max(now - run_at, 0) / 1000 for queue, run_at in found.items()}

    async def history(
        self, task_id: str, owner: str | None = None, budget: SizeBudget | None = None
    ) -> tuple[list[ErrorRecord], list[StepRecord]]:
        """Errors and steps of a task, oldest first. Raises TaskNotFound."""
        await self.get(task_id, owner)
        errors = await self._store.errors(task_id, MAX_HISTORY, budget)
        return errors, await self._store.steps(task_id, budget)

    async def events(self, task_id: str, after: int, limit: int, budget: SizeBudget | None = None) -> list[Event]:
        """Events of a task that the caller may see, oldest first. What does not fit the budget is left out."""
        return await self._store.events(task_id, after, limit, budget)

    @property
    def store_version(self) -> str:
        return self._store.version

    async def store_health(self) -> Mapping[str, str | int]:
        """Raises StoreUnavailable when the store cannot write."""
        return await self._store.health()

    # --- by hand

    async def cancel(self, task_id: str, owner: str | None = None) -> bool:
        """True: cancelled; False: requested from a running task. Raises TaskNotFound, WrongState."""
        task = await self.get(task_id, owner)
        answer = await self._store.cancel(task_id, self._clock.now())
        match answer:
            case "unknown":
                raise TaskNotFound(task_id)
            case "ended":
                raise WrongState(f"the task has already ended: {(await self._status(task))}", task.status)
            case "requested":
                self.cancel_run(task_id)
            case "cancelled":
                self.on_end(task.kind, "cancelled", None)
        return answer == "cancelled"

    async def startable(self, task_id: str, owner: str | None) -> Task:
        """The task, when this caller may start tasks of its kind. Raises TaskNotFound, KeyGone, KindRefused,
        ScopeNeeded."""
        task = await self.get(task_id, owner)
        self.check_start(owner or "", task.kind)
        self._check(self.registry.get(task.kind), owner or "")
        return task

    async def delete(self, task_id: str, owner: str | None = None) -> None:
        """Raises TaskNotFound, WrongState unless the task has ended."""
        task = await self.get(task_id, owner)
        if not await self._store.delete(task_id):
            raise WrongState(f"only an ended task can be deleted, this one is {await self._status(task)}", task.status)

    async def _status(self, task: Task) -> str:
        return (await self.get(task.id)).status


def new_id(now: int) -> str:
    return str(uuid_utils.uuid7(nanoseconds=now * 1_000_000))
