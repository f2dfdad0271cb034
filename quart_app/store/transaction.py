"""One turn of the writer as one trip to the connection's thread.

aiosqlite runs each call in a thread. Under load every trip waits its turn on a busy event loop (measured: 1.5 ms, of
which SQLite takes 0.3), so a transaction of six statements made as six trips takes 9 ms and as one trip 3 ms. A
connection class of our own is how: its `execute` takes a whole transaction where others take a statement.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from quart_app import forks
from quart_app.store.statements import Statement

Row = tuple[Any, ...]
Params = Mapping[str, object]
Answer = list[list[Row]]  # the rows each call of a write returned, in the order of the calls

TRANSACTION: Final = "-- a Transaction"
_encode: Final = msgspec.json.Encoder().encode


class Call(msgspec.Struct, frozen=True):
    """One statement of a write. Set-oriented ones carry one `row` (whatever encodes to a JSON object) and, when what
    they return or their exclusiveness matters, the task's id as `key`; the others carry `params` alone."""

    statement: str
    row: Params | msgspec.Struct | None = None
    key: str | None = None
    params: Params | None = None


class Write:
    """What one caller wants done, all or nothing. `check` may raise before COMMIT (it runs in the connection's
    thread); `after` is called on the loop after it."""

    __slots__ = ("after", "calls", "check", "future")

    def __init__(
        self,
        calls: Sequence[Call],
        check: Callable[[Answer], None] | None,
        after: Callable[[Answer], None] | None,
        future: asyncio.Future[Answer],
    ) -> None:
        self.calls = calls
        self.check = check
        self.after = after
        self.future = future


class Transaction:
    """Writes that share one BEGIN IMMEDIATE … COMMIT."""

    def __init__(self, writes: Sequence[Write], statements: Mapping[str, Statement]) -> None:
        """The rows of a set statement go together; the statements run in the order of the file."""
        self.answers: list[Answer] = []
        self._writes = writes
        sets: dict[str, list[tuple[Call, list[Row]]]] = {}
        self._steps: list[tuple[Statement, list[tuple[Call, list[Row]]]]] = []
        for write in writes:
            answer: Answer = []
            for call in write.calls:
                rows: list[Row] = []
                answer.append(rows)
                if call.row is not None and call.statement in sets:
                    sets[call.statement].append((call, rows))
                    continue
                members = [(call, rows)]
                self._steps.append((statements[call.statement], members))
                if call.row is not None:
                    sets[call.statement] = members
            self.answers.append(answer)
        self._steps.sort(key=lambda step: step[0].order)
        self._lone = len(self._steps) == 1 and all(write.check is None for write in writes)

    def run(self, execute: Callable[[str, Params], sqlite3.Cursor], in_transaction: Callable[[], bool]) -> None:
        """Fill the answers. Raises what SQLite or a check raises; then nothing was written."""
        if self._lone:  # a lone statement commits itself
            self._run_step(execute, *self._steps[0])
            return
        execute("BEGIN IMMEDIATE", {})
        try:
            for statement, members in self._steps:
                self._run_step(execute, statement, members)
            for write, answer in zip(self._writes, self.answers, strict=True):
                if write.check is not None:
                    write.check(answer)
            execute("COMMIT", {})
        except BaseException:
            if in_transaction():
                execute("ROLLBACK", {})
            raise

    def _run_step(
        self,
        execute: Callable[[str, Params], sqlite3.Cursor],
        statement: Statement,
        members: list[tuple[Call, list[Row]]],
    ) -> None:
        # fetchall: a statement with RETURNING has not done its work until its last row is fetched.
        returned = execute(statement.text, _params([call for call, _ in members])).fetchall()
        if len(members) == 1:
            members[0][1].extend(returned)
            return
        by_key = {call.key: rows for call, rows in members if call.key is not None}
        for row in returned:
            if (target := by_key.get(row[0])) is not None:
                target.append(row)


class WriterConnection(sqlite3.Connection):
    """Runs a Transaction passed as the parameters of the statement TRANSACTION; else an ordinary connection."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        forks.never_close(self)

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        if sql is not TRANSACTION:
            return super().execute(sql, parameters)
        parameters.run(super().execute, lambda: self.in_transaction)
        return self.cursor()  # which has no rows; the answers are in the Transaction


def _params(calls: Sequence[Call]) -> Params:
    first = calls[0]
    if first.row is None:
        return first.params or {}
    rows = b",".join([_encode(call.row) for call in calls]).decode()
    return {"rows": f"[{rows}]", **(first.params or {})}
