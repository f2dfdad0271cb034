"""The context of handlers that run in threads."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any

from quart_app.core import returned
from quart_app.core.errors import ClaimLost
from quart_app.runner.context import TaskContext
from quart_app.runner.limits import BlockingLimit
from quart_app.runner.registry import Handle

if TYPE_CHECKING:
    from quart_app.runner.upload import Upload


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
            "cancelled",
        ):
            return getattr(self._context, name)
        raise AttributeError(name)

    def step(self, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        context = self._context
        context._use(name)
        if name in context._steps:
            return returned.read(self._wait(context._steps.output(name)), fn)
        value = self._wait(fn(*args, **kwargs)) if inspect.iscoroutinefunction(fn) else fn(*args, **kwargs)
        return returned.read(self._wait(context._record(name, value)), fn)

    def progress(self, done: float | None = None, total: float | None = None, message: str | None = None) -> None:
        self._wait(self._context.progress(done, total, message))

    def log(self, message: str, /, **fields: Any) -> None:
        self._wait(self._context.log(message, **fields))

    def upload(self, upload_id: str) -> Upload:
        return self._wait(self._context.upload(upload_id))  # type: ignore[no-any-return]

    def enqueue(self, kind: str, args: Mapping[str, Any] | None = None, **options: Any) -> Handle:
        return self._wait(self._context.enqueue(kind, args, **options))  # type: ignore[no-any-return]

    def query(self, name: str, /, **params: object) -> list[dict[str, Any]]:
        return self._wait(self._context.query(name, **params))  # type: ignore[no-any-return]

    def limit(self, name: str, max_calls: int, window: float, wait: bool = True) -> BlockingLimit:
        return BlockingLimit(self._context, self._loop, name, max_calls, window, wait)

    def _wait(self, coroutine: Any) -> Any:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except CancelledError:
            # ClaimLost counts as a cancel on the loop; here it must not be an `Exception` that a handler swallows.
            raise ClaimLost from None
