"""How a runtime opens, starts, drains and closes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, NamedTuple

from quart_app.core.errors import StoreUnavailable
from quart_app.engine.attempt import STOP_GRACE
from quart_app.engine.upkeep.recovery import CHUNK
from quart_app.runtime.build import Parts

log = logging.getLogger("quart_app")


async def _nothing() -> None:
    pass


class Step(NamedTuple):
    """One step of the start, and its reverse. A `start` that raises leaves nothing behind that its own `stop` would
    have to end."""

    name: str
    start: Callable[[], Awaitable[object]] = _nothing
    stop: Callable[[], Awaitable[object]] = _nothing


class Runtime(Parts):
    """One process's engine: opens its parts, recovers, starts the upkeep; drains and closes.

    Its life is the list of `_steps`, read downwards by `open` and upwards by `close`. Between the two comes the drain:
    `begin_drain` stops taking work, and the reverse of the step "runs" waits for the tasks that run."""

    _done: contextlib.AsyncExitStack
    """The reverses of the steps that are done."""
    _drain_ends = 0.0  # by the monotonic clock; a start that fails gives no drain time

    def _steps(self, exposed: Sequence[str]) -> Iterator[Step]:
        """Yield each step when those before it are done, so it may name what they have made."""
        yield Step("database", self._open_database, self._storage.close)
        yield Step("parts", self._build, self._unbind_kinds)
        yield Step("connections", self._db.start)  # the database closes them
        yield Step("keys", self.keys.load, self._flush)
        if self.idle:
            return
        # Not for a command: it may be the one that makes the first key.
        yield Step("exposure", lambda: self._check_exposure(exposed))
        yield Step("http-clients", stop=self._close_clients)  # made when they are first used
        yield Step("resources", stop=self._close_resources)  # likewise
        yield Step("child-processes", stop=self.processes.close)  # likewise
        yield Step("times", self._recall_times)
        yield Step("outbound-limits", self.limits.load, self.limits.close)
        yield Step("client-limits", self.clients.load)
        yield Step("claim-limits", self.claim_limits.begin)
        yield Step("recovery", self._recover)
        yield Step("upkeep", self._start_loops, self._stop_loops)
        yield Step("runs", stop=self._end_runs)  # the dispatcher starts them
        yield Step("dispatcher", self._start_dispatcher, self.dispatcher.stop)

    async def open(self, exposed: Sequence[str] = ()) -> None:
        """Lock, check, migrate, recover, start. `exposed`: its listening addresses that other machines can reach.

        Raises StartupError with the line to print and the exit code. Whatever it raises, the steps that were done are
        undone."""
        with self._storage.refusing():
            async with contextlib.AsyncExitStack() as done:
                for step in self._steps(exposed):
                    await step.start()
                    done.push_async_callback(step.stop)
                self._done = done.pop_all()

    async def close(self) -> None:
        """Drain, and undo the steps, the last one first. An error in one keeps none of the others from being undone; it
        is raised at the end."""
        self.begin_drain()
        try:
            await self._done.aclose()
        finally:
            for task in list(self._ending):
                task.cancel()

    async def migrate(self) -> list[str]:
        """Bring the schema up to date and close the database. Returns the applied migrations. Raises StartupError."""
        await self._storage.open()
        await self._storage.close()
        return self._storage.applied

    @property
    def recovered(self) -> bool:
        """Whether all tasks that the process before this one ran have been given back."""
        return self._recovery.recovered

    # --- the drain

    def begin_drain(self) -> None:
        """Stop taking work: refuse new tasks, claim nothing more, end the streams."""
        if not self.draining.is_set():
            self.draining.set()
            if running := len(self.runner.runs):
                seconds = self.settings.drain_seconds
                log.info("stopping: up to %g s for %d running task%s", seconds, running, "s" * (running > 1))
            self._drain_ends = self.clock.monotonic() + self.settings.drain_seconds
            self.service.stop_accepting()
            self.dispatcher.halt()
            self.feed.stop()
            self._keep(self.streams.end())
            self._keep(self._end_drain())

    async def _end_drain(self) -> None:
        await self.clock.sleep(self.settings.drain_seconds)
        self.runner.stop()

    def _keep(self, coroutine: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(coroutine)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    # --- the steps, in their order

    async def _open_database(self) -> None:
        self._db = await self._storage.open()

    async def _build(self) -> None:
        self.build(self._db)

    async def _unbind_kinds(self) -> None:
        for kind in self.registry:
            kind.bind(None)

    async def _flush(self) -> None:
        with contextlib.suppress(StoreUnavailable):
            await self.keys.flush()
            await self.audit_log.flush()

    async def _check_exposure(self, exposed: Sequence[str]) -> None:
        self.keys.check_exposure(exposed)

    async def _close_resources(self) -> None:
        await self.resources.close(self._drain_ends - self.clock.monotonic())

    async def _close_clients(self) -> None:
        for client in {"http", "public_http"} & vars(self).keys():  # clients that were used
            await vars(self)[client].aclose()

    async def _recall_times(self) -> None:
        """Learn how far the clock is to be believed, and spare the files of the process before this one."""
        newest = 0 if self._storage.new else await self._db.newest_date()
        if not self._storage.new:
            self.trust.begin(newest)
        self.files.spare(newest, self.clock.now())

    async def _recover(self) -> None:
        """Give back the tasks that it ran, and notify the dispatcher of all tasks that can be claimed."""
        await self.runner.stacks.kept.recall(self.store)
        # The first batch comes before any claim: interrupted tasks go on before tasks that never started.
        with contextlib.suppress(StoreUnavailable):  # it is tried again
            await self._recovery.run_once(self.clock.now())
        while await self.store.resume_waiting(self.registry.names(), self.clock.now(), CHUNK) == CHUNK:
            pass
        for count in await self.store.counts():
            if count.ready:
                self.dispatcher.notify(count.queue)
                self.dispatcher.notify(count.queue, suspect=True)
        await self.schedules.declare(self.registry)
        self._scheduler.clock_set_back()  # the clock may have gone back while the server was down

    async def _start_loops(self) -> None:
        self.uploads.look_around()
        for loop in self._loops:
            loop.start()

    async def _stop_loops(self) -> None:
        for loop in self._loops:
            await loop.stop()

    async def _start_dispatcher(self) -> None:
        self.dispatcher.start()

    async def _end_runs(self) -> None:
        """Give the running tasks the rest of their drain time, and release them."""
        await self.runner.wait_idle(self._drain_ends - self.clock.monotonic())
        self.runner.stop()
        await self.runner.wait_idle(STOP_GRACE + 0.3)
