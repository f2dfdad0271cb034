"""The store of the schedules; SQL is in `<dialect>/schedules.sql`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from quart_app.core.schedule import Schedule
from quart_app.core.task import NewTask
from quart_app.store.protocols.tasks import FireAnswer, Listener
from quart_app.store.sqlite.database import Database
from quart_app.store.sqlite.transaction import Answer, Call, Row
from quart_app.store.unique_tasks import outcome
from quart_app.store.write_calls import announce, enqueue_calls


class _NotLanded(Exception):
    """Rolls a fire back; `answer` is returned to its caller."""

    def __init__(self, answer: FireAnswer) -> None:
        self.answer = answer


class SqlSchedules:
    def __init__(self, database: Database, listener: Listener) -> None:
        self._db = database
        self._listener = listener

    # --- definitions

    async def add_schedule(self, schedule: Schedule, quota: int) -> bool:
        params = {**msgspec.structs.asdict(schedule), "key": schedule.key, "quota": quota}
        return await self._landed("add_schedule", params, schedule.next_at)

    async def change_schedule(self, schedule: Schedule, planned: bool) -> bool:
        params = {**msgspec.structs.asdict(schedule), "key": schedule.key, "planned": planned}
        return await self._landed("change_schedule", params, schedule.next_at if planned else None)

    async def delete_schedule(self, key: str) -> bool:
        return await self._landed("delete_schedule", {"key": key}, None)

    async def _landed(self, statement: str, params: dict[str, Any], due_at: int | None) -> bool:
        def after(answer: Answer) -> None:
            if answer[0] and due_at is not None:
                self._listener.schedule_due_at(due_at)

        (rows,) = await self._db.write([Call(statement, params=params)], after=after)
        return bool(rows)

    async def declare_schedules(self, declared: Sequence[Schedule]) -> list[str]:
        names = [schedule.name for schedule in declared]
        calls = [Call("declare_schedules", schedule, key=schedule.name) for schedule in declared]
        forget = Call("forget_schedules", params={"names": msgspec.json.encode(names).decode()})
        *rows, _ = await self._db.write([*calls, forget])
        return [name for name, landed in zip(names, rows, strict=True) if not landed]

    # --- fires

    async def due_schedules(self, now: int, limit: int) -> list[tuple[Schedule, bool]]:
        rows = await self._db.read(self._db.text("due_schedules"), {"now": now, "limit": limit})
        return [(_schedule(row[:-1]), bool(row[-1])) for row in rows]

    async def next_fire(self) -> int | None:
        ((at,),) = await self._db.read(self._db.text("next_fire"), {})
        return at  # type: ignore[no-any-return]

    async def made_fires(self, key: str, times: Sequence[int]) -> set[int]:
        params = {"key": key, "times": msgspec.json.encode(times).decode()}
        return {at for (at,) in await self._db.read(self._db.text("made_fires"), params)}

    async def fire(
        self, schedule: Schedule, fires: Sequence[tuple[int, NewTask]], next_at: int | None, error: str | None = None
    ) -> FireAnswer:
        move = {
            "key": schedule.key,
            "revision": schedule.revision,
            "seen": schedule.next_at,
            "next_at": next_at,
            "fire_at": fires[-1][0] if fires else None,
            "task_id": fires[-1][1].id if fires else None,
            "owner": fires[-1][1].owner if fires else None,
            "kind": fires[-1][1].kind if fires else None,
            "unique_key": fires[-1][1].unique_key if fires else None,
            "error": error,
        }
        calls = [Call("move_schedule", move, key=schedule.key)]
        for at, task in fires:
            calls.append(Call("put_fires", {"schedule": schedule.key, "fire_at": at, "task_id": task.id}, key=task.id))
        landing = len(calls)
        # A fire whose unique key is held makes no task, whatever its kind does with other duplicates: it has no caller.
        places = []
        for _, task in fires:
            calls += enqueue_calls(task)
            places.append(len(calls) - 1)  # of the call of a task with a unique key

        def check(answer: Answer) -> None:
            if not answer[0]:
                raise _NotLanded("changed")
            if not all(answer[1:landing]):
                raise _NotLanded("known")

        def after(answer: Answer) -> None:
            for (_, task), place in zip(fires, places, strict=True):
                made = outcome(answer[place]) if task.unique_key is not None else None
                if made is not None:
                    made.announce(task, self._listener)
                else:
                    announce(task, self._listener)

        try:
            await self._db.write(calls, check=check, after=after)
        except _NotLanded as lost:
            return lost.answer
        return "fired"

    async def note_task(self, key: str, task_id: str) -> None:
        await self._db.write([Call("note_task", params={"key": key, "task_id": task_id})])

    # --- reading

    async def get_schedule(self, key: str) -> Schedule | None:
        for row in await self._db.read(self._db.text("get_schedule"), {"key": key}):
            return _schedule(row)
        return None

    async def schedules_named(self, name: str) -> list[Schedule]:
        return [_schedule(row) for row in await self._db.read(self._db.text("schedules_named"), {"name": name})]

    async def find_schedules(self, owner: str | None, after: str, limit: int) -> list[Schedule]:
        params = {"owner": owner, "after": after, "limit": limit}
        return [_schedule(row) for row in await self._db.scan(self._db.text("list_schedules"), params)]


def _schedule(row: Row) -> Schedule:
    values = dict(zip(Schedule.__struct_fields__, row, strict=True))
    return Schedule(**{**values, "paused": bool(values["paused"])})
