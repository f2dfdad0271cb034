"""Bulk tasks: one action on many tasks, piece by piece.

The set is fixed by the row of the bulk task itself: what was there before it, and what the action applied to then and
has applied to since. So nothing need be written down when it is asked for, however large the set. Each piece is one
transaction with its record, a step of the bulk task: after a crash it goes on behind the last piece.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from quart_app.clock import Clock
from quart_app.core import codec
from quart_app.core.bulk import BULK, Action, BulkFilter, BulkSet, BulkTask
from quart_app.core.errors import Draining, KeyGone, KindRefused, NonRetryable, ReadTooLong
from quart_app.core.flow import Record
from quart_app.core.task import Enqueued
from quart_app.core.task_request import EnqueueOptions, TaskRequest
from quart_app.engine.recorder import Recorder
from quart_app.engine.retry_store_call import retry_store_call
from quart_app.service.tasks import TaskService
from quart_app.store.protocols.bulk import BulkStore, Landed
from quart_app.store.protocols.tasks import Store

PIECE: Final = 100  # tasks in one transaction: its neighbours wait for a few milliseconds
PAGE: Final = 2_000  # tasks in one read
SPAN: Final = 50_000  # numbers of tasks that one read walks at most
LEAST_SPAN: Final = 500
MOST_PAUSE: Final = 0.2  # seconds
LAST: Final = 2**62


class RunOfBulk(Protocol):
    """The part of a context that a bulk task needs."""

    @property
    def task_id(self) -> str: ...

    @property
    def owner(self) -> str: ...

    @property
    def recorder(self) -> Recorder: ...

    async def step(self, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any: ...

    async def progress(self, done: float | None = None, total: float | None = None) -> None: ...


class Bulk:
    def __init__(
        self, service: TaskService, tasks: Store, store: BulkStore, clock: Clock, sees: Callable[[str], str | None]
    ) -> None:
        """`sees` tells whose tasks a task of an owner may change; None: everybody's."""
        self._service = service
        self._tasks = tasks
        self._store = store
        self._clock = clock
        self._sees = sees

    async def count(self, action: Action, chosen: BulkFilter, owner: str | None) -> int:
        """How many tasks a bulk task would mean if it were made now. `owner`: whose; None: everybody's."""
        _, high = await self._store.ends()
        return await self._count(BulkSet(action, chosen, owner, high, LAST))

    async def start(self, args: Mapping[str, Any], options: EnqueueOptions) -> Enqueued:
        """Make a bulk task. Neither a full queue nor a key for other kinds keeps its owner from that: it starts nothing
        that the owner may not start. Raises Draining, InvalidArgs, IdempotencyConflict, KeyedTaskGone."""
        if not self._service.accepting:
            raise Draining("the server is stopping")
        task = self._service.prepare(TaskRequest(BULK, args, options), self._service.now())
        (made,) = await self._tasks.enqueue([task])
        return made

    async def run(self, context: RunOfBulk, action: Action, chosen: BulkFilter) -> dict[str, int]:
        """Do what the bulk task of this context asks for. Raises ClaimLost, NonRetryable, ReadTooLong."""
        seq, event = await retry_store_call(lambda: self._store.made(context.task_id), self._clock)
        wanted = BulkSet(action, chosen, self._sees(context.owner), seq - 1, event)
        matching = int(await context.step("matching", self._count, wanted))
        pieces = _Pieces(context)
        await context.progress(await pieces.load(), matching)
        async for tasks, upto in self._parts(wanted, pieces.upto, partial(self._may, action, context.owner)):
            began = self._clock.monotonic()
            await self._act(context, pieces, action, tasks, upto)
            await context.progress(pieces.done, matching)
            await self._clock.sleep(min(self._clock.monotonic() - began, MOST_PAUSE))  # half of the time is the others'
        return {"matching": matching, "done": pieces.done, "skipped": max(matching - pieces.done, 0)}

    # --- the set

    async def _count(self, wanted: BulkSet) -> int:
        total = 0
        async for after, upto in self._spans(wanted, 0):
            total += await self._count_span(wanted, after, upto)
        return total

    async def _count_span(self, wanted: BulkSet, after: int, upto: int) -> int:
        """Count in halves when the whole takes too long."""
        try:
            return await retry_store_call(lambda: self._store.count(wanted, after, upto), self._clock)
        except ReadTooLong:
            if upto - after <= LEAST_SPAN:
                raise
        middle = (after + upto) // 2
        return await self._count_span(wanted, after, middle) + await self._count_span(wanted, middle, upto)

    async def _spans(self, wanted: BulkSet, after: int) -> AsyncIterator[tuple[int, int]]:
        low, _ = await retry_store_call(self._store.ends, self._clock)
        after = max(after, low - 1)
        while after < wanted.until:
            upto = min(after + SPAN, wanted.until)
            yield after, upto
            after = upto

    async def _parts(
        self, wanted: BulkSet, after: int, may: Callable[[BulkTask], bool]
    ) -> AsyncIterator[tuple[list[BulkTask], int]]:
        """The tasks of the set after a number, piece by piece; with each the number up to which it goes."""
        async for start, upto in self._spans(wanted, after):
            below = start
            while below < upto:
                found, below = await self._page(wanted, below, upto)
                allowed = [task for task in found if may(task)]
                for place in range(0, len(allowed), PIECE):
                    piece = allowed[place : place + PIECE]
                    yield piece, piece[-1].seq

    async def _page(self, wanted: BulkSet, after: int, upto: int) -> tuple[list[BulkTask], int]:
        """The first tasks of a span, and the number up to which that is all of them."""
        try:
            found = await retry_store_call(lambda: self._store.find(wanted, after, upto, PAGE), self._clock)
        except ReadTooLong:
            if upto - after <= LEAST_SPAN:
                raise
            return await self._page(wanted, after, (after + upto) // 2)
        return found, found[-1].seq if len(found) == PAGE else upto

    def _may(self, action: Action, owner: str, task: BulkTask) -> bool:
        """Whether the owner of the bulk task may do that. Raises NonRetryable when the owner's key is gone."""
        if action != "retry":
            return True
        try:
            self._service.check_start(owner, task.kind)
        except KeyGone as error:
            raise NonRetryable(str(error)) from None
        except KindRefused:
            return False
        return not self._service.for_admins(task.kind) or self._service.is_admin(owner)

    # --- acting

    async def _act(self, context: RunOfBulk, pieces: _Pieces, action: Action, tasks: list[BulkTask], upto: int) -> None:
        """Act on a piece in one transaction. Tasks to which the action no longer applies are left out."""
        kinds = {task.id: task.kind for task in tasks}
        ids = list(kinds)
        run, told = context.recorder.task, partial(self._tell, kinds)
        name = pieces.begin()

        async def write(clear: bool) -> bool:
            nonlocal ids
            while True:
                record = pieces.record(name, len(ids), upto)
                now = self._clock.now()
                answer = await self._store.act(run.id, run.fence, action, ids, record, now, clear, told)
                if isinstance(answer, str):
                    return answer == "landed"
                ids = [one for one in ids if one in answer]

        await context.recorder.land(write)
        pieces.done, pieces.upto = pieces.done + len(ids), upto

    def _tell(self, kinds: Mapping[str, str], landed: Landed) -> None:
        for one in landed.cancelled:
            self._service.on_end(kinds[one], "cancelled", None)
        for one in landed.asked:
            self._service.cancel_run(one)


class _Piece(msgspec.Struct):
    """What is recorded of one: how many tasks were done, and the number up to which all are."""

    done: int
    upto: int


class _Pieces:
    """The pieces that this bulk task has recorded."""

    def __init__(self, context: RunOfBulk) -> None:
        self._recorder = context.recorder
        self._count = 0
        self.done = self.upto = 0

    async def load(self) -> int:
        """Read what earlier runs have recorded. Returns how many tasks they have done."""
        while (name := self._name(self._count + 1)) in self._recorder.steps:
            self._recorder.recorded(name)
            piece = msgspec.json.decode(await self._recorder.steps.output(name), type=_Piece)
            self.done, self.upto = self.done + piece.done, piece.upto
            self._count += 1
        return self.done

    def begin(self) -> str:
        """The name of the next piece."""
        self._count += 1
        name = self._name(self._count)
        self._recorder.use(name)
        return name

    def record(self, name: str, done: int, upto: int) -> Record:
        return self._recorder.record(name, "step", codec.encode({"done": done, "upto": upto}))

    @staticmethod
    def _name(number: int) -> str:
        return f"piece-{number}"
