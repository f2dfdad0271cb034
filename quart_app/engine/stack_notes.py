"""Where the handlers of this process are: asked for now, and noted in the history of a task when it hangs."""

from __future__ import annotations

import asyncio
import logging
from asyncio.events import Handle
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Final

from structlog.contextvars import get_contextvars

from quart_app.clock import Clock
from quart_app.core import codec
from quart_app.core.errors import ClaimLost, StoreUnavailable
from quart_app.engine import stacks
from quart_app.engine.blocked_note import BlockedNote
from quart_app.engine.processes.pool import Processes
from quart_app.engine.registry import Registry
from quart_app.engine.run import Run
from quart_app.engine.stacks import Frame, Place
from quart_app.engine.threads import in_thread

log = logging.getLogger("quart_app.runner")

AT_TIMEOUT: Final = "where it was when its time was over"
IGNORES: Final = "it ignores that it should end; where it is"
BLOCKS: Final = "it blocks the event loop; where it is"
HANDLER: Final = "Runner._handle"  # calls it
MAX_NOTE: Final = 16_384  # bytes of JSON, as of a log line


class Stacks:
    def __init__(
        self, runs: Mapping[str, Run], registry: Registry, processes: Processes, clock: Clock, folder: Path
    ) -> None:
        """`folder`: where a note is kept while the event loop is blocked."""
        self._runs = runs
        self._registry = registry
        self._processes = processes
        self._clock = clock
        self.kept = BlockedNote(folder)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def of(self, task_id: str) -> list[Frame] | None:
        """The frames of a handler, outermost first. None: it does not run here; an empty list: its child process does
        not answer."""
        run = self._runs.get(task_id)
        places = await self._places(run) if run is not None else None
        return await _shown(places) if places is not None else None

    async def _places(self, run: Run) -> list[Place] | None:
        kind = self._registry.get(run.task.kind)
        if kind is None or run.inner is None or run.inner.done():
            return None
        if kind.executor == "process":
            return await self._processes.stack(run.task.id)
        return stacks.of_task(run.inner)

    async def take(self, run: Run, message: str) -> None:
        """Keep where the handler is now, for `write`. Awaits nothing unless it runs in a child process."""
        try:
            if places := await self._places(run):
                run.notes = [*(run.notes or ()), (message, places)]
        except asyncio.CancelledError:  # the server cancels the run
            run.reason = run.reason if run.reason == "cancel" else "stop"
        except Exception:  # never a reason not to end the run
            log.exception("the stack was not taken", extra={"task_id": run.task.id})

    async def ignored(self, run: Run) -> None:
        """A child process is about to be killed, because its handler goes on after a cancel."""
        if run.reason == "cancel":
            await self.take(run, IGNORES)

    async def write(self, run: Run) -> None:
        """Write what was taken to the history, before the end of the run is recorded."""
        if run.noting is not None:
            await asyncio.wait([run.noting])
        notes, run.notes = run.notes or (), None
        for message, places in notes:
            await self._write(run, _note(message, await _shown(places)))

    async def _write(self, run: Run, note: str) -> None:
        if run.context is None:
            return
        try:
            await run.context._keep_log(note)
        except (ClaimLost, StoreUnavailable):
            pass  # the next write is refused as well, and counted there

    # --- the blocked event loop; in the thread that watches it

    def watch(self) -> None:
        """Begin to look for handlers that block the loop which calls this."""
        self._loop = asyncio.get_running_loop()

    def blocked(self, frame: FrameType) -> str | None:
        """Note the stack of the handler that blocks the loop, `frame` being its innermost one. The id of its task, None
        when it is no handler."""
        run = self._blocking(frame)
        if run is None or self._loop is None:
            return None
        note = _note(BLOCKS, stacks.show(_of_handler(frame)))
        self.kept.keep(run.task, note, self._clock.now())
        self._loop.call_soon_threadsafe(self._write_soon, run, note)  # not before: it deletes the file
        return run.task.id

    def _blocking(self, frame: FrameType) -> Run | None:
        current = asyncio.current_task(self._loop)
        runs = list(self._runs.values())
        found = next((run for run in runs if run.inner is not None and run.inner is current), None)
        if found is not None or (call := _call(frame)) is None:
            return found
        # A task of the handler's own has inherited its context.
        bound: dict[str, Any] = call.f_locals["self"]._context.copy().run(get_contextvars)
        return self._runs.get(bound.get("task_id", ""))

    def _write_soon(self, run: Run, note: str) -> None:
        if run.noting is None or run.noting.done():
            run.noting = asyncio.create_task(self._write_now(run, note), name="stack-note")

    async def _write_now(self, run: Run, note: str) -> None:
        await self._write(run, note)
        self.kept.drop()


async def _shown(places: list[Place]) -> list[Frame]:
    return await in_thread(lambda: stacks.show(places), "stack")


def _note(message: str, frames: list[Frame]) -> str:
    """The data of an event `log`, without the outermost frames when there is no room for all."""
    documents = stacks.as_documents(frames)
    while True:
        text = codec.encode({"message": message, "fields": {"frames": documents}})
        if len(text.encode()) <= MAX_NOTE:
            return text
        del documents[: 1 + len(documents) // 10]


def _call(frame: FrameType | None) -> FrameType | None:
    """The frame in which the event loop calls what blocks it; None under uvloop, which has none."""
    found = None
    while frame is not None:
        if frame.f_code is Handle._run.__code__:
            found = frame
        frame = frame.f_back
    return found


def _of_handler(frame: FrameType) -> list[Place]:
    call, places = _call(frame), stacks.of_frame(frame)
    if call is not None:
        return stacks.from_handler(places[len(stacks.of_frame(call)) :])
    start = next((index for index, place in enumerate(places) if place.function == HANDLER), 0)
    return stacks.from_handler(places[start:])
