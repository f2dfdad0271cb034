"""The one implementation of the store: each verb names the statements it runs; SQL is in `<dialect>.sql`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from quart_app.core.budget import Budget, size_of
from quart_app.core.errors import IdempotencyConflict, KeyedTaskGone, UploadNotFound
from quart_app.core.schedule import FIRES_KEPT
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
from quart_app.store.base import CancelAnswer, Listener
from quart_app.store.bounded import within
from quart_app.store.calls import INLINE, announce, enqueue_calls, put_error, put_event
from quart_app.store.deleted import clear_deleted
from quart_app.store.gets import Gets
from quart_app.store.listing import listing
from quart_app.store.sqlite import Database
from quart_app.store.transaction import Answer, Call

_DOCUMENTS: Final = [Task.__struct_fields__.index(name) for name in ("args", "result")]


class SqlStore:
    def __init__(self, database: Database, worker: str, listener: Listener) -> None:
        self._db = database
        self._listener = listener
        self._gets = Gets(database)
        self.worker = worker

    # --- creating

    async def enqueue(self, tasks: Sequence[NewTask]) -> list[Enqueued]:
        keyed = [task for task in tasks if task.idempotency_key is not None]
        calls = [call for task in tasks for call in enqueue_calls(task)]
        uses = [(n, call.params or {}) for n, call in enumerate(calls) if call.statement == "use_upload"]
        finds = [Call("find_keys", task, key=task.id) for task in keyed]
        before = len(calls)

        def existing(answer: Answer) -> dict[str, tuple[str, str, str | None]]:
            return {row[0]: (row[1], row[2], row[3]) for rows in answer[before:] for row in rows}

        def check(answer: Answer) -> None:
            found = existing(answer)
            for task in keyed:
                _, fingerprint, status = found[task.id]
                if fingerprint != task.fingerprint:
                    raise IdempotencyConflict("this Idempotency-Key was used with another kind, args or options")
                if status is None:
                    raise KeyedTaskGone("the task of this Idempotency-Key was deleted")
            for n, use in uses:
                task_id = str(use["task"])
                if not answer[n] and (task_id not in found or found[task_id][0] == task_id):  # else it made no task
                    raise UploadNotFound(str(use["upload"]))

        def after(answer: Answer) -> None:
            found = existing(answer) if keyed else {}
            for task in tasks:
                if task.id not in found or found[task.id][0] == task.id:
                    announce(task, self._listener)

        for queue in {task.queue for task in tasks if task.ready}:
            self._listener.task_coming(queue)
        answer = await self._db.write([*calls, *finds], check=check if keyed or uses else None, after=after)
        found = existing(answer) if keyed else {}
        return [_enqueued(task, found.get(task.id)) for task in tasks]

    async def known_keys(self, tasks: Sequence[NewTask]) -> bool:
        rows = await self._db.read(self._db.text("find_keys"), {"rows": msgspec.json.encode(tasks).decode()})
        return sum(bool(row[4]) for row in rows) == len(tasks)

    # --- a run

    async def claim(self, queue: str, limit: int, now: int) -> list[Claimed]:
        params = {"queue": queue, "limit": limit, "now": now, "worker": self.worker}
        return await self._claim(Call("claim", params=params))

    async def claim_suspect(self, now: int) -> list[Claimed]:
        return await self._claim(Call("claim_suspect", params={"now": now, "worker": self.worker}))

    async def _claim(self, call: Call) -> list[Claimed]:
        def after(answer: Answer) -> None:
            for row in answer[0]:
                self._listener.task_changed(row[0])

        (rows,) = await self._db.write([call], after=after)
        # SQLite has no booleans.
        return [Claimed(*row[:-2], bool(row[-2]), bool(row[-1])) for row in rows]  # type: ignore[call-arg]

    async def steps(self, task_id: str, budget: Budget | None = None) -> list[StepRecord]:
        text, params = self._db.text("steps"), {"id": task_id}
        takes = within(budget, 1)
        rows = await (self._db.read(text, params, large=True) if takes is None else self._db.scan(text, params, takes))
        return [StepRecord(*row) for row in rows]

    async def step_names(self, task_id: str, after: str, limit: int, most: int) -> list[StepName]:
        params = {"id": task_id, "after": after, "limit": limit, "most": most}
        return [StepName(*row) for row in await self._db.read(self._db.text("step_names"), params, large=True)]

    async def step_output(self, task_id: str, name: str) -> str | None:
        rows = await self._db.read(self._db.text("step_output"), {"id": task_id, "name": name}, large=True)
        return next((str(output) for (output,) in rows), None)

    async def record_step(
        self, task_id: str, fence: int, name: str, output: str, ordinal: int, now: int, clear_crashes: bool
    ) -> bool:
        row = {"id": task_id, "fence": fence, "name": name, "at": now, "ordinal": ordinal}
        data = msgspec.json.encode({"name": name}).decode()
        recorded = {**row, "size": size_of(output), "output": output}
        calls = [Call("record_step", recorded, key=task_id), Call("step_event", {**row, "data": data})]
        if clear_crashes:
            calls.append(Call("clear_crashes", {"id": task_id, "fence": fence}))
        return await self._landed(task_id, calls)

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
        return await self._landed(task_id, calls)

    async def log(self, task_id: str, fence: int, data: str, now: int) -> bool:
        row = {"id": task_id, "fence": fence, "at": now, "name": "log", "data": data}
        return await self._landed(task_id, [Call("put_event", row, key=f"{task_id}/{fence}", share=task_id)])

    async def complete(self, task_id: str, fence: int, result: str, now: int) -> bool:
        if len(result) <= INLINE:
            row = {"id": task_id, "fence": fence, "at": now, "result": result}
            return await self._landed(task_id, [Call("complete", row, key=task_id)])
        row = {"id": task_id, "fence": fence, "at": now}
        calls = [Call("complete", row, key=task_id), Call("put_result", {**row, "result": result})]
        return await self._landed(task_id, calls)

    async def retry(self, task_id: str, fence: int, error: TaskError, run_at: int, now: int) -> bool:
        row = {"id": task_id, "fence": fence, "at": now, "run_at": run_at}
        calls = [Call("retry", row, key=task_id), put_error(task_id, fence, error, now)]
        return await self._landed(task_id, calls, due_at=run_at)

    async def fail(self, task_id: str, fence: int, error: TaskError, now: int) -> bool:
        row = {"id": task_id, "fence": fence, "at": now}
        return await self._landed(task_id, [Call("fail", row, key=task_id), put_error(task_id, fence, error, now)])

    async def suspend(self, task_id: str, fence: int, waiting_for: str, now: int) -> bool:
        row = {"id": task_id, "fence": fence, "at": now, "waiting_for": waiting_for}
        return await self._landed(task_id, [Call("suspend", row, key=task_id)])

    async def release(self, task_id: str, fence: int, queue: str, now: int) -> bool:
        row = {"id": task_id, "fence": fence, "at": now}
        return await self._landed(task_id, [Call("release", row, key=task_id)], queue=queue)

    async def end_cancelled(self, task_id: str, fence: int, now: int) -> bool:
        row = {"id": task_id, "fence": fence, "at": now}
        return await self._landed(task_id, [Call("end_cancelled", row, key=task_id)])

    async def _landed(
        self, task_id: str, calls: list[Call], queue: str | None = None, due_at: int | None = None
    ) -> bool:
        """Run guarded calls; the first one tells whether they landed."""

        def after(answer: Answer) -> None:
            if answer[0]:
                self._listener.task_changed(task_id)
                if queue is not None:
                    self._listener.task_ready(queue)
                if due_at is not None:
                    self._listener.task_due_at(due_at)

        answer = await self._db.write(calls, after=after)
        return bool(answer[0])

    # --- a person's hand

    async def cancel(self, task_id: str, now: int) -> CancelAnswer:
        row = {"id": task_id, "at": now}
        calls = [Call(name, row, key=task_id) for name in ("cancel_pending", "request_cancel", "state")]

        def after(answer: Answer) -> None:
            if answer[0] or answer[1]:
                self._listener.task_changed(task_id)

        ended, _, state = await self._db.write(calls, after=after)
        if ended:
            return "cancelled"
        if not state:
            return "unknown"
        return "requested" if state[0][1] == "processing" else "ended"

    async def rerun(self, task_id: str, restart: bool, now: int) -> bool:
        row = {"id": task_id, "at": now}
        calls = [Call("rerun", row, key=task_id)]
        if restart:
            calls += [Call("forget_steps", row), Call("forget_progress", row)]

        def after(answer: Answer) -> None:
            for _, queue in answer[0]:
                self._listener.task_changed(task_id)
                self._listener.task_ready(queue)

        answer = await self._db.write(calls, after=after)
        return bool(answer[0])

    async def delete(self, task_id: str) -> bool:
        return await self._landed(task_id, [Call("delete", {"id": task_id}, key=task_id)])

    # --- upkeep

    async def stage(self, now: int, limit: int) -> int:
        def after(answer: Answer) -> None:
            for queue, crashes in set(answer[0]):
                self._listener.task_ready(queue, suspect=crashes >= 2)

        (rows,) = await self._db.write([Call("stage", params={"now": now, "limit": limit})], after=after)
        return len(rows)

    async def expire(self, now: int, limit: int) -> list[str]:
        def after(answer: Answer) -> None:
            for task_id, _ in answer[1]:
                self._listener.task_changed(task_id)

        params = {"now": now, "limit": limit}
        _, rows = await self._db.write([Call(name, params=params) for name in ("expire_errors", "expire")], after=after)
        return [kind for _, kind in rows]

    async def next_due(self) -> int | None:
        ((run_at, expires_at),) = await self._db.read(self._db.text("next_due"), {})
        return min((at for at in (run_at, expires_at) if at is not None), default=None)

    async def unpark(self, kinds: Sequence[str], now: int, limit: int) -> int:
        def after(answer: Answer) -> None:
            for (queue,) in set(answer[0]):
                self._listener.task_ready(queue)

        params = {"kinds": msgspec.json.encode(list(kinds)).decode(), "now": now, "limit": limit}
        (rows,) = await self._db.write([Call("unpark", params=params)], after=after)
        return len(rows)

    async def orphans(self, limit: int) -> list[Orphan]:
        rows = await self._db.read(self._db.text("orphans"), {"worker": self.worker, "limit": limit})
        return [Orphan(row[0], row[1], row[2], bool(row[3]), row[4]) for row in rows]

    async def crash(self, task_id: str, fence: int, run_at: int | None, now: int) -> bool:
        row = {"id": task_id, "fence": fence, "at": now, "run_at": run_at}
        return await self._landed(task_id, [Call("crash", row, key=task_id)], due_at=now if run_at is None else run_at)

    async def crash_out(self, task_id: str, fence: int, error: TaskError, now: int) -> bool:
        row = {"id": task_id, "fence": fence, "at": now}
        return await self._landed(task_id, [Call("crash_out", row, key=task_id), put_error(task_id, fence, error, now)])

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
        return len((await self._db.write([Call("prune_counters", params={"limit": limit})]))[0])

    # --- reading

    async def get(self, task_id: str) -> Task | None:
        return await self._gets.get(task_id)

    async def find(self, wanted: TaskFilter, budget: Budget | None = None) -> list[Task]:
        rows = await self._db.scan(*listing(wanted, self._db.text), within(budget, *_DOCUMENTS))
        return [Task(*row) for row in rows]

    async def probe(self) -> None:
        await self._db.write([Call("probe", params={})])

    async def counts(self) -> list[Count]:
        return [Count(*row) for row in await self._db.read(self._db.text("counts"), {})]

    async def oldest(self, queues: Sequence[str]) -> dict[str, int]:
        rows = await self._db.scan(self._db.text("oldest"), {"queues": msgspec.json.encode(queues).decode()})
        return dict(sorted(rows, key=lambda row: -row[1]))  # one row a priority: the oldest comes last and stays

    async def events(self, task_id: str, after: int, limit: int, budget: Budget | None = None) -> list[Event]:
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

    async def errors(self, task_id: str, limit: int, budget: Budget | None = None) -> list[ErrorRecord]:
        rows = await self._db.scan(self._db.text("errors"), {"id": task_id, "limit": limit}, within(budget, 4, 6))
        return [ErrorRecord(*row) for row in rows]

    @property
    def version(self) -> str:
        return self._db.version

    async def health(self) -> Mapping[str, str | int]:
        return self._db.health()


def _enqueued(task: NewTask, found: tuple[str, str, str | None] | None) -> Enqueued:
    if found is None or found[0] == task.id:
        return Enqueued(task.id, "pending")
    return Enqueued(found[0], found[2], replayed=True)  # type: ignore[arg-type]
