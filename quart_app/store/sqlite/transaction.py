"""Runs one turn of the writer as one call to the connection's thread.

aiosqlite runs each call in a thread. Under load every call waits for the busy event loop (measured: 1.5 ms, of which
SQLite takes 0.3), so a transaction of six statements takes 9 ms as six calls and 3 ms as one. The connection class here
makes that possible: its `execute` also takes a whole transaction in place of a statement.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from quart_app.core import error_groups
from quart_app.process import forks
from quart_app.store.statements import Statement

Row = tuple[Any, ...]
Params = Mapping[str, object]
Execute = Callable[[str, Params], sqlite3.Cursor]
Run = Callable[[str, Params], list[Row]]  # runs a named statement
Answer = list[list[Row]]  # the rows each call of a write returned, in the order of the calls

TRANSACTION: Final = "-- a Transaction"
_encode: Final = msgspec.json.Encoder().encode


class Call(msgspec.Struct, frozen=True):
    """One statement of a write. A set-oriented one has one `row` (anything that encodes to a JSON object) and, when its
    result or its exclusiveness matters, a `key`: the first column of the rows it returns, which is the task's id. Other
    statements have `params` only.

    Two calls with one key never go into one transaction. Calls with a `share` may: of those with one key all land or
    none, in their order. They and calls whose key is the name they share never go into one transaction either.

    A `procedure` is called in place of the statement, in the connection's thread, with all calls of that name. It runs
    named statements; the rows that it returns are handed out as those of a statement."""

    statement: str
    row: Params | msgspec.Struct | None = None
    key: str | None = None
    params: Params | None = None
    share: str | None = None
    procedure: Callable[[Run, Sequence[Call]], list[Row]] | None = None


class Write:
    """The calls of one caller, all or nothing. `check` may raise before COMMIT (it runs in the connection's thread);
    `after` is called on the loop after COMMIT."""

    __slots__ = ("after", "behind", "calls", "check", "future", "keys", "number")

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
        # The keys it waits for, and whether it shares each.
        self.keys = {call.share: True for call in calls if call.share is not None}
        for call in calls:
            if call.key is not None and call.share is None:
                self.keys[call.key] = False
        self.number = self.behind = 0  # its place in Waiting


class _Plan:
    """The statements of several writes. The rows of one set statement are joined; the statements run in the order of
    the files. `answers`: what each call of each write returned."""

    def __init__(self, writes: Sequence[Write], statements: Mapping[str, Statement]) -> None:
        self.answers: list[Answer] = []
        self._statements = statements
        sets: dict[str, list[tuple[Call, list[Row]]]] = {}
        self.steps: list[tuple[Statement, list[tuple[Call, list[Row]]]]] = []
        for write in writes:
            answer: Answer = []
            for call in write.calls:
                rows: list[Row] = []
                answer.append(rows)
                if call.row is not None and call.statement in sets:
                    sets[call.statement].append((call, rows))
                    continue
                members = [(call, rows)]
                self.steps.append((statements[call.statement], members))
                if call.row is not None:
                    sets[call.statement] = members
            self.answers.append(answer)
        self.steps.sort(key=lambda step: step[0].order)

    def run(self, execute: Execute) -> None:
        for statement, members in self.steps:
            calls = [call for call, _ in members]
            if (procedure := calls[0].procedure) is not None:
                returned = procedure(lambda name, params: self._run(execute, name, params), calls)
            else:
                # fetchall: a statement with RETURNING is not complete until its last row is fetched.
                returned = execute(statement.text, _params(calls)).fetchall()
            if len(members) == 1:
                members[0][1].extend(returned)
            else:
                _hand_out(returned, members)

    def _run(self, execute: Execute, name: str, params: Params) -> list[Row]:
        return execute(self._statements[name].text, params).fetchall()

    @property
    def lone(self) -> bool:
        """One statement, which commits itself."""
        return len(self.steps) == 1 and self.steps[0][1][0][0].procedure is None


def _hand_out(returned: list[Row], members: list[tuple[Call, list[Row]]]) -> None:
    """Give each call the rows that begin with its key. Calls that share a key get one row each."""
    targets = {call.key: rows for call, rows in members if call.key is not None and call.share is None}
    sharing: dict[str, list[list[Row]]] = {}
    for call, rows in members:
        if call.key is not None and call.share is not None:
            sharing.setdefault(call.key, []).append(rows)
    for row in returned:
        if (target := targets.get(row[0])) is not None:
            target.append(row)
        elif left := sharing.get(row[0]):
            left.pop().append(row)


class Transaction:
    """Writes that share one BEGIN IMMEDIATE … COMMIT. `answers` has the result of each, by the place of the write.
    A write that is missing there after `run` was refused by its check, and nothing of it took effect. The reason may
    have been rows of another refused write, so it must be run again, see Apart."""

    def __init__(self, writes: Sequence[Write], statements: Mapping[str, Statement]) -> None:
        self.answers: dict[int, Answer] = {}
        self._writes = writes
        self._statements = statements
        self._plan = _Plan(writes, statements)
        self._lone = self._plan.lone and all(write.check is None for write in writes)

    def run(self, execute: Execute, in_transaction: Callable[[], bool]) -> None:
        """Raises the errors of SQLite, and the error of the check of a single write; then nothing was written."""
        if self._lone:  # a lone statement commits itself
            self._plan.run(execute)
            self.answers = dict(enumerate(self._plan.answers))
            return
        taken = list(range(len(self._writes)))
        plan = self._plan
        for _ in range(2):
            refused = self._try(plan, taken, execute, in_transaction)
            if not refused:
                self.answers = dict(zip(taken, plan.answers, strict=True))
                return
            if len(self._writes) == 1:
                raise refused[0]
            taken = [place for place in taken if place not in refused]
            plan = _Plan([self._writes[place] for place in taken], self._statements)
        # Other writes were refused without the first ones: Apart runs them one by one.

    def _try(
        self, plan: _Plan, taken: Sequence[int], execute: Execute, in_transaction: Callable[[], bool]
    ) -> dict[int, Exception]:
        """Run and commit, or roll back when a check refuses. Returns the errors of the checks, by place."""
        refused: dict[int, Exception] = {}
        if not taken:
            return refused
        execute("BEGIN IMMEDIATE", {})
        try:
            plan.run(execute)
            for place, answer in zip(taken, plan.answers, strict=True):
                if (error := _refusal(self._writes[place], answer)) is not None:
                    refused[place] = error
            execute("ROLLBACK" if refused else "COMMIT", {})
        except BaseException:
            if in_transaction():
                execute("ROLLBACK", {})
            raise
        return refused


class Apart:
    """Writes that share one BEGIN IMMEDIATE … COMMIT, each under a savepoint, one after the other, as if alone.
    `outcomes` has, by the place of the write, its answer or the error of its refusal, which is final."""

    def __init__(self, writes: Sequence[Write], statements: Mapping[str, Statement]) -> None:
        self.outcomes: dict[int, Answer | Exception] = {}
        self._writes = writes
        self._statements = statements

    def run(self, execute: Execute, in_transaction: Callable[[], bool]) -> None:
        """Raises errors that concern all writes: of the disk or the file. Then nothing was written."""
        execute("BEGIN IMMEDIATE", {})
        try:
            # In the order of the statements, as when they run together: a claim comes after the writes that make tasks
            # ready. Otherwise its answer could come after their wake-ups, although it did not see their tasks.
            for place in sorted(range(len(self._writes)), key=lambda place: self._first(self._writes[place])):
                execute("SAVEPOINT apart", {})
                try:
                    self.outcomes[place] = self._run_one(self._writes[place], execute)
                except Exception as error:
                    if is_storage_trouble(error) or not in_transaction():
                        raise
                    self.outcomes[place] = error
                    execute("ROLLBACK TO apart", {})
                execute("RELEASE apart", {})
            landed = any(isinstance(outcome, list) for outcome in self.outcomes.values())
            execute("COMMIT" if landed else "ROLLBACK", {})
        except BaseException:
            if in_transaction():
                execute("ROLLBACK", {})
            raise

    def _first(self, write: Write) -> int:
        return min((self._statements[call.statement].order for call in write.calls), default=0)

    def _run_one(self, write: Write, execute: Execute) -> Answer:
        plan = _Plan([write], self._statements)
        plan.run(execute)
        if (error := _refusal(write, plan.answers[0])) is not None:
            raise error
        return plan.answers[0]


def _refusal(write: Write, answer: Answer) -> Exception | None:
    if write.check is not None:
        try:
            write.check(answer)
        except Exception as error:
            return error
    return None


def is_storage_trouble(error: Exception) -> bool:
    """Whether the error comes from the disk or the file, not from the written values."""
    return isinstance(error, sqlite3.Error) and not isinstance(
        error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.DataError | sqlite3.InterfaceError
    )


class WriterConnection(sqlite3.Connection):
    """Runs a Transaction or an Apart, passed as the parameters of the statement TRANSACTION, or a usual statement."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.create_function("error_fingerprint", 3, error_groups.fingerprint, deterministic=True)
        forks.never_close(self)

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        if sql is not TRANSACTION:
            return super().execute(sql, parameters)
        parameters.run(super().execute, lambda: self.in_transaction)
        return self.cursor()  # it has no rows; the answers are in the passed object


def _params(calls: Sequence[Call]) -> Params:
    first = calls[0]
    if first.row is None:
        return first.params or {}
    rows = b",".join([_encode(call.row) for call in calls]).decode()
    return {"rows": f"[{rows}]", **(first.params or {})}
