"""The people of the examples."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.store.kit import Bells, Sql, open_database


@pytest.fixture
async def sql(tmp_path: Path) -> Sql:
    """Another hand in a migrated database."""
    database = await open_database(tmp_path / "tasks.db", Bells())
    await database.close()
    return Sql(tmp_path / "tasks.db")


async def test_the_migration_makes_the_same_hundred_in_every_database(sql: Sql) -> None:
    expected = [(n, f"user{n}", f"user{n}@example.com") for n in range(1, 101)]
    assert sql("SELECT id, username, email FROM users ORDER BY id") == expected


@pytest.mark.parametrize(
    "values",
    ["1, 'x', 'x@y'", "101, 'user1', 'x@y'", "101, 'x', 'user1@example.com'", "101, '', 'x@y'", "101, 'x', 'xy'"],
)
async def test_the_table_takes_nothing_that_is_no_person(sql: Sql, values: str) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        sql(f"INSERT INTO users (id, username, email) VALUES ({values})")
