"""The store of limits of tasks and of pauses: what the code declares, what operators set, how it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from quart_app.core.claim_limits import OF_QUEUE, LimitDefinition, LimitOverride, LimitUse, Off, QueueUse, Rate, room_of
from quart_app.store.gates import PAUSE_GATE
from quart_app.store.lanes import SORT
from quart_app.store.protocols.tasks import Listener
from quart_app.store.queues import QueueReader
from quart_app.store.sqlite.database import Database
from quart_app.store.sqlite.transaction import Answer, Call, Row

MOST_KEYS: Final = 10_000  # keys of a limit whose use is counted
WALK: Final = 2_000  # tasks of a kind that one write looks at


class SqlClaimLimits:
    def __init__(self, database: Database, listener: Listener) -> None:
        self._db = database
        self._listener = listener
        self._queues = QueueReader(database)
        self._pruned = ""  # the last unused gate that was looked at
        self._walked: tuple[str, int] = ("", 0)  # the kind whose tasks are put into other lanes, and how far

    async def begin(self, now: int, up: int) -> None:
        at = {"now": now, "up": up}
        await self._db.write([Call("age_starts", params=at), Call("forget_openings", params={})])

    async def declare(
        self, limits: Sequence[LimitDefinition], kinds: Mapping[str, Sequence[tuple[str, str | None]]]
    ) -> None:
        names = {"names": _text([one.name for one in limits])}
        calls = [Call("undeclare_limits", params=names), Call("drop_limits", params={})]
        calls += [Call("declare_limit", params=_columns(one)) for one in limits]
        of_kinds = {"kinds": _text(list(kinds))}
        calls += [Call("drop_kinds", params=of_kinds), Call("unlimit_kinds", params=of_kinds)]
        calls += [
            Call("declare_kind", params={"kind": kind, "limits": _text(limits)}) for kind, limits in kinds.items()
        ]
        await self._db.write(calls)

    # --- limits

    async def limits(self, after: str, limit: int, up: int) -> list[LimitUse]:
        rows = await self._db.scan(self._db.text("limits"), {"after": after, "limit": limit})
        return [await self._use(row, up) for row in rows]

    async def limit(self, name: str, up: int) -> LimitUse | None:
        for row in await self._db.read(self._db.text("limit"), {"name": name}):
            return await self._use(row, up)
        return None

    async def _use(self, row: Row, up: int) -> LimitUse:
        name, concurrency, starts, window, own_concurrency, own_starts, own_window, most, most_starts, in_ms = row
        if name.startswith(OF_QUEUE):
            running, started, held, waiting = await self._use_of_queue(name.removeprefix(OF_QUEUE), up)
        else:
            use = {"name": name, "since": up - (in_ms or 0), "most": MOST_KEYS}
            ((running, started, held, waiting),) = await self._db.scan(self._db.text("use_of_limit"), use)
        return LimitUse(
            name,
            most,
            None if most_starts is None else Rate(most_starts, in_ms),
            LimitDefinition(name, concurrency, None if starts is None else Rate(starts, window)),
            LimitOverride(_own(own_concurrency), _own_rate(own_starts, own_window)),
            running,
            started,
            waiting,
            held,
        )

    async def _use_of_queue(self, queue: str, up: int) -> tuple[int, int, int, int]:
        """Its tasks are counted with the queue. It holds back those that no other limit does, while it has no room."""
        ((_, _, waiting, _, running, held, most, starts, window, started),) = await self._queues.figures([queue], up)
        rate = None if starts is None else Rate(starts, window)
        waiting = waiting - held if room_of(most, running, rate, started) == 0 else 0
        return running, started, int(waiting > 0), max(waiting, 0)

    async def override(
        self,
        name: str,
        concurrency: int | Off | UnsetType | None = UNSET,
        rate: Rate | Off | UnsetType | None = UNSET,
        queue: str | None = None,
    ) -> None:
        own = {
            "name": name,
            "sets_concurrency": concurrency is not UNSET,
            "own_concurrency": concurrency if isinstance(concurrency, int) else 0 if concurrency == "off" else None,
            "sets_rate": rate is not UNSET,
            "own_rate": rate.starts if isinstance(rate, Rate) else 0 if rate == "off" else None,
            "own_window_ms": rate.window_ms if isinstance(rate, Rate) else None,
        }
        calls = [Call("make_queue", params={"queue": queue})] if queue is not None else []
        calls += [Call("put_own_limit", params=own), Call("drop_limits", params={})]
        await self._db.write(calls, after=lambda _: self._listener.place_freed())

    # --- queues

    async def queues(self, after: str, limit: int, up: int) -> list[QueueUse]:
        return await self._queues.page(after, limit, up)

    async def queue(self, name: str, up: int) -> QueueUse | None:
        return await self._queues.one(name, up)

    # --- pauses

    async def pause_queue(self, queue: str, paused: bool) -> None:
        def after(_: Answer) -> None:
            if not paused:
                self._listener.task_ready(queue)

        await self._db.write([Call("pause_queue", params={"queue": queue, "paused": int(paused)})], after=after)

    async def pause_kind(self, kind: str, paused: bool) -> None:
        if paused:
            await self._db.write([Call("pause_kind", params={"kind": kind})])
            return
        # Its row is deleted last: that lets its lanes in, too, and tells nobody.
        await self._db.write([Call("resume_kind", params={"kind": kind})])
        while await self._resume_lanes(kind):
            pass
        await self._db.write([Call("drop_resumed_kind", params={"kind": kind})])

    async def _resume_lanes(self, kind: str) -> int:
        def after(answer: Answer) -> None:
            for (queue,) in set(answer[0]):
                self._listener.task_ready(queue)

        call = Call("resume_lanes", params={"gate": PAUSE_GATE + kind, "limit": WALK})
        return len((await self._db.write([call], after=after))[0])

    async def paused(self) -> tuple[list[str], list[str]]:
        ((queues, kinds),) = await self._db.read(self._db.text("paused"), {})
        return msgspec.json.decode(queues), msgspec.json.decode(kinds)

    async def paused_kinds(self) -> list[str]:
        return [kind for (kind,) in await self._db.read(self._db.text("paused_kinds"), {})]

    async def held(self) -> tuple[int, int, int]:
        ((tasks, queues, kinds),) = await self._db.scan(self._db.text("held_figures"), {})
        return tasks, queues, kinds

    # --- upkeep

    async def settle(self) -> bool:
        found = await self._db.read(self._db.text("unsorted_kind"), {})
        kind = next((kind for (kind,) in found), None)
        if kind is None:
            return False
        after = self._walked[1] if self._walked[0] == kind else 0
        walk = {"kind": kind, "after": after, "limit": WALK}
        ((until, count),) = await self._db.read(self._db.text("walk_kind"), walk)
        if count:
            await self._db.write([Call("unsort_kind", params={"kind": kind, "after": after, "until": until}), SORT])
        if count < WALK:
            await self._db.write([Call("sorted_kind", params={"kind": kind})])
            self._walked = ("", 0)
        else:
            self._walked = (kind, until)
        return True

    async def prune(self, up: int, limit: int) -> int:
        ((prunable,),) = await self._db.read(self._db.text("prunable"), {})
        if not prunable:
            return 0
        (lanes,) = await self._db.write([Call("prune_lanes", params={"limit": limit})])
        after = {"after": self._pruned, "limit": limit}
        unused = list(await self._db.read(self._db.text("unused_gates"), after))
        self._pruned = unused[-1][0] if len(unused) == limit else ""
        if not unused:
            return len(lanes)
        names = _text([gate for (gate,) in unused])
        (gates,) = await self._db.write([Call("prune_gates", params={"up": up, "gates": names})])
        return max(len(lanes), len(unused) if gates else 0)


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _columns(limit: LimitDefinition) -> dict[str, object]:
    rate = limit.rate
    of_rate = {"rate": rate and rate.starts, "window_ms": rate and rate.window_ms}
    return {"name": limit.name, "concurrency": limit.concurrency, **of_rate}


def _own(value: int | None) -> int | Off | None:
    return "off" if value == 0 else value


def _own_rate(starts: int | None, window: int | None) -> Rate | Off | None:
    if starts is None or window is None:
        return "off" if starts == 0 else None
    return Rate(starts, window)
