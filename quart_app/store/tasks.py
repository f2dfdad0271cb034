"""The one implementation of the store: each verb names the statements it runs; SQL is in `<dialect>/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final

import msgspec

from quart_app.core.flow import Record
from quart_app.core.lifecycle import SUSPECT_CRASHES
from quart_app.core.schedule import FIRES_KEPT
from quart_app.core.size_budget import SizeBudget
from quart_app.core.task import (
    Claimed,
    Count,
    Enqueued,
    ErrorRecord,
    Event,
    FeedEvent,
    NewTask,
    Orphan,
    StepName,
    StepRecord,
    Task,
    TaskError,
    TaskFilter,
)
from quart_app.store.claims import Claims, Turns
from quart_app.store.deleted_tasks import clear_deleted
from quart_app.store.going_back import SqlGoingBack, refuse_duplicate
from quart_app.store.lanes import SORT
from quart_app.store.listing import listing
from quart_app.store.new_tasks import NewTasks, all_known
from quart_app.store.protocols.tasks import CancelAnswer, EndAnswer, Listener
from quart_app.store.queues import oldest
from quart_app.store.run_writes import RunWrites
from quart_app.store.sqlite.bounded_query import within
from quart_app.store.sqlite.database import Database
from quart_app.store.sqlite.transaction import Answer, Call
from quart_app.store.task_reader import TaskReader
from quart_app.store.write_calls import (
    INLINE,
    headway_calls,
    make_ready_calls,
    orphan,
    put_error,
    put_event,
    record_calls,
)

_DOCUMENTS: Final = [Task.__struct_fields__.index(name) for name in ("args", "result")]


class SqlStore:
    def __init__(
        self,
        database: Database,
        worker: str,
        listener: Listener,
        code_version: str | None = None,
        turns: Turns | None = None,
    ) -> None:
        """`code_version`: kept with each attempt that is claimed here."""
        self._db = database
        self._claims = Claims(database, listener, code_version, turns or Turns())
        self._listener = listener
        self._tasks = TaskReader(database)
        self._runs = RunWrites(database, listener)
        self.worker = worker
        self.laned: set[str] = set()  # kinds with limits, or paused: their tasks are put into lanes

    # --- creating

    async def enqueue(self, tasks: Sequence[NewTask]) -> list[Enqueued]:
        for queue in {task.queue for task in tasks if task.ready}:
            self._listener.task_coming(queue)
        new = NewTasks(tasks, self._listener, self.laned)
        check = new.check if new.checked else None
        return new.enqueued(await self._db.write(new.calls, check=check, after=new.announce))

    async def known_keys(self, tasks: Sequence[NewTask]) -> bool:
        return await all_known(self._db, tasks)

    # --- a run

    async def claim(self, room: Mapping[str, int], now: int, up: int | None = None) -> list[Claimed]:
        return await self._claims.claim(self.worker, room, now, up)

    async def claim_suspects(self, least: int, most: int, limit: int, now: int, up: int | None = None) -> list[Claimed]:
        return await self._claims.claim_suspects(self.worker, least, most, limit, now, up)

    async def steps(self, task_id: str, budget: SizeBudget | None = None) -> list[StepRecord]:
        text, params = self._db.text("steps"), {"id": task_id}
        takes = within(budget, 2)
        read = self._db.read(text, params, large=True) if takes is None else self._db.scan(text, params, takes)
        return [StepRecord(*row) for row in await read]

    async def step_names(self, task_id: str, after: str, limit: int, most: int) -> list[StepName]:
        params = {"id": task_id, "after": after, "limit": limit, "most": most}
        return [StepName(*row) for row in await self._db.read(self._db.text("step_names"), params, large=True)]

    async def step_output(self, task_id: str, name: str) -> str | None:
        rows = await self._db.read(self._db.text("step_output"), {"id": task_id, "name": name}, large=True)
        return next((str(output) for (output,) in rows), None)

    async def record_step(
        self,
        task_id: str,
        fence: int,
        name: str,
        output: str,
        ordinal: int,
        now: int,
        clear_crashes: bool,
        what: str = "step",
    ) -> bool:
        calls = record_calls(task_id, fence, Record(name, what, output, ordinal), now)
        if clear_crashes:
            calls += headway_calls(task_id, fence)
        return await self._runs.landed(task_id, calls)

    async def progress(
        self,
        task_id: str,
        fence: int,
        done: float | None,
        total: float | None,
        message: str | None,
        now: int,
        event: bool = True,
    ) -> bool:
        row = {"id": task_id, "fence": fence, "done": done, "total": total, "message": message}
        calls = [Call("put_progress", row, key=task_id)]
        if event:
            data = msgspec.json.encode({"done": done, "total": total, "message": message}).decode()
            calls.append(put_event(task_id, fence, "progress", data, now))
        return await self._runs.landed(task_id, calls)

    async def log(self, task_id: str, fence: int, data: str, now: int) -> bool:
        row = {"id": task_id, "fence": fence, "at": now, "name": "log", "data": data}
        return await self._runs.landed(task_id, [Call("put_event", row, key=f"{task_id}/{fence}", share=task_id)])

    async def complete(self, task_id: str, fence: int, result: str, now: int) -> bool:
        row = {"id": task_id, "fence": fence, "at": now, "result": result if len(result) <= INLINE else None}
        put = [Call("put_result", {**row, "result": result})] if row["result"] is None else []
        return await self._runs.landed(task_id, [Call("complete", row, key=task_id), *put], self._runs.family)

    async def retry(self, task_id: str, fence: int, error: TaskError, run_at: int, now: int) -> EndAnswer:
        row = {"id": task_id, "fence": fence, "at": now, "run_at": run_at, "delay_ms": max(run_at - now, 0)}
        put = put_error(task_id, fence, error, now)
        return await self._runs.end("retry", row, put, on_landed=lambda _: self._listener.task_due_at(run_at))

    async def fail(self, task_id: str, fence: int, error: TaskError, now: int) -> EndAnswer:
        put = put_error(task_id, fence, error, now)
        return await self._runs.end(
            "fail", {"id": task_id, "fence": fence, "at": now}, put, on_landed=self._runs.family
        )

    async def suspend(self, task_id: str, fence: int, waiting_for: str, now: int) -> EndAnswer:
        return await self._runs.end("suspend", {"id": task_id, "fence": fence, "at": now, "waiting_for": waiting_for})

    async def release(self, task_id: str, fence: int, queue: str, now: int, run_at: int | None = None) -> EndAnswer:
        row = {"id": task_id, "fence": fence, "at": now, "run_at": run_at, "delay_ms": run_at and max(run_at - now, 0)}
        return await self._runs.end("release", row, on_landed=lambda _: self._announce_ready(queue, run_at))

    async def end_cancelled(self, task_id: str, fence: int, now: int) -> bool:
        row = {"id": task_id, "fence": fence, "at": now}
        return await self._runs.landed(task_id, [Call("end_cancelled", row, key=task_id)], self._runs.family)

    def _announce_ready(self, queue: str, run_at: int | None, suspect: bool = False) -> None:
        """Notify the listener. `run_at` None: the task is ready at once."""
        if run_at is None:
            self._listener.task_ready(queue, suspect)
        else:
            self._listener.task_due_at(run_at)

    # --- by hand

    async def cancel(self, task_id: str, now: int) -> CancelAnswer:
        row = {"id": task_id, "at": now}
        calls = [Call(name, row, key=task_id) for name in ("cancel_pending", "request_cancel", "state")]

        def after(answer: Answer) -> None:
            if answer[0] or answer[1]:
                self._listener.task_changed(task_id)
            for ended in answer[0]:
                self._runs.family(ended)

        ended, _, state = await self._db.write(calls, after=after)
        if ended:
            return "cancelled"
        if not state:
            return "unknown"
        return "requested" if state[0][1] == "processing" else "ended"

    async def rerun(self, task_id: str, restart: bool, now: int) -> bool:
        if restart:
            return await SqlGoingBack(self._db, self._listener).restart(task_id, now)
        calls = [Call(name, {"id": task_id, "at": now}, key=task_id) for name in ("rerun", "state")]
        ready = self._listener.task_ready
        return await self._runs.landed(task_id, [*calls, SORT], lambda row: ready(row[1]), refuse_duplicate)

    async def delete(self, task_id: str) -> bool:
        return await self._runs.landed(task_id, [Call("delete", {"id": task_id}, key=task_id)])

    # --- upkeep

    async def make_ready(self, now: int, limit: int, settled: int | None = None) -> int:
        def after(answer: Answer) -> None:
            for queue, crashes in set(chain.from_iterable(answer)):
                self._listener.task_ready(queue, suspect=crashes >= SUSPECT_CRASHES)

        by_then = {"now": now if settled is None else min(now, settled), "limit": limit}
        for (queue,) in set(await self._db.read(self._db.text("due_queues"), by_then)):
            self._listener.task_coming(queue)
        return max(map(len, await self._db.write(make_ready_calls(now, limit, settled), after=after)))

    async def replan(self, now: int, limit: int) -> int:
        if not await self._db.read(self._db.text("misplanned"), {"now": now}):
            return 0
        names = ("replan", "replan_limits", "replan_records")
        replanned = await self._db.write([Call(name, params={"now": now, "limit": limit}) for name in names])
        return max(map(len, replanned[:2]))

    async def expire(self, now: int, limit: int) -> list[str]:
        def after(answer: Answer) -> None:
            for row in answer[1]:
                self._listener.task_changed(row[0])
                self._runs.family(row)

        params = {"now": now, "limit": limit}
        _, rows = await self._db.write([Call(name, params=params) for name in ("expire_errors", "expire")], after=after)
        return [row[3] for row in rows]

    async def next_due(self) -> int | None:
        (times,) = await self._db.read(self._db.text("next_due"), {})
        return min((at for at in times if at is not None), default=None)

    async def resume_waiting(self, kinds: Sequence[str], now: int, limit: int) -> int:
        def after(answer: Answer) -> None:
            for (queue,) in set(answer[0]):
                self._listener.task_ready(queue)

        params = {"kinds": msgspec.json.encode(list(kinds)).decode(), "now": now, "limit": limit}
        return len((await self._db.write([Call("resume_waiting", params=params)], after=after))[0])

    async def orphans(self, limit: int, from_crashes: int) -> list[Orphan]:
        params = {"worker": self.worker, "limit": limit, "from_crashes": from_crashes}
        return [orphan(row) for row in await self._db.read(self._db.text("orphans"), params)]

    async def running(self) -> list[Orphan]:
        return [orphan(row) for row in await self._db.read(self._db.text("running"), {"worker": self.worker})]

    async def crash(
        self, task_id: str, fence: int, run_at: int | None, now: int, died_at: int | None = None, grouped: bool = False
    ) -> EndAnswer:
        died_at = now if died_at is None else died_at
        delay_ms = run_at and max(run_at - now, 0)
        row = {"id": task_id, "fence": fence, "at": now, "run_at": run_at, "delay_ms": delay_ms, "died_at": died_at}
        groups = [Call("forget_crash_groups", row), *([Call("join_crash_group", row)] if grouped else [])]
        return await self._runs.end(
            "crash", row, *groups, on_landed=lambda r: self._announce_ready(r[1], run_at, r[2] >= SUSPECT_CRASHES)
        )

    async def crash_out(self, task_id: str, fence: int, error: TaskError, now: int) -> EndAnswer:
        row = {"id": task_id, "fence": fence, "at": now}
        error_and_cause = put_error(task_id, fence, error, now), Call("solve_crash_groups", row)
        return await self._runs.end("crash_out", row, *error_and_cause, on_landed=self._runs.family)

    async def tidy_crash_groups(self, limit: int) -> int:
        return await self._upkeep("tidy_crash_groups", limit=limit)

    async def prune(self, now: int, before: int | None, limit: int) -> int:
        calls = [
            Call("prune_kept", params={"now": now, "limit": limit}),
            Call("prune_keys", params={"now": now, "limit": limit}),
            Call("prune_fires", params={"before": now - FIRES_KEPT, "limit": limit}),
        ]
        if before is not None:
            calls.append(Call("prune_old", params={"before": before, "limit": limit}))
        return sum(map(len, await self._db.write(calls)))

    async def clear_deleted(self, rows: int, size: int) -> int:
        return await clear_deleted(self._db, rows, size)

    async def prune_counters(self, limit: int) -> int:
        return await self._upkeep("prune_counters", limit=limit)

    async def _upkeep(self, statement: str, **params: int) -> int:
        """Returns how many rows it changed."""
        return len((await self._db.write([Call(statement, params=params)]))[0])

    # --- reading

    async def get(self, task_id: str) -> Task | None:
        return await self._tasks.get(task_id)

    async def find(self, wanted: TaskFilter, budget: SizeBudget | None = None) -> list[Task]:
        rows = await self._db.scan(*listing(wanted, self._db.text), within(budget, *_DOCUMENTS))
        return [Task(*row) for row in rows]

    async def probe(self) -> None:
        await self._db.write([Call("probe", params={})])

    async def counts(self) -> list[Count]:
        return [Count(*row) for row in await self._db.read(self._db.text("counts"), {})]

    async def ready_queues(self, limit: int) -> list[str]:
        return [queue for (queue,) in await self._db.read(self._db.text("ready_queues"), {"limit": limit})]

    async def oldest(self, queues: Sequence[str]) -> dict[str, int]:
        return await oldest(self._db, queues)

    async def events(self, task_id: str, after: int, limit: int, budget: SizeBudget | None = None) -> list[Event]:
        params = {"id": task_id, "after": after, "limit": limit}
        return [Event(*row) for row in await self._db.scan(self._db.text("events"), params, within(budget, 7))]

    async def count_events(self, task_id: str) -> int:
        ((count,),) = await self._db.read(self._db.text("count_events"), {"id": task_id}, large=True)
        return int(count)

    async def feed(
        self,
        after: int,
        until: int,
        limit: int,
        kind: str | None = None,
        status: str | None = None,
        owner: str | None = None,
    ) -> list[FeedEvent]:
        params = {"after": after, "until": until, "limit": limit, "kind": kind, "status": status, "owner": owner}
        rows = await self._db.read(self._db.text("feed"), params)
        return [FeedEvent(Event(*row[:8]), row[8], row[9]) for row in rows]

    async def last_event(self) -> int:
        ((seq,),) = await self._db.read(self._db.text("last_event"), {})
        return int(seq)

    async def errors(self, task_id: str, limit: int, budget: SizeBudget | None = None) -> list[ErrorRecord]:
        rows = await self._db.scan(self._db.text("errors"), {"id": task_id, "limit": limit}, within(budget, 4, 6))
        return [ErrorRecord(*row) for row in rows]

    @property
    def version(self) -> str:
        return self._db.version

    async def health(self) -> Mapping[str, str | int]:
        return self._db.health()
