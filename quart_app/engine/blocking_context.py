"""The context of handlers that run in threads."""

from __future__ import annotations

import asyncio
import datetime
import inspect
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any, Final, TypeVar

from quart_app.core import return_types
from quart_app.core.errors import ClaimLost
from quart_app.engine import output
from quart_app.engine.context import TaskContext
from quart_app.engine.kind import Handle, TaskKind
from quart_app.engine.outbound_limits import Permit
from quart_app.engine.suspension import CALLER, INSIDE_STEP

if TYPE_CHECKING:
    from quart_app.engine.upload import Upload

T = TypeVar("T")

LOOK: Final = 0.1  # seconds between two checks whether the task of a blocked thread must end


class BlockingTaskContext:
    """The context of a `def` handler: the same names, each call blocks its thread."""

    def __init__(self, context: TaskContext, loop: asyncio.AbstractEventLoop) -> None:
        self._context = context
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        if name in (
            "task_id",
            "kind",
            "args",
            "attempt",
            "max_attempts",
            "owner",
            "settings",
            "files",
            "logger",
            "state",
            "cancelled",
        ):
            return getattr(self._context, name)
        raise AttributeError(name)

    def step(self, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        context = self._context
        if context.recorder.recorded(name):
            return return_types.read(self._wait(context.recorder.steps.output(name)), fn)
        # A handler may have threads of its own: when one suspends the task, the steps of the others are recorded first.
        suspension = context.recorder.suspension
        if not suspension.begin_at_once():
            self._wait(suspension.begin())
        inside = INSIDE_STEP.set(name)
        try:
            value = self._wait(fn(*args, **kwargs)) if inspect.iscoroutinefunction(fn) else fn(*args, **kwargs)
        except BaseException as error:
            self._loop.call_soon_threadsafe(suspension.end, error)
            raise
        finally:
            INSIDE_STEP.reset(inside)

        async def record() -> str:
            try:
                recorded = await context._record(name, value)
            except BaseException as error:
                suspension.end(error)
                raise
            suspension.end()
            return recorded

        return return_types.read(self._wait(record()), fn)

    def progress(self, done: float | None = None, total: float | None = None, message: str | None = None) -> None:
        self._wait(self._context.progress(done, total, message))

    def emit(self, data: Any) -> None:
        self._wait(self._context.emit_text(output.encode(data)))

    def log(self, message: str, /, **fields: Any) -> None:
        self._wait(self._context.log(message, **fields))

    def upload(self, upload_id: str) -> Upload:
        return self._wait(self._context.upload(upload_id))  # type: ignore[no-any-return]

    def resource(self, name: str) -> Any:
        return unless_cancelled(self._context, self._loop, self._context.resource(name))

    def enqueue(self, kind: str, args: Mapping[str, Any] | None = None, **options: Any) -> Handle:
        return self._wait(self._context.enqueue(kind, args, **options))  # type: ignore[no-any-return]

    def query(self, name: str, /, **params: object) -> list[dict[str, Any]]:
        return self._wait(self._context.query(name, **params))  # type: ignore[no-any-return]

    def limit(self, name: str, max_calls: int, window: float, wait: bool = True) -> BlockingLimit:
        return BlockingLimit(self._context, self._loop, name, max_calls, window, wait)

    def sleep(
        self, seconds: float | None = None, until: datetime.datetime | None = None, name: str | None = None
    ) -> None:
        self._wait(self._context.sleep(seconds, until, name))

    def spawn(
        self,
        kind: str | TaskKind[..., Any],
        args: Mapping[str, Any] | None = None,
        name: str | None = None,
        detached: bool = False,
        **options: Any,
    ) -> str:
        return self._wait(self._context.spawn(kind, args, name, detached, **options))  # type: ignore[no-any-return]

    def spawn_many(
        self,
        kind: str | TaskKind[..., Any],
        args: Iterable[Mapping[str, Any]],
        name: str | None = None,
        detached: bool = False,
        **options: Any,
    ) -> list[str]:
        children = self._context.spawn_many(kind, args, name, detached, **options)
        return self._wait(children)  # type: ignore[no-any-return]

    def gather(self, ids: Iterable[str], return_exceptions: bool = False) -> list[Any]:
        return self._wait(self._context.gather(ids, return_exceptions))  # type: ignore[no-any-return]

    def wait_signal(self, name: str, timeout: float | None = None) -> Any:
        return self._wait(self._context.wait_signal(name, timeout))

    def _wait(self, coroutine: Any) -> Any:
        caller = CALLER.set(threading.current_thread())
        try:
            future: Future[Any] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        finally:
            CALLER.reset(caller)
        try:
            return future.result()
        except CancelledError:
            # ClaimLost counts as a cancel on the loop; here it must not be an `Exception` that a handler swallows.
            raise ClaimLost from None


def unless_cancelled(context: TaskContext, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    """Wait for it in a thread; a task that must end stops waiting. Raises asyncio.CancelledError."""

    async def wait() -> asyncio.Task[T]:
        # It is checked here, on the loop, so that a cancel and the coroutine's end cannot both win.
        waiting = asyncio.ensure_future(coroutine)
        while not (await asyncio.wait([waiting], timeout=LOOK))[0]:
            if context.cancelled:
                waiting.cancel()
        return waiting

    done = asyncio.run_coroutine_threadsafe(wait(), loop).result()
    if done.cancelled():
        raise asyncio.CancelledError("the task was asked to end")
    return done.result()


class BlockingLimit:
    """`with ctx.limit(…) as limit:` in a thread; a task that must end stops waiting."""

    def __init__(
        self,
        context: TaskContext,
        loop: asyncio.AbstractEventLoop,
        name: str,
        max_calls: int,
        window: float,
        wait: bool,
    ) -> None:
        self._context = context
        self._loop = loop
        self._entry = context.limit(name, max_calls, window, wait)

    def __enter__(self) -> BlockingLimit:
        self._permit = unless_cancelled(self._context, self._loop, self._enter())
        return self

    async def _enter(self) -> Permit:
        return await self._entry.__aenter__()

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._entry.__aexit__(None, None, None), self._loop).result()

    def hold(self, after: float | str | None = None) -> None:
        """As `Permit.hold`."""
        asyncio.run_coroutine_threadsafe(self._permit.hold(after), self._loop).result()
