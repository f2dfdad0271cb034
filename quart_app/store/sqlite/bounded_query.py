"""A SELECT that ends at the first refused row, in one call of the reader's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from itertools import takewhile
from typing import Any, NamedTuple

from quart_app.core.size_budget import SizeBudget
from quart_app.process import forks
from quart_app.store.sqlite.transaction import Params


class Bounded(NamedTuple):
    """Passed as the parameters of a statement. No row is read after the first one that `takes` refuses."""

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
            self.close()  # the statement may have more rows, and would keep its snapshot


class Bite:
    """Bounds the rows and the characters that one transaction may delete. The last column of a row is its size; the
    first row is taken at any size."""

    def __init__(self, rows: int, size: int) -> None:
        self._rows = rows
        self._left = size

    def takes(self, row: Any) -> bool:
        if not self._rows or self._left <= 0:
            return False
        self._rows -= 1
        self._left -= row[-1]
        return True


def within(budget: SizeBudget | None, *columns: int) -> Callable[[Any], bool] | None:
    """A test whether the documents of a row, in these columns, still fit the budget."""
    return None if budget is None else lambda row: budget.takes(*[row[column] for column in columns])
