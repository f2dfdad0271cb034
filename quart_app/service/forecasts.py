"""When a task that is made now would have ended: the Retry-After of its 202.

It costs the path of a new task no read: what the store knows of tasks like it (kind, queue, owner, priority, limits) is
read at most once a second, while such tasks come, and those that came since are added. Only the first one after a pause
waits for the read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from quart_app.clock import Clock
from quart_app.core import codec
from quart_app.core.claim_limits import gate_name
from quart_app.core.errors import StoreUnavailable
from quart_app.core.explanation import Coming, Forecast, Place
from quart_app.core.task import Task
from quart_app.core.task_request import EnqueueOptions, TaskRequest
from quart_app.engine.kind import TaskKind
from quart_app.engine.registry import Registry
from quart_app.store.protocols.explain import ExplainStore

MOST: Final = 60  # seconds
FRESH: Final = 1.0  # seconds after which the figures are read again
STALE: Final = 5.0  # seconds after which the first one waits for that
PATIENCE: Final = 0.25  # seconds for which it waits
READS: Final = 20  # in a second
KEPT: Final = 2_000  # forecasts


class _Known(msgspec.Struct):
    """`since`: tasks that came after it was made, by the monotonic clock at `at`."""

    forecast: Forecast
    at: float
    since: int = 0


class Forecasts:
    def __init__(self, store: ExplainStore, registry: Registry, clock: Clock, place: Callable[[], Place]) -> None:
        """`place`: the slots of this process."""
        self._store = store
        self._registry = registry
        self._clock = clock
        self._place = place
        self._known: dict[Coming, _Known] = {}  # those that were read last are last
        self._reading: dict[Coming, asyncio.Task[None]] = {}
        self._second, self._reads = 0, 0

    async def seconds(self, request: TaskRequest) -> int | None:
        """Seconds until the end of a task that is about to be made, from 1 to MOST; None: nobody knows."""
        kind = self._registry.get(request.kind)
        if kind is None:
            return None
        coming = _coming(kind, request)
        known = self._known.get(coming)
        up = self._clock.monotonic()
        if known is None or up - known.at > FRESH:
            reading = self._read(coming, up)
            if reading is not None and (known is None or up - known.at > STALE):
                await asyncio.wait([reading], timeout=PATIENCE)
                known, up = self._known.get(coming), self._clock.monotonic()
        return None if known is None or up - known.at > MOST else self._seconds(known, request, up)

    async def again(self, task: Task, args: Mapping[str, Any] | None = None) -> int | None:
        """The same of a task that is to run again, or another one like it. `args` None: its own."""
        options = EnqueueOptions(queue=task.queue, owner=task.owner, priority=task.priority)
        return await self.seconds(
            TaskRequest(task.kind, codec.loads(task.args or "{}") if args is None else args, options)
        )

    def count(self, requests: Sequence[TaskRequest], by: int = 1) -> None:
        """Tasks that are made stand before those that come later. `by` -1: one that `seconds` counted was refused."""
        for request in requests:
            kind = self._registry.get(request.kind) if self._delay(request) <= 0 else None
            if kind is not None and (known := self._known.get(_coming(kind, request))) is not None:
                known.since = max(known.since + by, 0)

    def _seconds(self, known: _Known, request: TaskRequest, up: float) -> int | None:
        forecast, run, delay = known.forecast, known.forecast.run or 0, self._delay(request)
        if forecast.held:
            return MOST
        if delay > 0:
            return _whole(delay + run)
        end = forecast.end(known.since)
        known.since += 1
        return None if end is None else _whole(max(end - forecast.at - (up - known.at) * 1000, run))

    def _delay(self, request: TaskRequest) -> float:
        """In ms."""
        options = request.options
        if options.run_at is not None:
            return options.run_at - self._clock.now()
        return (options.delay or 0.0) * 1000

    def _read(self, coming: Coming, up: float) -> asyncio.Task[None] | None:
        """Read the figures, unless too many are read: more owners than that ask within a second."""
        reading = self._reading.get(coming)
        if reading is None:
            if int(up) != self._second:
                self._second, self._reads = int(up), 0
            if self._reads >= READS:
                return None
            self._reads += 1
            reading = self._reading[coming] = asyncio.create_task(self._look(coming), name="forecast")
            reading.add_done_callback(lambda _: self._reading.pop(coming))
        return reading

    async def _look(self, coming: Coming) -> None:
        at, up = self._clock.now(), self._clock.monotonic()
        try:
            standing = await self._store.coming(coming, at, int(up * 1000))
        except StoreUnavailable:
            return
        self._known.pop(coming, None)
        self._known[coming] = _Known(Forecast.of(standing, self._place(), at), up)
        if len(self._known) > KEPT:
            del self._known[next(iter(self._known))]


def _whole(ms: float) -> int:
    """In seconds, not too few."""
    return min(max(-int(-ms // 1000), 1), MOST)


def _coming(kind: TaskKind[..., Any], request: TaskRequest) -> Coming:
    options, defaults = request.options, kind.options
    priority = defaults.priority if options.priority is None else options.priority
    gates: tuple[str, ...] = ()
    if kind.limits:
        args = request.args if type(request.args) is dict else {}
        gates = tuple(
            one.definition.name if one.key is None else gate_name(one.definition.name, args.get(one.key))
            for one in kind.limits
        )
    return Coming(kind.name, options.queue or defaults.queue, options.owner, priority, gates)
