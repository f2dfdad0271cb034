"""How a handler leaves when its task has to wait: by an exception that the runner turns into a row that waits."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Final

from quart_app.core.exception_groups import leaves
from quart_app.core.flow import Wait

INSIDE_STEP: Final[ContextVar[str | None]] = ContextVar("inside_step", default=None)
"""The name of the step whose function runs here."""
CALLER: Final[ContextVar[threading.Thread | None]] = ContextVar("caller", default=None)
"""The thread that waits for what runs here."""


class Suspended(BaseException):
    """Leaves a handler whose task has to wait. Let it pass: `except Exception` does not catch it, and `finally` and
    `async with` run. The handler is called again from its top when the wait is over."""

    def __init__(self, wait: Wait) -> None:
        super().__init__("the task waits; this exception must leave its handler")
        self.wait = wait


class SuspensionSwallowed(Exception):
    """A handler has caught the exception that suspends its task, and goes on."""

    def __init__(self) -> None:
        super().__init__(
            "the handler caught the exception that suspends its task (a bare `except:` or `except BaseException:`);"
            " let it pass"
        )


class Suspension:
    """Whether this run is about to leave. What it has begun beside that is finished and recorded first; nothing new
    begins."""

    def __init__(self) -> None:
        self.wait: Wait | None = None
        self.raised = False
        self._running = 0
        self._failed: list[BaseException] = []
        self._told: set[object] = set()  # the tasks and threads of the handler that it was raised in
        self._quiet = asyncio.Event()
        self._lock = threading.Lock()  # between `wait` and `_running`

    @contextlib.asynccontextmanager
    async def operation(self) -> AsyncIterator[None]:
        """Around what is recorded. Raises Suspended, SuspensionSwallowed."""
        if not self.begin_at_once():
            await self.begin()
        try:
            yield
        except BaseException as error:
            self.end(error)
            raise
        self.end()

    def begin_at_once(self) -> bool:
        """Begin an operation, unless the task is suspended. In any thread; it costs a step no turn of the loop."""
        with self._lock:
            if self.wait is not None:
                return False
            self._running += 1
            return True

    async def begin(self) -> None:
        """Begin an operation when the suspension that stands was given up. Raises Suspended, SuspensionSwallowed."""
        while not self.begin_at_once():
            await self._others()
            if self.wait is not None:
                raise self._leave(self.wait)

    def end(self, error: BaseException | None = None) -> None:
        """End an operation, in this error; on the event loop."""
        with self._lock:
            self._running -= 1
        if error is not None and self.wait is not None:
            self._failed.append(error)
        if not self._running:
            self._quiet.set()

    async def suspend(self, wait: Wait) -> Suspended:
        """What to raise, when nothing else of this run is under way. A caller that is cancelled before that, by
        `asyncio.timeout` or by a task group that fails, waits no more. Raises SuspensionSwallowed."""
        while True:
            first = self.wait is None
            if first:
                with self._lock:
                    self.wait = wait
            try:
                await self._others()
            except asyncio.CancelledError:
                if first and not self.raised:
                    self.wait = None
                raise
            if self.wait is not None:
                return self._leave(self.wait)

    def check(self) -> None:
        """Before anything else begins. Raises SuspensionSwallowed in a task that the suspension was raised in, and
        Suspended in one beside it, that its group may be about to cancel."""
        if self.wait is not None and self.raised:
            if _here() in self._told:
                raise SuspensionSwallowed
            raise self._leave(self.wait)

    def check_end(self) -> None:
        """When the handler returns. Raises SuspensionSwallowed."""
        if self.raised:
            raise SuspensionSwallowed

    async def _others(self) -> None:
        """Wait for what else is under way."""
        self.check()
        while self._running:
            self._quiet.clear()
            await self._quiet.wait()
            await asyncio.sleep(0)  # when it has failed, its task group cancels this one now

    def _leave(self, wait: Wait) -> Suspended:
        self.raised = True
        self._told.add(_here())
        return Suspended(wait)

    def drop(self) -> None:
        """The run ends in an error instead of waiting."""
        self.wait = None
        self.raised = False

    def left_by(self, error: BaseException | None) -> bool:
        """Whether a handler that ended in this way has let the suspension pass. `error` None: it returned."""
        if error is None:
            return False
        inside = leaves(error)
        return any(isinstance(one, Suspended) for one in inside) and all(
            isinstance(one, Suspended | asyncio.CancelledError) for one in inside
        )

    def beside(self, error: BaseException) -> BaseException | None:
        """What a handler has raised beside the suspension, or while it left for it, as in a `finally`: its error
        without the suspension. None: it has swallowed the suspension."""
        causes = _causes(error)
        if any(isinstance(one, SuspensionSwallowed) for one in causes):
            return None
        if not any(isinstance(one, Suspended) or any(one is failed for failed in self._failed) for one in causes):
            return None
        return error.split(Suspended)[1] if isinstance(error, BaseExceptionGroup) else error


def _here() -> object:
    """The task or the thread of the handler that calls."""
    if (caller := CALLER.get()) is not None:
        return caller
    try:
        return asyncio.current_task()
    except RuntimeError:
        return threading.current_thread()


def _causes(error: BaseException) -> list[BaseException]:
    """The errors in it, and those that it was raised from or while they were handled."""
    found: list[BaseException] = []
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        found.append(one)
        waiting += one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        before = one.__cause__ if one.__suppress_context__ else one.__context__
        waiting += [before] if before is not None else []
    return found


def refuse_inside_step(what: str) -> None:
    """Raises RuntimeError inside a step's function: a step is recorded when it has ended, and this would leave it."""
    if (step := INSIDE_STEP.get()) is not None:
        raise RuntimeError(f"ctx.{what} inside of the step {step!r}: call it in the handler itself")
