"""Reads where a task stands among those that wait: bounded parts of indexes, whatever the number of tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

import msgspec

from quart_app.core.admission import Gate
from quart_app.core.claim_limits import OF_QUEUE, limit_of
from quart_app.core.explanation import MANY, Coming, LimitState, Standing
from quart_app.core.task import Task
from quart_app.store.lanes import Statements
from quart_app.store.sqlite.bounded_query import READING, Reading
from quart_app.store.sqlite.database import Database
from quart_app.store.sqlite.transaction import Run

LANES: Final = 20  # of one owner that are looked at
OTHER_LANES: Final = 200  # of one queue whose tasks are not among those without a lane
OWNERS: Final = 100  # of one queue whose tasks are counted
RUNS: Final = 100
LOOKED: Final = 1000  # tasks that completed last, among which they are looked for
LOOKED_OF_KIND: Final = 300  # tasks of the kind, when there are none
LAST: Final = 2**62  # more than the number of any task

T = TypeVar("T")


class SqlExplain:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def standing(self, task: Task, now: int, up: int) -> Standing | None:
        return await self._read(lambda run: _Reader(run, now, up).of_task(task))

    async def coming(self, coming: Coming, now: int, up: int) -> Standing:
        return await self._read(lambda run: _Reader(run, now, up).of_coming(coming))

    async def _read(self, procedure: Callable[[Run], T]) -> T:
        """In one call of the reader's thread: each would wait for the loop and for the thread."""
        reading = Reading(procedure, self._db.text)
        await self._db.read(READING, reading)
        return reading.answer


class _Spot(NamedTuple):
    """Where a task is; from `queue_paused` on the columns of the statements `standing` and `coming`. `sole`: the tasks
    of its owner that have no limits are in no lane. `lane` None: it is in none; `laned`: it belongs into one. `gates`:
    those of its limits, as JSON; `parked`: the one at which its lane waits. `waiting`: due tasks of the queue, without
    this one."""

    kind: str
    queue: str
    priority: int
    run_at: int
    seq: int
    queue_paused: int
    kind_paused: int
    sole: int
    share: int | None
    lane: int | None
    laned: int
    gates: str
    resumed: int
    parked: str | None
    parked_at: int | None
    waiting: int

    @property
    def lanes(self) -> list[int]:
        return [] if self.lane is None else [self.lane]


class _InUse(NamedTuple):
    gate: str
    started: int
    state: LimitState


class _Reader:
    """Runs in the reader's thread. `now` in ms UTC, `up` in ms since the boot."""

    def __init__(self, run: Run, now: int, up: int) -> None:
        self._do = Statements(run)
        self._now = now
        self._up = up

    def of_task(self, task: Task) -> Standing | None:
        for ready, crashes, *where in self._do("standing", seq=task.seq, status=task.status):
            spot = _Spot(task.kind, task.queue, task.priority, task.run_at, task.seq, *where)
            return self._standing(spot, bool(ready), crashes)
        return None

    def of_coming(self, coming: Coming) -> Standing:
        (where,) = self._do(
            "coming", kind=coming.kind, queue=coming.queue, owner=coming.owner, gates=_text(coming.gates)
        )
        return self._standing(_Spot(coming.kind, coming.queue, coming.priority, self._now, LAST, *where), True, 0)

    def _standing(self, spot: _Spot, ready: bool, crashes: int) -> Standing:
        limits = self._limits(spot)
        before, of_kind = 0, {"kind": spot.kind, "most": RUNS}
        runs = self._do("last_runs", looked=LOOKED, **of_kind)
        runs = runs or self._do("last_runs_of_kind", looked=LOOKED_OF_KIND, **of_kind)
        if ready:
            gate = spot.parked or next((one.gate for one in limits if one.state.closed and not _of_queue(one)), None)
            mine, before = self._behind(spot, gate) if gate is not None else self._in_queue(spot)
            limits = [self._timed(one, before if one.gate == gate or _of_queue(one) else mine) for one in limits]
        return Standing(
            ready,
            crashes,
            bool(spot.queue_paused),
            bool(spot.kind_paused),
            spot.parked and limit_of(spot.parked),
            before,
            [one.state for one in limits],
            [ms for (ms,) in runs],
        )

    # --- tasks before it

    def _behind(self, spot: _Spot, gate: str) -> tuple[int, int]:
        """Tasks that start before it under the gate that holds it back: of its lane, and in all. Lanes take turns."""
        mine = self._before(spot, spot.lanes, False)
        place = {"lane": spot.lane or 0, "parked_at": spot.parked_at, "own": mine, "most": MANY}
        ((others,),) = self._do("parked_before", gate=gate, **place)
        return mine, mine + others

    def _in_queue(self, spot: _Spot) -> tuple[int, int]:
        """Tasks that start before it: of its lane, and in all. Of one owner they are counted, of others estimated,
        because owners take turns."""
        mine = self._before(spot, spot.lanes, False) if spot.gates != "[]" else 0
        beside = self._do("lanes_beside", share=spot.share or 0, most=LANES)
        own = self._before(spot, list({*spot.lanes, *(lane for (lane,) in beside)}), bool(spot.sole))
        asked = {"queue": spot.queue, "share": spot.share or 0, "own": own, "some": OWNERS, "few": LANES, "most": MANY}
        ((owners, others),) = self._do("owners_beside", **asked)
        others = others * max(owners, OWNERS) // OWNERS
        if not spot.sole and self._do("plain_waits", queue=spot.queue):
            others += own + 1
        return mine, min(own + others, spot.waiting)

    def _before(self, spot: _Spot, lanes: list[int], plain: bool) -> int:
        """Tasks before it in these lanes, and (`plain`) among those in no lane. Above MANY an estimate."""
        place = {"priority": spot.priority, "run_at": spot.run_at, "seq": spot.seq, "most": MANY + 1}
        higher = earlier = 0
        if lanes:
            ((higher, earlier),) = self._do("lanes_before", lanes=_text(lanes), **place)
        if plain:
            ((more, before),) = self._do("plain_before", queue=spot.queue, **place)
            higher, earlier = higher + more, earlier + before
        if higher + earlier <= MANY:
            return int(higher + earlier)
        total = 0
        if plain:
            ((total,),) = self._do("plain_ready", queue=spot.queue, most=OTHER_LANES)
        ((ready,),) = self._do("lanes_ready", lanes=_text(lanes))
        # Between the first and the last one of its priority, by its date.
        if plain and not spot.laned:
            ((lower, first, last),) = self._do("plain_spread", queue=spot.queue, **place)
        else:
            ((lower, first, last),) = self._do("lane_spread", lane=spot.lane or next(iter(lanes), 0), **place)
        part = (spot.run_at - first) / (last - first) if first is not None and first < last else 1.0
        between = max(total + ready - higher - lower, 0) * min(max(part, 0.0), 1.0)
        return int(max(higher + between, MANY + 1))

    # --- limits

    def _limits(self, spot: _Spot) -> list[_InUse]:
        gates = [OF_QUEUE + spot.queue, *msgspec.json.decode(spot.gates)]
        found = []
        for row in self._do("limits_of_gates", gates=_text([(gate, limit_of(gate)) for gate in gates])):
            gate, name, running, most, rate, window, started = row
            if gate.startswith(OF_QUEUE):
                ((running,),) = self._do("running_in_queue", queue=spot.queue)
            dates: dict[int, int] = {}
            if rate is not None:
                dates = dict(self._do("gate_starts", gate=gate, low=started - rate, limit=1))
            room = None if most is None else max(most - running, 0)
            until = Gate(gate, room, rate, window or 0, started, dates).closed_until(self._up, not spot.resumed)
            opens = self._now + until - self._up if until else None
            rate = None if spot.resumed else rate
            state = LimitState(name, opens, running, most, until is not None, 0, rate, window or 0)
            found.append(_InUse(gate, started, state))
        return found

    def _timed(self, one: _InUse, before: int) -> _InUse:
        """With the number of tasks before it, and when that lets it start."""
        state, turn, room = one.state, None, 0
        if state.starts is not None:
            low = one.started - state.starts
            windows, place = divmod(before, state.starts)
            asked = {"low": low, "place": low + place, "since": self._up - state.window, "most": MANY}
            ((first, at, over),) = self._do("starts_in_window", gate=one.gate, **asked)
            room = state.starts - (0 if first is None else one.started - max(first, low)) + over
            turn = self._now + max(0 if at is None else at + state.window - self._up, 0) + windows * state.window
        return one._replace(state=msgspec.structs.replace(state, before=before, turn=turn, room=room))


def _of_queue(one: _InUse) -> bool:
    return one.gate.startswith(OF_QUEUE)


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
