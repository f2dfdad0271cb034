"""What a handler can wait for without a slot: time, its children, signals. Each is remembered as a step is."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from quart_app.clock import Clock
from quart_app.core import codec
from quart_app.core.errors import ChildFailed, SignalTimeout, TooDeep, TooManyChildren
from quart_app.core.flow import SIGNAL_PREFIX, ChildOutcome, ForChildren, ForSignal, Record, Sleeping
from quart_app.core.task import KIND_PATTERN, TERMINAL, NewTask
from quart_app.engine.kind import TaskKind
from quart_app.engine.recorder import Recorder
from quart_app.engine.retry_store_call import retry_store_call
from quart_app.engine.services import Services
from quart_app.engine.steps import MAX_STEPS, StepsTooLarge
from quart_app.engine.suspension import refuse_inside_step
from quart_app.store.protocols.flow import Settled

SHORT: Final = 1000  # ms: a shorter sleep keeps its slot, and is not recorded
MAX_SLEEP: Final = 100 * 365 * 86_400  # seconds
_NAME: Final = re.compile(KIND_PATTERN)


class Flow:
    """The waits of one run."""

    def __init__(self, recorder: Recorder, services: Services, clock: Clock) -> None:
        self._recorder = recorder
        self._task = recorder.task
        self._steps = recorder.steps
        self._suspension = recorder.suspension
        self._services = services
        self._store = services.flow_store
        self._clock = clock
        self._positions: dict[str, int] = {}
        self._children: int | None = None if self._task.has_steps else 0

    # --- time

    async def sleep(self, seconds: float | None, until: datetime.datetime | None, name: str | None) -> None:
        key = self._begin("sleep", name, ("sleep",))
        now = self._clock.now()
        relative = until is None
        if key in self._steps:
            wake = int(await self._steps.output(key))
            if wake <= now:
                return
        else:
            wake = _wake(now, seconds, until)
            if wake - now < SHORT:
                await self._clock.sleep(max(wake - now, 0) / 1000)
                return
        delay_ms = wake - now if relative else None
        raise await self._suspension.suspend(Sleeping(self._recorder.record(key, "sleep", str(wake)), wake, delay_ms))

    # --- children

    async def spawn(
        self,
        kind: str | TaskKind[..., Any],
        args: Mapping[str, Any] | None,
        name: str | None,
        detached: bool,
        options: Mapping[str, Any],
    ) -> str:
        key = self._begin("spawn", name, ("child",))
        if key in self._steps:
            return str(codec.loads(await self._steps.output(key)))
        (child,) = await self._children_of(kind, [args or {}], options)
        await self._make(self._recorder.record(key, "child", codec.encode(child.id)), [child], detached)
        return child.id

    async def spawn_many(
        self,
        kind: str | TaskKind[..., Any],
        args: Iterable[Mapping[str, Any]],
        name: str | None,
        detached: bool,
        options: Mapping[str, Any],
    ) -> list[str]:
        key = self._begin("spawn_many", name, ("children",))
        if key in self._steps:
            found: list[str] = codec.loads(await self._steps.output(key))
            return found
        children = await self._children_of(kind, list(args), options)
        ids = [child.id for child in children]
        await self._make(self._recorder.record(key, "children", codec.encode(ids)), children, detached)
        return ids

    async def _children_of(
        self, kind: str | TaskKind[..., Any], args: Sequence[Mapping[str, Any]], options: Mapping[str, Any]
    ) -> list[NewTask]:
        """The tasks to be made. Raises TooDeep, TooManyChildren, and as `enqueue`."""
        settings = self._services.settings
        if self._task.depth >= settings.max_depth:
            raise TooDeep(f"this task is of generation {self._task.depth}, and QUART_APP_MAX_DEPTH allows no more")
        kind_name = kind.name if isinstance(kind, TaskKind) else kind
        if self._children is None:
            found = await retry_store_call(lambda: self._store.count_children(self._task.id), self._clock)
            if self._children is None:  # else another call has counted, and may be making some now
                self._children = found
        total = self._children + len(args)
        if total > settings.max_children:
            raise TooManyChildren(
                f"{total} children of one task; QUART_APP_MAX_CHILDREN allows {settings.max_children}"
            )
        made = self._services.family.children(kind_name, args, options, self._task.owner)
        self._children = total
        return made

    async def _make(self, record: Record, children: list[NewTask], detached: bool) -> None:
        task, store = self._task, self._store
        async with self._suspension.operation():
            self._steps.add(record.name, record.output)
            await self._recorder.land(
                lambda clear: store.spawn(task.id, task.fence, record, children, detached, self._clock.now(), clear)
            )

    async def gather(self, ids: Iterable[str], return_exceptions: bool) -> list[Any]:
        wanted = () if isinstance(ids, str) else tuple(ids)
        if isinstance(ids, str) or not all(isinstance(one, str) for one in wanted):
            raise ValueError(f"gather takes the ids that spawn has returned, in a list, not {ids!r:.100}")
        key = self._begin("gather", None, ("gather",))
        if key in self._steps:
            outcomes = msgspec.json.decode(await self._steps.output(key), type=list[ChildOutcome])
        else:
            outcomes = await self._outcomes(wanted)
            async with self._suspension.operation():
                await self._recorder.write(self._recorder.record(key, "gather", _encode_outcomes(outcomes)))
        values = [_value(outcome) for outcome in outcomes]
        if not return_exceptions and (failed := next((v for v in values if isinstance(v, ChildFailed)), None)):
            raise failed
        return values

    async def _outcomes(self, ids: tuple[str, ...]) -> list[ChildOutcome]:
        """How they ended; suspends until all have."""
        found = await retry_store_call(lambda: self._store.outcomes(self._task.id, ids), self._clock)
        for outcome in found:
            if outcome.status == "stranger":
                raise ValueError(f"{outcome.id!r:.100} is no child of this task; gather takes what spawn has returned")
        if all(outcome.status in TERMINAL or outcome.status == "deleted" for outcome in found):
            return found
        raise await self._suspension.suspend(ForChildren(tuple(dict.fromkeys(ids))))

    # --- signals

    async def wait_signal(self, name: str, timeout: float | None) -> Any:
        if not isinstance(name, str) or _NAME.fullmatch(name) is None:
            raise ValueError(f"a signal's name is as that of a kind ({KIND_PATTERN}), not {name!r:.100}")
        key = self._begin(SIGNAL_PREFIX + name, None, ("wait", "signal", "timeout"), "wait_signal")
        now = self._clock.now()
        recorded = self._steps.type_of(key)
        if recorded in ("signal", "timeout"):
            return _signal(name, recorded, await self._steps.output(key))
        if recorded is not None:
            until = codec.loads(await self._steps.output(key))
        else:
            until = None if timeout is None else now + _ms(timeout, "timeout")
        record = self._recorder.record(key, "wait", codec.encode(until))
        over = until is not None and until <= now
        if over or await retry_store_call(lambda: self._store.has_signal(self._task.id, name), self._clock):
            return await self._take(record, name, over)
        raise await self._suspension.suspend(ForSignal(record, name, until, None if until is None else until - now))

    async def _take(self, record: Record, name: str, over: bool) -> Any:
        task, store = self._task, self._store
        found: list[Settled] = []

        async def take(clear: bool) -> bool:
            settled = await store.take_signal(task.id, task.fence, record, name, self._clock.now(), over, clear)
            found.extend([] if settled is None else [settled])
            return settled is not None

        async with self._suspension.operation():
            await self._recorder.land(take)
        return _signal(name, found[-1].type, found[-1].output)

    # --- what they have in common

    def _begin(self, verb: str, name: str | None, types: tuple[str, ...], what: str = "") -> str:
        """The key of what is asked for: the name, or the verb and its position among its like. Raises ValueError,
        RuntimeError, SuspensionSwallowed."""
        refuse_inside_step(what or verb)
        if name is None:
            position = self._positions[verb] = self._positions.get(verb, 0) + 1
            name = f"{verb}-{position}"
        self._recorder.use(name)
        found = self._steps.type_of(name)
        if found is not None and found not in types:
            raise ValueError(f"{name!r} is on record as a {found}, and now asked for as another thing")
        return name


def _wake(now: int, seconds: float | None, until: datetime.datetime | None) -> int:
    if (seconds is None) == (until is None):
        raise ValueError("ctx.sleep takes seconds, or until=a date")
    if until is None:
        return now + _ms(seconds, "seconds")
    if not isinstance(until, datetime.datetime) or until.tzinfo is None:
        raise ValueError(f"until is an aware datetime (one with a timezone), not {until!r:.100}")
    return int(until.timestamp() * 1000)


def _ms(seconds: Any, what: str) -> int:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
        raise ValueError(f"{what} is a number of seconds, not {seconds!r:.100}")
    return int(min(max(seconds, 0), MAX_SLEEP) * 1000)


def _signal(name: str, recorded: str, output: str) -> Any:
    if recorded == "timeout":
        raise SignalTimeout(f"no signal {name} came in time")
    return codec.loads(output)


def _value(outcome: ChildOutcome) -> Any:
    """The result, or the ChildFailed that stands for it."""
    if outcome.status == "completed":
        return None if outcome.result is None else codec.loads(outcome.result)
    return ChildFailed(outcome.id, outcome.kind, outcome.status, outcome.error_type, outcome.error_message)


def _encode_outcomes(outcomes: list[ChildOutcome]) -> str:
    if sum(len(outcome.result or "") for outcome in outcomes) > MAX_STEPS:
        raise StepsTooLarge(f"the results of these children are over {MAX_STEPS} bytes together; let them write files")
    return msgspec.json.encode(outcomes).decode()
