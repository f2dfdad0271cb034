"""Reads where a task stands among those that wait: bounded parts of indexes, whatever the number of tasks."""

from __future__ import annotations

from typing import Final

from quart_app.core.admission import Gate
from quart_app.core.claim_limits import OF_QUEUE
from quart_app.core.explanation import MANY, LimitState, Standing
from quart_app.core.task import Task
from quart_app.store.gates import PAUSE_GATE
from quart_app.store.lanes import limit_of
from quart_app.store.sqlite.database import Database
from quart_app.store.sqlite.transaction import Row

LANES: Final = 20  # of one owner, and owners of one queue, that are looked at
RUNS: Final = 100
LOOKED: Final = 1000  # tasks that completed last


class SqlExplain:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def standing(self, task: Task, now: int, up: int) -> Standing | None:
        """None: the task is gone. Raises StoreUnavailable."""
        for row in await self._read("standing", seq=task.seq):
            ready, crashes, lane, queue_paused, kind_paused, parked, share, resumed, limited, waiting = row
            runs = await self._read("last_runs", kind=task.kind, looked=LOOKED, most=RUNS)
            limits = await self._limits(task, lane or None, bool(resumed), bool(limited), now, up)
            before = min(await self._before(task, lane or None, share, parked), max(waiting - 1, 0)) if ready else 0
            if parked is not None and parked.startswith((PAUSE_GATE, OF_QUEUE)):
                parked = None
            return Standing(
                bool(ready),
                crashes,
                bool(queue_paused),
                bool(kind_paused),
                parked and limit_of(parked),
                before,
                limits,
                [ms for (ms,) in runs],
            )
        return None

    async def _read(self, statement: str, **params: object) -> list[Row]:
        return list(await self._db.read(self._db.text(statement), params))

    async def _before(self, task: Task, lane: int | None, share: int | None, parked: str | None) -> int:
        """Tasks that start before it: of one owner they are counted, of others estimated, because owners take turns."""
        place = {"priority": task.priority, "run_at": task.run_at, "seq": task.seq, "most": MANY + 1}
        lanes = [lane] if lane else []
        if lane and parked is None:
            lanes += [one for (one,) in await self._read("lanes_beside", share=share, most=LANES) if one != lane]
        own = 0
        for one in lanes:
            ((count,),) = await self._read("lane_before", lane=one, **place)
            own += count
        if lane is None:
            ((own,),) = await self._read("plain_before", queue=task.queue, **place)
        if parked is not None:
            ((others,),) = await self._read("parked_before", gate=parked, lane=lane, most=LANES)
            return int(min(own + others, MANY + 1))
        ((owners, mine),) = await self._read("owners_beside", queue=task.queue, share=share or 0, most=MANY)
        owners -= mine
        owners += lane is not None and bool(await self._read("plain_waits", queue=task.queue))
        return int(min(own + owners * (own + 1), MANY + 1))

    async def _limits(
        self, task: Task, lane: int | None, resumed: bool, limited: bool, now: int, up: int
    ) -> list[LimitState]:
        rows = [] if lane is None else await self._read("limits_of_lane", lane=lane)
        if limited:
            name = OF_QUEUE + task.queue
            ((running,),) = await self._read("running_in_queue", queue=task.queue)
            gate = await self._read("limit_of_queue", name=name)
            rows = [(name, name, running, *row) for row in gate] + rows
        found = []
        for gate_name, name, running, most, rate, window, started in rows:
            if most is None and rate is None:
                continue
            dates: dict[int, int] = {}
            if rate is not None and not resumed:
                dates = dict(await self._read("gate_starts", gate=gate_name, low=started - rate, limit=1))
            room = None if most is None else max(most - running, 0)
            until = Gate(gate_name, room, rate, window or 0, started, dates).closed_until(up, not resumed)
            opens = now + until - up if until else None
            found.append(LimitState(name, opens, running, most, until is not None, rate, window or 0))
        return found
