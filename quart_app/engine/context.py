"""TaskContext: all that a handler needs of the service."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from quart_app.clock import Clock
from quart_app.core import codec, return_types
from quart_app.core.errors import ClaimLost, StoreClosed
from quart_app.core.secret import hide
from quart_app.core.task import Claimed
from quart_app.engine import output
from quart_app.engine.kind import Handle
from quart_app.engine.outbound_limits import Permit
from quart_app.engine.recorder import Recorder
from quart_app.engine.retry_store_call import retry_store_call
from quart_app.engine.services import Services
from quart_app.engine.steps import encode_bounded
from quart_app.engine.suspension import INSIDE_STEP
from quart_app.engine.threads import in_thread
from quart_app.engine.waiting_methods import WaitingMethods
from quart_app.settings import Settings
from quart_app.store.protocols.tasks import Store

if TYPE_CHECKING:
    import httpx
    from structlog.stdlib import BoundLogger

    from quart_app.engine.upload import Upload
    from quart_app.process.files import Files
    from quart_app.service.bulk import Bulk
    from quart_app.service.maintenance import Maintenance

MAX_MESSAGE: Final = 4096
PROGRESS_INTERVAL: Final = 0.2  # seconds between two commits of one task's progress
MAX_EVENTS: Final = 100_000  # kept of one task
FULL: Final = "the history of this task is full: further log lines and progress are not kept in it"


class TaskContext(WaitingMethods):
    """Passed to handlers that name their first parameter `ctx`. Every method is a coroutine; in a `def` handler the
    context has blocking methods of the same names."""

    def __init__(self, task: Claimed, args: dict[str, Any], store: Store, clock: Clock, services: Services) -> None:
        self._task = task
        self._store = store
        self._clock = clock
        self._services = services
        self._recorder = Recorder(task, store, clock, services.settings.max_result)
        self._output: output.Output | None = None
        self._events: int | None = None if task.fence > 1 else 0
        self._full = False
        self._progress: tuple[float | None, float | None, str | None] | None = None
        self._progress_at = -PROGRESS_INTERVAL
        self._progress_timer: asyncio.Task[None] | None = None
        self.threads: set[asyncio.Future[None]] | None = None
        """The threads in which its sync steps run."""
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
        """How many attempts of this task may end in an error; it may differ from the default of its kind."""
        return self._task.max_attempts

    @property
    def owner(self) -> str:
        return self._task.owner

    @property
    def settings(self) -> Settings:
        return self._services.settings

    @property
    def http(self) -> httpx.AsyncClient:
        """The shared HTTP client: its connections are pooled, its time-outs bounded."""
        return self._services.http

    @property
    def public_http(self) -> httpx.AsyncClient:
        """The HTTP client for addresses that come from clients. It reaches only the public Internet (private
        addresses too with QUART_APP_ALLOW_PRIVATE_TARGETS=1), follows no redirect and keeps no cookie. Raises
        TargetRefused beside httpx's own errors."""
        return self._services.public_http

    async def upload(self, upload_id: str) -> Upload:
        """A file that the owner of this task has uploaded. Take its id with a parameter of the type `UploadId`, which
        keeps it as long as the task. Raises UploadNotFound."""
        return await retry_store_call(lambda: self._services.uploads.find(upload_id, self._task.owner), self._clock)

    @cached_property
    def state(self) -> dict[str, Any]:
        """What this run keeps for itself, for example between an `@around` and its handler. A new dict in each run,
        also after a suspension."""
        return {}

    async def resource(self, name: str) -> Any:
        """What the `@resource` of this name has yielded. Its first use in this process opens it; it is closed when the
        process stops. Raises LookupError for a name that nobody declared, ResourceFailed when it cannot be opened."""
        return await self._services.resources.get(name)

    @property
    def files(self) -> Files:
        """Atomic, fsynced writing under the data directory."""
        return self._services.files

    @property
    def maintenance(self) -> Maintenance:
        """Pruning, and the figures of the tasks by kind."""
        return self._services.maintenance

    @property
    def bulk(self) -> Bulk:
        """Acting on many tasks; for the kind `bulk`."""
        return self._services.bulk

    @property
    def logger(self) -> BoundLogger:
        """A structlog logger of this kind; every line carries the task's id."""
        from quart_app.engine.logger import task_logger  # structlog takes as long to import as all of this package

        return task_logger(self._task.kind, self._task.id)

    async def step(self, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run `fn` once and record its output as JSON. After a crash, a stop or a retry, return the recorded output. It
        has the type that `fn` is annotated to return, else it is plain JSON; the first run returns the same value.

        `fn` may be async, or sync (then it runs in a thread). An error of `fn` is raised and not recorded. A crash in
        the middle of `fn` runs it again. Raises ValueError when the name is used twice in one attempt.
        """
        if self._recorder.recorded(name):
            return return_types.read(await self._recorder.steps.output(name), fn)
        async with self._recorder.suspension.operation():
            inside = INSIDE_STEP.set(name)
            try:
                if inspect.iscoroutinefunction(fn):
                    value = await fn(*args, **kwargs)
                else:
                    self.threads = threads = set() if self.threads is None else self.threads
                    value = await in_thread(lambda: fn(*args, **kwargs), f"step-{name}", threads)
                    if inspect.isawaitable(value):
                        value = await value
            finally:
                INSIDE_STEP.reset(inside)
            # What a replay would return, so that the first run and the replay cannot differ (a tuple becomes a list).
            return return_types.read(await self._record(name, value), fn)

    async def _record(self, name: str, value: Any) -> str:
        """What its function emitted is written before: a recorded step is not run again."""
        recorded = encode_bounded(value, self._services.settings.max_result)
        if self._output is not None:
            await self._output.flush()
        await self._recorder.write(self._recorder.record(name, "step", recorded))
        return recorded

    async def progress(self, done: float | None = None, total: float | None = None, message: str | None = None) -> None:
        """Report how far the task is. It is written at most five times a second; the last report is always written."""
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
            pass  # the process ends; lost progress is not worth a message

    async def _write_progress(self) -> None:
        if self._progress is None:
            return
        (done, total, message), self._progress = self._progress, None
        self._progress_at = self._clock.monotonic()
        write = self._store.progress
        async with self._recorder.writes:
            event = await self._counts()
            landed = await retry_store_call(
                lambda: write(self._task.id, self._task.fence, done, total, message, self._clock.now(), event),
                self._clock,
            )
        if not landed:
            raise ClaimLost

    async def emit(self, data: Any) -> None:
        """Add an event `output` with `data` (at most 64 KiB of JSON) to the task's history, for those who follow it. It
        is numbered from 1 in each run of the handler. Emissions are kept in order, none is lost, and they are written
        at most twenty times a second; a handler that is faster waits. A replay emits again what was emitted outside of
        recorded steps. Raises ValueError for too much data, NotJson, HistoryFull."""
        await self.emit_text(output.encode(data))

    async def log(self, message: str, /, **fields: Any) -> None:
        """Add a line to the task's history and to the server's log. When the history is full (100,000 events), the
        line goes to the server's log only."""
        async with self._recorder.writes:  # before the encoding: a thousand lines at once must not block the loop
            data = hide(
                encode_bounded(
                    {"message": codec.clean(str(message), MAX_MESSAGE), **({"fields": fields} if fields else {})},
                    16_384,
                )
            )
            logger = logging.getLogger(f"quart_app.task.{self.kind}")
            logger.info("%s", message, extra={"task_id": self.task_id, "fields": fields})
            if await self._counts():
                await self._write_log(data)

    async def _keep_log(self, data: str) -> None:
        """Add an event `log` of JSON text to the history, when it has room. Raises ClaimLost."""
        async with self._recorder.writes:
            if await self._counts():
                await self._write_log(data)

    async def _write_log(self, data: str) -> None:
        landed = await retry_store_call(
            lambda: self._store.log(self._task.id, self._task.fence, data, self._clock.now()), self._clock
        )
        if not landed:
            raise ClaimLost

    async def _has_room(self) -> bool:
        """Whether the history has room for one more event."""
        if self._events is None:
            found = await retry_store_call(lambda: self._store.count_events(self._task.id), self._clock)
            self._events = max(self._events or 0, found)  # other calls may have counted meanwhile
        self._events += 1
        return self._events < MAX_EVENTS

    async def _counts(self) -> bool:
        """Whether the history has room for one more event. The first refusal in a run writes a line that says so."""
        if await self._has_room():
            return True
        if not self._full:
            self._full = True
            await self._write_log(codec.encode({"message": FULL}))
        return False

    async def enqueue(self, kind: str, args: Mapping[str, Any] | None = None, **options: Any) -> Handle:
        """Enqueue another task of the same owner. The call is not recorded: use it inside a step, or with an
        `idempotency_key`, when a replay must not enqueue a second one."""
        options.setdefault("owner", self._task.owner)
        return await self._services.service.enqueue_kind(kind, args or {}, options)

    async def query(self, name: str, /, **params: object) -> list[dict[str, Any]]:
        """Run a named, read-only statement and return its rows. It sees only the tasks that this task's owner may see.
        Raises LookupError for a name that tasks may not use, TypeError for wrong parameters, StoreUnavailable when
        it takes longer than a second."""
        return await retry_store_call(lambda: self._services.query(name, params, self._task.owner), self._clock)

    def limit(self, name: str, max_calls: int, window: float, wait: bool = True) -> AbstractAsyncContextManager[Permit]:
        """Put `async with` around one call to a server that allows `max_calls` in any `window` seconds. It waits for
        room under this name, over all tasks and restarts; the task keeps its slot meanwhile. It gives a Permit:
        `await limit.hold(after)` stops all calls under the name for as long as the server asks (a Retry-After). With
        `wait` False the call is made at once, even over the limit, and counted: later calls wait longer.

        Raises ValueError for numbers that are no limit, and when the name is in use with other numbers.
        """
        return self._services.limits.limit(name, max_calls, window, wait)

    # --- for the runner

    @property
    def recorder(self) -> Recorder:
        """What this run records."""
        return self._recorder

    async def emit_text(self, text: str) -> None:
        """As `emit`, of what `output.encode` has made."""
        if self._output is None:
            self._output = output.Output(self._task, self._services.flow_store, self._clock, self._has_room)
        await self._output.emit(text)

    async def load_steps(self) -> None:
        await self._recorder.steps.load()

    async def flush(self) -> None:
        """Write the output and the last progress before the run's end is recorded."""
        if self._output is not None:
            await self._output.close()
        if self._progress_timer is not None:
            self._progress_timer.cancel()
        if self._progress is not None:
            await self._write_progress()
