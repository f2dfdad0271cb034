"""What suspends a task, in the store: sleeping, children, signals; and what it emits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from quart_app.core.flow import MAX_SIGNALS, ChildOutcome, ForChildren, ForSignal, Record, Sleeping, WaitingTask
from quart_app.core.task import TERMINAL, NewTask
from quart_app.store.lanes import SORT
from quart_app.store.protocols.flow import Settled, SignalAnswer
from quart_app.store.protocols.tasks import EndAnswer, Listener
from quart_app.store.run_writes import RunWrites
from quart_app.store.sqlite.database import Database
from quart_app.store.sqlite.transaction import Answer, Call, Row
from quart_app.store.write_calls import INLINE, announce, headway_calls, output_calls, record_calls

PAGE: Final = 500  # children in one read


class SqlFlow:
    def __init__(self, database: Database, listener: Listener) -> None:
        self._db = database
        self._listener = listener
        self._runs = RunWrites(database, listener)

    # --- a run suspends

    async def sleep(self, task_id: str, fence: int, wait: Sleeping, now: int) -> EndAnswer:
        row = {"id": task_id, "fence": fence, "at": now, "run_at": wait.until, "delay_ms": wait.delay_ms}
        return await self._runs.end(
            "suspend_until",
            row,
            *record_calls(task_id, fence, wait.record, now, keyed=False),
            Call("leave_crash_groups", row),
            on_landed=lambda _: self._listener.task_due_at(wait.until),
        )

    async def wait_for_children(self, task_id: str, fence: int, wait: ForChildren, now: int) -> EndAnswer:
        row = {"id": task_id, "fence": fence, "at": now, "ids": wait.ids}
        counted = [Call(name, row) for name in ("await_none", "await_children", "count_awaited", "leave_crash_groups")]

        def on_landed(found: Row) -> None:
            if found[2]:
                self._listener.task_ready(found[1])

        return await self._runs.end("suspend_for_children", row, *counted, on_landed=on_landed)

    async def wait_for_signal(self, task_id: str, fence: int, wait: ForSignal, now: int) -> EndAnswer:
        row = {"id": task_id, "fence": fence, "at": now, "signal": wait.name, "step": None}
        until = {"run_at": wait.until, "delay_ms": wait.delay_ms}
        names = ("cancel_instead", "suspend_for_signal", "wake_signalled")
        calls = [Call(name, {**row, **until}, key=task_id) for name in names]
        calls += record_calls(task_id, fence, wait.record, now, keyed=False)
        calls += [Call(name, row) for name in ("take_signal", "record_signal", "drop_signal")]
        calls.append(Call("leave_crash_groups", row))

        def after(answer: Answer) -> None:
            if answer[0] or answer[1]:
                self._listener.task_changed(task_id)
                self._listener.place_freed()
            for ended in answer[0]:
                self._runs.family(ended)
            for woken in answer[2]:
                self._listener.task_ready(woken[1])
            if answer[1] and not answer[2] and wait.until is not None:
                self._listener.task_due_at(wait.until)

        cancelled, suspended, *_ = await self._db.write(calls, after=after)
        return "cancelled" if cancelled else "landed" if suspended else None

    # --- children

    async def spawn(
        self,
        task_id: str,
        fence: int,
        record: Record,
        children: Sequence[NewTask],
        detached: bool,
        now: int,
        clear_crashes: bool,
    ) -> bool:
        calls = record_calls(task_id, fence, record, now)
        for child in children:
            made = msgspec.structs.asdict(child)
            made.update(parent=task_id, fence=fence, step=record.name)
            calls.append(Call("enqueue_child", made))
            calls.append(Call("link_child", {"id": child.id, "detached": int(detached)}))
            if len(child.args) > INLINE:
                calls.append(Call("put_args", {"id": child.id, "args": child.args}))
            if child.tags:
                calls.append(Call("put_tags", {"id": child.id, "tags": child.tags}))
            for upload in child.uploads:
                calls.append(Call("use_upload", params={"task": child.id, "upload": upload, "owner": child.owner}))
        if clear_crashes:
            calls += headway_calls(task_id, fence)
        calls.append(SORT)
        for queue in {child.queue for child in children if child.ready}:
            self._listener.task_coming(queue)

        def on_landed(_: Row) -> None:
            for child in children:
                announce(child, self._listener)

        return await self._runs.landed(task_id, calls, on_landed)

    async def outcomes(self, task_id: str, ids: Sequence[str]) -> list[ChildOutcome]:
        found: list[ChildOutcome] = []
        for start in range(0, len(ids), PAGE):
            page = msgspec.json.encode(ids[start : start + PAGE]).decode()
            rows = await self._db.read(self._db.text("outcomes"), {"ids": page}, large=True)
            found += [_outcome(task_id, row[1:]) for row in sorted(rows)]
        return found

    async def count_children(self, task_id: str) -> int:
        rows = list(await self._db.read(self._db.text("count_children"), {"id": task_id}))
        return int(rows[0][0]) if rows else 0

    # --- signals

    async def has_signal(self, task_id: str, name: str) -> bool:
        return bool(await self._db.read(self._db.text("has_signal"), {"id": task_id, "signal": name}))

    async def take_signal(
        self, task_id: str, fence: int, record: Record, name: str, now: int, over: bool, clear_crashes: bool
    ) -> Settled | None:
        row = {"id": task_id, "fence": fence, "at": now, "signal": name, "step": record.name, "over": int(over)}
        calls = [Call("recorded", row, key=task_id), *record_calls(task_id, fence, record, now, keyed=False)]
        calls += [Call(verb, row) for verb in ("take_signal", "record_signal", "drop_signal", "time_out")]
        if clear_crashes:
            calls += headway_calls(task_id, fence)
        found = (await self._db.write(calls))[0]
        return Settled(found[0][1], found[0][2]) if found else None

    async def put_signal(
        self, task_id: str, name: str, data: str, dedupe: str | None, now: int, queue: str | None = None
    ) -> SignalAnswer:
        row = {"id": task_id, "signal": name, "data": data, "dedupe": dedupe, "at": now, "most": MAX_SIGNALS}
        names = ("put_signal", "wake_signalled", "signal_state")
        calls = [Call(verb, row, key=task_id) for verb in names]
        short = {"id": task_id, "signal": name, "step": None, "at": now}
        calls += [Call(verb, short) for verb in ("take_signal", "record_signal", "drop_signal")]

        def after(answer: Answer) -> None:
            for woken in answer[1]:
                self._listener.task_changed(task_id)
                self._listener.task_ready(woken[1])

        if queue is not None:
            self._listener.task_coming(queue)
        put, _, state, *_ = await self._db.write(calls, after=after)
        if put:
            return "sent"
        if not state:
            return "unknown"
        _, ended, before, kept = state[0]
        if before is not None:
            return "replayed" if (before, kept) == (name, data) else "conflict"
        return "ended" if ended else "full"

    async def waiting(self, owner: str | None, since: int, seq: int, limit: int) -> list[WaitingTask]:
        params = {"owner": owner, "since": since, "seq": seq, "limit": limit}
        return [WaitingTask(*row) for row in await self._db.scan(self._db.text("waiting"), params)]

    # --- output

    async def emit(self, task_id: str, fence: int, outputs: Sequence[str], now: int) -> bool:
        return await self._runs.landed(task_id, output_calls(task_id, fence, outputs, now))

    async def suspended(self) -> dict[str, int]:
        ((time, children, signal),) = await self._db.scan(self._db.text("suspended"), {})
        return {"time": time, "children": children, "signal": signal}

    # --- upkeep

    async def settle_parents(self, now: int, limit: int) -> tuple[int, list[str], list[str]]:
        rows = list(await self._db.read(self._db.text("ended_parents"), {"limit": 1}))
        if not rows:
            return 0, [], []
        params = {"parent": rows[0][0], "now": now, "limit": limit}
        names = ("cancel_pending_children", "cancel_running_children", "release_children", "settle_parent")

        def after(answer: Answer) -> None:
            for row in answer[0]:
                self._listener.task_changed(row[0])
                self._runs.family(row)
            for (task_id,) in answer[1]:
                self._listener.task_changed(task_id)

        cancelled, asked, *others = await self._db.write([Call(name, params=params) for name in names], after=after)
        return (
            sum(map(len, (cancelled, asked, *others))),
            [row[3] for row in cancelled],
            [task_id for (task_id,) in asked],
        )


def _outcome(parent: str, row: Row) -> ChildOutcome:
    task_id, status, kind, result, error_type, message, found = row
    if status is None:
        return ChildOutcome(task_id, "deleted")
    if found != parent:
        return ChildOutcome(task_id, "stranger")
    return ChildOutcome(task_id, status, kind, result if status in TERMINAL else None, error_type, message)
