"""`@resource`: what the handlers of a process share, opened at its first use and closed at the stop of the process."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from quart_app.core.errors import ConfigError, NonRetryable, ResourceFailed, Retry
from quart_app.engine.arounds import check_generator

log = logging.getLogger("quart_app")

MAX_NAME: Final = 100
LEAST_SECONDS: Final = 0.3  # for the closing of all of them, when the drain time is used up
LAST_MOMENT: Final = 0.05  # seconds for the `finally` of one whose closing was cancelled

ResourceFunction = Callable[[], AsyncIterator[Any]]


class Resource:
    """A declared async generator function. Called, it is that function still."""

    def __init__(self, name: str, function: ResourceFunction) -> None:
        self.name = name
        self.function = function
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.__module__ = function.__module__

    def __call__(self) -> AsyncIterator[Any]:
        return self.function()

    def __repr__(self) -> str:
        return f"<Resource {self.name}>"


def resource(name: str) -> Callable[[ResourceFunction], Resource]:
    """Declare what handlers get by `await ctx.resource(name)`: an async generator function without arguments that
    yields it once. It is opened at its first use in a process, and what stands after the `yield` runs at the stop of
    the process, for the last opened first. Raises ConfigError."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise ConfigError(f'@resource names it with 1 to {MAX_NAME} characters: @resource("model"), not {name!r:.100}')

    def declare(function: ResourceFunction) -> Resource:
        check_generator(f"@resource({name!r})", function, 0, "()")
        return Resource(name, function)

    return declare


class OpenResources:
    """The resources of this process. One that was used has a task of its own, which opens it, holds it and closes it:
    what is entered in one task (a TaskGroup, a time limit) can only be left in the same."""

    def __init__(self, declared: Mapping[str, Resource]) -> None:
        self._declared = declared
        self._held: dict[str, _Held] = {}  # in the order of their opening
        self._context = contextvars.copy_context()  # not that of the run which asks first
        self._closed = False

    async def get(self, name: str) -> Any:
        """The value that it has yielded. Raises LookupError, ResourceFailed; Retry and NonRetryable when it raises
        them."""
        held = self._held.get(name)
        if held is None:
            held = self._open(name)
        if not held.opened.done():
            await asyncio.wait([held.opened])  # not the future itself: one caller's cancel would be everybody's
        error = held.opened.exception()
        if error is None:
            return held.opened.result()
        if isinstance(error, Retry | NonRetryable):
            raise error
        # One for each caller, because each raises it.
        raise ResourceFailed(f"resource {name!r} cannot be opened: {type(error).__name__}: {error}") from error

    def _open(self, name: str) -> _Held:
        declared = self._declared.get(name) if isinstance(name, str) else None
        if declared is None:
            known = ", ".join(sorted(self._declared)) or "none is declared"
            raise LookupError(f"no resource {name!r:.100}; there are: {known}")
        if self._closed:
            raise ResourceFailed(f"resource {name!r} cannot be opened: the server stops")
        held = self._held[name] = _Held(declared)
        held.opened.add_done_callback(lambda opened: self._opened(name, held))
        held.start(self._context.copy())
        return held

    def _opened(self, name: str, held: _Held) -> None:
        del self._held[name]
        if held.opened.exception() is None:  # else the next use tries it again
            self._held[name] = held  # behind those whose opening has ended before

    async def close(self, seconds: float) -> None:
        """Close them, the last opened first. One that takes more than its share of the `seconds` (LEAST_SECONDS at
        least) is cancelled. Never raises: an error is logged, and the others are closed."""
        self._closed = True
        loop = asyncio.get_running_loop()
        ends = loop.time() + max(seconds, LEAST_SECONDS)
        held = list(self._held.values())
        while held:
            share = (ends - loop.time()) / len(held)
            await held.pop().close(max(share, 0.0))


class _Held:
    """One resource from its opening to its end."""

    def __init__(self, declared: Resource) -> None:
        self._declared = declared
        self._keeper: asyncio.Task[None]
        self._stop = asyncio.Event()
        self.opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        """What it has yielded, or why it could not be opened."""

    def start(self, context: contextvars.Context) -> None:
        name = f"resource {self._declared.name}"
        self._keeper = asyncio.get_running_loop().create_task(self._keep(), name=name, context=context)
        self._keeper.add_done_callback(self._ended)

    def _ended(self, keeper: asyncio.Task[None]) -> None:
        if not self.opened.done():  # it was cancelled before its first line
            self.opened.set_exception(RuntimeError("its opening was cancelled"))

    async def _keep(self) -> None:
        """Open, hold and close it. Never raises: a SystemExit in a task would stop the loop."""
        generator: Any = self._declared.function()
        try:
            self.opened.set_result(await anext(generator))
        except BaseException as error:
            self.opened.set_exception(_openable(error))
            return
        with contextlib.suppress(asyncio.CancelledError):  # then it is closed at once
            await self._stop.wait()
        try:
            await anext(generator)
            log.error("%r has more than one `yield`", self._declared)
            await generator.aclose()
        except StopAsyncIteration:
            pass
        except asyncio.CancelledError:
            pass  # `close` has told
        except BaseException:
            log.exception("%r failed while it was closed", self._declared)

    async def close(self, seconds: float) -> None:
        """Close it, or cancel its opening, or its closing after so many seconds."""
        self._stop.set()
        if self.opened.done():
            await asyncio.wait([self._keeper], timeout=seconds)
        if not self._keeper.done():
            if self.opened.done():
                log.warning("%r was not closed in time", self._declared)
            self._keeper.cancel()
            await asyncio.wait([self._keeper], timeout=LAST_MOMENT)


def _openable(error: BaseException) -> BaseException:
    """The error as a future takes it."""
    if isinstance(error, StopAsyncIteration):  # of `anext`: a generator itself cannot raise it
        return RuntimeError("it ended before its `yield`")
    if isinstance(error, asyncio.CancelledError):
        return RuntimeError("its opening was cancelled")
    return error
