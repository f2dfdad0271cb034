"""A SELECT that ends at the first row that is refused, in the one turn of the reader's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from itertools import takewhile
from typing import Any, NamedTuple

from quart_app import forks
from quart_app.core.budget import Budget
from quart_app.store.transaction import Params


class Bounded(NamedTuple):
    """Stands for the parameters of a statement. No row is read after the first one that `takes` refuses."""

    params: Params
    takes: Callable[[Any], bool]


class ReaderConnection(sqlite3.Connection):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        forks.never_close(self)

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        if not isinstance(parameters, Bounded):
            return super().execute(sql, parameters)
        cursor = self.cursor(_BoundedCursor)
        cursor.takes = parameters.takes
        return cursor.execute(sql, parameters.params)


class _BoundedCursor(sqlite3.Cursor):
    takes: Callable[[Any], bool]

    def fetchall(self) -> list[Any]:
        try:
            return list(takewhile(self.takes, self))
        finally:
            self.close()  # the statement may have more, and would keep its snapshot


class Bite:
    """So many rows, of so much text: what one transaction may delete. The last column of a row is how much it has; the
    first row is taken, however large."""

    def __init__(self, rows: int, size: int) -> None:
        self._rows = rows
        self._left = size

    def takes(self, row: Any) -> bool:
        if not self._rows or self._left <= 0:
            return False
        self._rows -= 1
        self._left -= row[-1]
        return True


def within(budget: Budget | None, *columns: int) -> Callable[[Any], bool] | None:
    """Whether the documents of a row, which stand in these columns, still fit."""
    return None if budget is None else lambda row: budget.takes(*[row[column] for column in columns])
