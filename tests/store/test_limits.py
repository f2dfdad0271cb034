"""The stores of the limits: what comes back in the next life."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quart_app.core.limits import Hold, LimitedCall, Moment
from quart_app.store import limits as sql_limits
from quart_app.store.limits import SqlLimits
from tests.store.kit import Bells, Sql, T, open_database

THEN, NOW = Moment(T, 5_000), Moment(T + 9, 5_009)


@pytest.fixture
async def limits(tmp_path: Path) -> AsyncIterator[SqlLimits]:
    database = await open_database(tmp_path / "tasks.db", Bells())
    yield SqlLimits(database)
    await database.close()


async def test_an_answered_call_keeps_its_date_and_one_in_flight_gets_that_of_the_start(limits: SqlLimits) -> None:
    await limits.enter_call(1, "cats", 60_000)
    await limits.enter_call(2, "dogs", 1_000)
    await limits.settle_calls({1: THEN}, [], [])
    expected = [LimitedCall(1, "cats", 60_000, THEN, False), LimitedCall(2, "dogs", 1_000, NOW, True)]
    assert await limits.recover_calls(NOW) == expected
    later = Moment(T + 50, 50)
    assert await limits.recover_calls(later) == [expected[0], expected[1]._replace(left=False)]


async def test_what_is_forgotten_is_gone_also_when_it_was_never_there(limits: SqlLimits) -> None:
    for call in (1, 2, 3):
        await limits.enter_call(call, "cats", 60_000)
    await limits.settle_calls({1: THEN, 3: THEN, 9: THEN}, [1, 2, 8], [7])
    assert [call.id for call in await limits.recover_calls(NOW)] == [3]


async def test_more_calls_than_a_page_are_all_read(limits: SqlLimits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_limits, "PAGE", 2)
    for call in range(1, 6):
        await limits.enter_call(call, "cats", 60_000)
    assert [call.id for call in await limits.recover_calls(NOW)] == [1, 2, 3, 4, 5]
    await limits.settle_calls({}, [5], [])
    assert [call.id for call in await limits.recover_calls(NOW)] == [1, 2, 3, 4]


async def test_holds_are_kept_until_they_are_released(limits: SqlLimits) -> None:
    one, two = Hold(1, "cats", THEN, 500), Hold(2, "cats", NOW, 700)
    await limits.hold(one)
    await limits.hold(two)
    assert await limits.holds() == [one, two]
    await limits.settle_calls({}, [], [1])
    assert await limits.holds() == [two]


async def test_the_dates_of_a_client_replace_those_before(limits: SqlLimits) -> None:
    assert await limits.client_calls("", "ann") is None
    assert await limits.put_client_calls("", "ann", [T], evict=0) == 0
    assert await limits.put_client_calls("", "ann", [T, T + 1], evict=0) == 0
    assert await limits.put_client_calls("shop", "ann", [T + 2], evict=0) == 0
    assert await limits.client_calls("", "ann") == [T, T + 1]
    assert await limits.client_counts() == {"": (1, T + 1), "shop": (1, T + 2)}
    assert await limits.put_client_calls("", "bob", [T + 3], evict=1) == 1
    assert await limits.client_calls("", "ann") is None
    assert await limits.forget_clients("", T + 3, 10) == 1
    assert await limits.client_counts() == {"shop": (1, T + 2)}


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("limit_calls", "(1, '', 1, NULL, NULL)"),
        ("limit_calls", "(1, 'x', 0, NULL, NULL)"),
        ("limit_calls", "(1, 'x', 1, 1, NULL)"),
        ("limit_holds", "(1, 'x', 1, 1, 0)"),
        ("client_calls", "('', '', 1, '[]')"),
        ("client_calls", "('', 'ann', 1, '{}')"),
    ],
)
async def test_the_tables_take_nothing_that_is_no_entry(
    limits: SqlLimits, tmp_path: Path, table: str, row: str
) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        Sql(tmp_path / "tasks.db")(f"INSERT INTO {table} VALUES {row}")
