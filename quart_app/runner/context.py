"""TaskContext: a handler's only door to the service."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final, Protocol

from quart_app.clock import Clock
from quart_app.core import codec, returned
from quart_app.core.errors import ClaimLost, StoreClosed
from quart_app.core.task import Claimed
from quart_app.runner.insist import insist
from quart_app.runner.limits import OutboundLimits, Permit
from quart_app.runner.registry import EnqueueDoor, Handle
from quart_app.runner.steps import RecordedSteps, encode_bounded
from quart_app.runner.threads import in_thread
from quart_app.settings import Settings
from quart_app.store.base import Store

if TYPE_CHECKING:
    import httpx
    from structlog.stdlib import BoundLogger

    from quart_app.files import Files
    from quart_app.maintenance import Maintenance
    from quart_app.runner.upload import Upload
    from quart_app.uploads import Uploads

MAX_STEP_NAME: Final = 200
MAX_MESSAGE: Final = 4096
PROGRESS_INTERVAL: Final = 0.2  # seconds between two commits of one task's progress
MAX_WRITES: Final = 64  # of one run on their way to the store; more of them wait here, not in the queue of all
MAX_EVENTS: Final = 100_000  # of one task
FULL: Final = "the history of this task is full: further log lines and progress are not kept in it"


class Doors(Protocol):
    """What a context reaches beyond its own task; the runtime is one."""

    settings: Settings
    files: Files
    maintenance: Maintenance
    limits: OutboundLimits

    @property
    def http(self) -> httpx.AsyncClient: ...

    @property
    def public_http(self) -> httpx.AsyncClient: ...

    @property
    def service(self) -> EnqueueDoor: ...

    @property
    def uploads(self) -> Uploads: ...

    async def query(self, name: str, params: Mapping[str, object], owner: str) -> list[dict[str, Any]]: ...


class TaskContext:
    """Passed to handlers that name their first parameter `ctx`. Every method is a coroutine; in a `def` handler the
    context has blocking methods of the same names."""

    def __init__(self, task: Claimed, args: dict[str, Any], store: Store, clock: Clock, doors: Doors) -> None:
        self._task = task
        self._store = store
        self._clock = clock
        self._doors = doors
        self._steps = RecordedSteps(task, store, clock, doors.settings.max_result)
        self._writes = asyncio.Semaphore(MAX_WRITES)
        self._events: int | None = None if task.fence > 1 else 0
        self._full = False
        self._used: set[str] = set()
        self._progress: tuple[float | None, float | None, str | None] | None = None
        self._progress_at = -PROGRESS_INTERVAL
        self._progress_timer: asyncio.Task[None] | None = None
        self._clear_crashes = task.crashes > 0
        self.on_headway: Callable[[Claimed], None] | None = None
        self.threads: set[asyncio.Future[None]] | None = None
        """Those in which its steps run."""
        self.args: Mapping[str, Any] = args
        self.cancelled = False
        """True once a cancel, a timeout or the loss of the claim asks the handler to end."""

    @property
    def task_id(self) -> str:
        return self._task.id

    @property
    def kind(self) -> str:
        return self._task.kind

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1."""
        return self._task.attempt

    @property
    def max_attempts(self) -> int:
        """How many attempts may end in an error; of this task, whatever its kind's default is."""
        return self._task.max_attempts

    @property
    def owner(self) -> str:
        return self._task.owner

    @property
    def settings(self) -> Settings:
        return self._doors.settings

    @property
    def http(self) -> httpx.AsyncClient:
        """The shared HTTP client: its connections are pooled, its time-outs bounded."""
        return self._doors.http

    @property
    def public_http(self) -> httpx.AsyncClient:
        """The HTTP client for addresses that somebody else gave: it reaches the public Internet alone (private
        addresses too with QUART_APP_ALLOW_PRIVATE_TARGETS=1), follows no redirect and keeps no cookie. Raises
        TargetRefused beside httpx's own errors."""
        return self._doors.public_http

    async def upload(self, upload_id: str) -> Upload:
        """A file that the owner of this task has uploaded. Take its id with a parameter of the type `UploadId`, which
        keeps it as long as the task. Raises UploadNotFound."""
        return await insist(lambda: self._doors.uploads.find(upload_id, self._task.owner), self._clock)

    @property
    def files(self) -> Files:
        """Atomic, fsynced writing under the data directory."""
        return self._doors.files

    @property
    def maintenance(self) -> Maintenance:
        """Pruning, and the figures of the tasks by kind."""
        return self._doors.maintenance

    @property
    def logger(self) -> BoundLogger:
        """A structlog logger of this kind; every line carries the task's id."""
        from quart_app.runner.logger import task_logger  # structlog takes as long to import as all of this package

        return task_logger(self._task.kind, self._task.id)

    async def step(self, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run `fn` once and record its JSON output; after a crash, a stop or a retry return what was recorded: of the
        type that `fn` is annotated to return, else plain JSON, and the first time just the same.

        `fn` may be async, or sync (then it runs in a thread). An error of `fn` is raised and not recorded. A crash in
        the middle of `fn` runs it again. Raises ValueError when the name is used twice in one attempt.
        """
        self._use(name)
        if name in self._steps:
            return returned.read(await self._steps.output(name), fn)
        if inspect.iscoroutinefunction(fn):
            value = await fn(*args, **kwargs)
        else:
            self.threads = threads = set() if self.threads is None else self.threads
            value = await in_thread(lambda: fn(*args, **kwargs), f"step-{name}", threads)
            if inspect.isawaitable(value):
                value = await value
        # What a replay would return, so that the first run and the replay cannot differ (a tuple becomes a list).
        return returned.read(await self._record(name, value), fn)

    def _use(self, name: str) -> None:
        if not isinstance(name, str) or not 0 < len(name) <= MAX_STEP_NAME or codec.clean(name, MAX_STEP_NAME) != name:
            raise ValueError(f"a step's name is a text of 1 to {MAX_STEP_NAME} characters, not {name!r:.100}")
        if name in self._used:
            raise ValueError(f"the step name {name!r} is used twice in one attempt; give each step its own")
        self._used.add(name)

    async def _record(self, name: str, value: Any) -> str:
        output = encode_bounded(value, self._doors.settings.max_result)
        self._steps.add(name, output)
        async with self._writes:
            landed = await insist(
                lambda: self._store.record_step(
                    self._task.id,
                    self._task.fence,
                    name,
                    output,
                    len(self._used),
                    self._clock.now(),
                    self._clear_crashes,
                ),
                self._clock,
            )
        if not landed:
            raise ClaimLost
        if self._clear_crashes:
            self._clear_crashes = False
            if self.on_headway is not None:
                self.on_headway(self._task)
        return output

    async def progress(self, done: float | None = None, total: float | None = None, message: str | None = None) -> None:
        """Say how far the task is. Written at most five times a second; the last word is always written."""
        self._progress = (
            codec.number(done),
            codec.number(total),
            codec.clean(message, 1000) if message is not None else None,
        )
        wait = self._progress_at + PROGRESS_INTERVAL - self._clock.monotonic()
        if wait <= 0:
            await self._write_progress()
        elif self._progress_timer is None or self._progress_timer.done():
            self._progress_timer = asyncio.create_task(self._write_progress_later(wait))

    async def _write_progress_later(self, wait: float) -> None:
        await self._clock.sleep(wait)
        try:
            await self._write_progress()
        except StoreClosed:
            pass  # the process ends; progress is not worth a word

    async def _write_progress(self) -> None:
        if self._progress is None:
            return
        (done, total, message), self._progress = self._progress, None
        self._progress_at = self._clock.monotonic()
        write = self._store.progress
        async with self._writes:
            event = await self._counts()
            landed = await insist(
                lambda: write(self._task.id, self._task.fence, done, total, message, self._clock.now(), event),
                self._clock,
            )
        if not landed:
            raise ClaimLost

    async def log(self, message: str, /, **fields: Any) -> None:
        """Add a line to the task's history (and the server's log). A task whose history is full (100,000 events) gets
        it into the server's log alone."""
        async with self._writes:  # before the work: a thousand lines at once must not stop the loop
            data = encode_bounded(
                {"message": codec.clean(str(message), MAX_MESSAGE), **({"fields": fields} if fields else {})}, 16_384
            )
            logger = logging.getLogger(f"quart_app.task.{self.kind}")
            logger.info("%s", message, extra={"task_id": self.task_id, "fields": fields})
            if await self._counts():
                await self._write_log(data)

    async def _write_log(self, data: str) -> None:
        landed = await insist(
            lambda: self._store.log(self._task.id, self._task.fence, data, self._clock.now()), self._clock
        )
        if not landed:
            raise ClaimLost

    async def _counts(self) -> bool:
        """Whether one more event of this task may be kept; the last one of a run says that no more are."""
        if self._events is None:
            found = await insist(lambda: self._store.count_events(self._task.id), self._clock)
            self._events = max(self._events or 0, found)  # others may have asked, and counted, meanwhile
        self._events += 1
        if self._events < MAX_EVENTS:
            return True
        if not self._full:
            self._full = True
            await self._write_log(codec.encode({"message": FULL}))
        return False

    async def enqueue(self, kind: str, args: Mapping[str, Any] | None = None, **options: Any) -> Handle:
        """Make another task, of the same owner. Not recorded: use it inside a step, or with an `idempotency_key`,
        when a replay must not make a second one."""
        options.setdefault("owner", self._task.owner)
        return await self._doors.service.enqueue_kind(kind, args or {}, options)

    async def query(self, name: str, /, **params: object) -> list[dict[str, Any]]:
        """The rows of a named, read-only statement; of tasks, only what this task's owner may see. Raises LookupError
        for a name that is not open to tasks, TypeError for other parameters than it takes, StoreUnavailable when it
        takes longer than a second."""
        return await insist(lambda: self._doors.query(name, params, self._task.owner), self._clock)

    def limit(self, name: str, max_calls: int, window: float, wait: bool = True) -> AbstractAsyncContextManager[Permit]:
        """`async with` around one call to somebody who allows `max_calls` in any `window` seconds: it waits for its
        turn under this name, over all tasks and restarts, and keeps the task's slot meanwhile. It gives a Permit:
        `await limit.hold(after)` keeps everybody away for as long as the other side asks (a Retry-After). With `wait`
        False the call is made at once, whatever the limit says, and counted: others wait for longer.

        Raises ValueError for what is no limit, and when the name is in use with other numbers.
        """
        return self._doors.limits.limit(name, max_calls, window, wait)

    # --- the runner's side

    async def load_steps(self) -> None:
        await self._steps.load()

    async def flush(self) -> None:
        """Write the last progress before the run's end is recorded."""
        if self._progress_timer is not None:
            self._progress_timer.cancel()
        if self._progress is not None:
            await self._write_progress()
