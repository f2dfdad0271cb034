"""Writes that name the claim of a run: what lands, and whom that wakes up."""

from __future__ import annotations

from collections.abc import Callable

from quart_app.store.protocols.tasks import EndAnswer, Listener
from quart_app.store.sqlite.database import Database
from quart_app.store.sqlite.transaction import Answer, Call, Params, Row

OnLanded = Callable[[Row], None]


def ignore(row: Row) -> None:
    pass


class RunWrites:
    def __init__(self, database: Database, listener: Listener) -> None:
        self._db = database
        self._listener = listener

    async def end(self, verb: str, row: Params, *calls: Call, on_landed: OnLanded = ignore) -> EndAnswer:
        """End a run other than as completed: a cancel on record wins. `on_landed` takes what `verb` returned."""
        task_id = str(row["id"])

        def after(answer: Answer) -> None:
            if answer[0] or answer[1]:
                self._listener.task_changed(task_id)
            for one in answer[0]:
                self.family(one)
            for one in answer[1]:
                on_landed(one)
            self._listener.place_freed()

        ends = [Call("cancel_instead", row, key=task_id), Call(verb, row, key=task_id)]
        cancelled, ended, *_ = await self._db.write([*ends, *calls], after=after)
        return "cancelled" if cancelled else "landed" if ended else None

    async def landed(
        self,
        task_id: str,
        calls: list[Call],
        on_landed: OnLanded = ignore,
        check: Callable[[Answer], None] | None = None,
    ) -> bool:
        """Run guarded calls; the first one tells whether they landed. `on_landed` takes what it returned."""

        def after(answer: Answer) -> None:
            for row in answer[0]:
                self._listener.task_changed(task_id)
                on_landed(row)

        return bool((await self._db.write(calls, check=check, after=after))[0])

    def family(self, row: Row) -> None:
        """A task has ended. `row`: its id; the queue of the task that this may make ready, its parent or the one behind
        it (NULL: there is none); 1 when it has children, plus 2 when it had a unique key. The parent may wait for
        others still; looking for it then costs a claim that finds nothing."""
        self._listener.place_freed()
        if row[1] is not None:
            self._listener.task_ready(row[1])
            if row[2] & 2:
                self._listener.task_due_at(0)  # the one behind may be due later: look when
        if row[2] & 1:
            self._listener.parent_ended()
