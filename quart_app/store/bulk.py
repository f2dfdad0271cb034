"""Bulk tasks, in the store: the tasks that one means, and acting on many in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Final, Literal

from quart_app.core.bulk import Action, BulkSet, BulkTask
from quart_app.core.flow import Record
from quart_app.store.listing import COMMON
from quart_app.store.protocols.bulk import Landed
from quart_app.store.protocols.tasks import Listener
from quart_app.store.run_writes import RunWrites
from quart_app.store.sqlite.database import Database
from quart_app.store.sqlite.transaction import Answer, Call
from quart_app.store.write_calls import headway_calls, record_calls

# The statements of an action; each task is changed by one of them at most.
_VERBS: Final[dict[Action, tuple[str, ...]]] = {
    "cancel": ("cancel_pending", "request_cancel"),
    "retry": ("rerun",),
    "delete": ("delete",),
}


class _Missed(Exception):
    """The action did not apply to all of the tasks."""

    def __init__(self, landed: frozenset[str]) -> None:
        super().__init__("it does not apply to some of them any more")
        self.landed = landed


class _Lost(Exception):
    """The run has lost its claim."""


class SqlBulk:
    def __init__(self, database: Database, listener: Listener) -> None:
        self._db = database
        self._listener = listener
        self._runs = RunWrites(database, listener)

    async def ends(self) -> tuple[int, int]:
        ((low, high),) = await self._db.read(self._db.text("bulk_ends"), {})
        return low, high

    async def made(self, task_id: str) -> tuple[int, int]:
        ((seq, event),) = await self._db.read(self._db.text("bulk_made"), {"id": task_id})
        return seq, event

    async def count(self, wanted: BulkSet, after: int, upto: int) -> int:
        text, params = self._built("bulk_count", wanted, after, upto)
        ((count,),) = await self._db.scan(text, params)
        return int(count)

    async def find(self, wanted: BulkSet, after: int, upto: int, limit: int) -> list[BulkTask]:
        text, params = self._built("bulk_find", wanted, after, upto)
        return [BulkTask(*row) for row in await self._db.scan(text, {**params, "limit": limit})]

    def _built(self, statement: str, wanted: BulkSet, after: int, upto: int) -> tuple[str, dict[str, object]]:
        """The statement and its parameters. An error or a tag leads to the tasks, else their numbers do."""
        part, given = self._db.text, wanted.filter.given
        params: dict[str, object] = {**given, "after": after, "upto": min(upto, wanted.until), "event": wanted.event}
        names = [f"when_bulk_{wanted.action}"]
        if "status" in given:
            names.append("when_bulk_cancel_status" if wanted.action == "cancel" else "when_status")
        names += [f"when_{COMMON.get((name, str(given[name])), name)}" for name in ("kind", "queue") if name in given]
        names += [f"when_bulk_{name}" for name in ("created_after", "created_before") if name in given]
        if wanted.owner is not None:
            params["owner"] = wanted.owner
            names.append("when_owner" if wanted.owner else "when_no_owner")
        if "tag" in given:
            source, within = "source_tagged", "when_bulk_range_tagged"
            names += ["when_error"] if "error" in given else []
        elif "error" in given:
            source, within = "source_failed", "when_bulk_range_failed"
        else:
            source, within = "source_tasks", "when_bulk_range"
        conditions = " AND ".join(part(name) for name in (within, *names))
        return part(statement).replace("{source}", part(source)).replace("{conditions}", conditions), params

    async def act(
        self,
        task_id: str,
        fence: int,
        action: Action,
        ids: Sequence[str],
        record: Record,
        now: int,
        clear_crashes: bool,
        on_landed: Callable[[Landed], None],
    ) -> Literal["landed", "lost"] | frozenset[str]:
        verbs = _VERBS[action]
        recording = record_calls(task_id, fence, record, now) + (headway_calls(task_id, fence) if clear_crashes else [])
        acts = [Call(verb, {"id": one, "at": now}, key=one) for verb in verbs for one in ids]

        def check(answer: Answer) -> None:
            if not answer[0]:
                raise _Lost
            landed = frozenset(row[0] for row in chain.from_iterable(answer[-len(acts) :] if acts else []))
            if len(landed) < len(ids):
                raise _Missed(landed)

        def after(answer: Answer) -> None:
            self._listener.task_changed(task_id)
            rows = answer[-len(acts) :] if acts else []
            first = list(chain.from_iterable(rows[: len(ids)]))
            asked = list(chain.from_iterable(rows[len(ids) :]))
            for row in chain(first, asked):
                self._listener.task_changed(row[0])
            if action == "cancel":
                for row in first:
                    self._runs.family(row)
                on_landed(Landed(tuple(row[0] for row in first), tuple(row[0] for row in asked)))
            elif action == "retry":
                for queue in {row[1] for row in first}:
                    self._listener.task_ready(queue)

        try:
            await self._db.write([*recording, *acts], check=check, after=after)
        except _Lost:
            return "lost"
        except _Missed as missed:
            return missed.landed
        return "landed"
