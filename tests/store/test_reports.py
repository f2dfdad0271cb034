"""What handlers may ask of the store: whole pages, of their owner's tasks alone, and nothing that writes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from quart_app.core.errors import StoreUnavailable
from quart_app.store.protocols.tasks import Store
from quart_app.store.reports import PUBLIC, SqlReports
from quart_app.store.sqlite.database import Database
from tests.store.kit import T, in_status, pending

ALL: dict[str, Any] = dict.fromkeys(("status", "kind", "created_after", "created_before"))
TOP = 2**62


@pytest.fixture
def reports(database: Database) -> SqlReports:
    return SqlReports(database)


async def tasks(reports: SqlReports, owner: str | None = None, limit: int = 2, **filters: Any) -> list[dict[str, Any]]:
    """The rows of all pages."""
    found, upto = [], TOP
    for _ in range(100):
        page = await reports.query("report_tasks", {**ALL, **filters, "upto": upto, "limit": limit}, owner)
        assert 1 <= len(page) <= max(limit, 1)
        found += [row for row in page if row["task_id"] is not None]
        if page[0]["next"] is None:
            return found
        assert page[0]["next"] < upto
        upto = page[0]["next"]
    raise AssertionError("the pages do not end")


async def errors(reports: SqlReports, owner: str | None = None, limit: int = 2, **filters: Any) -> list[dict[str, Any]]:
    found, place = [], {"task": TOP, "fence": TOP}
    for _ in range(100):
        page = await reports.query("report_errors", {**ALL, **filters, **place, "limit": limit}, owner)
        found += [row for row in page if row["task_id"] is not None]
        if page[0]["next_task"] is None:
            return found
        place = {"task": page[0]["next_task"], "fence": page[0]["next_fence"]}
    raise AssertionError("the pages do not end")


async def test_pages_hold_every_task_once_newest_first(store: Store, reports: SqlReports) -> None:
    made = [(await in_status(store, status, queue=f"q{n}")).id for n, status in enumerate(["completed", "failed"] * 3)]
    for limit in (1, 2, 5, 6, 7, 1000):
        assert [row["task_id"] for row in await tasks(reports, limit=limit)] == made[::-1]
    assert [row["error_type"] for row in await tasks(reports)] == ["ValueError", None] * 3


async def test_pages_are_whole_where_tasks_were_deleted_and_filters_leave_nothing(
    store: Store, reports: SqlReports
) -> None:
    made = [(await in_status(store, "completed")).id for _ in range(9)]
    for number in (0, 3, 4, 5, 8):
        await store.delete(made[number])
    assert [row["task_id"] for row in await tasks(reports)] == [made[7], made[6], made[2], made[1]]
    assert await tasks(reports, status="failed") == []
    assert await tasks(reports, kind="no") == []


async def test_an_empty_table_has_one_page_of_nothing(reports: SqlReports) -> None:
    assert await tasks(reports) == []
    assert await errors(reports) == []
    assert await reports.query("newest_task", {}, None) == [{"seq": None}]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, {0, 1, 2}),
        ({"status": "completed"}, {0}),
        ({"kind": "b"}, {1, 2}),
        ({"kind": "b", "status": "failed"}, {1}),
        ({"created_after": T}, {1, 2}),
        ({"created_before": T + 20}, {0, 1}),
        ({"created_after": T, "created_before": T + 20}, {1}),
    ],
)
async def test_filters_leave_what_they_say(
    store: Store, reports: SqlReports, filters: dict[str, Any], found: set[int]
) -> None:
    made = [
        (await in_status(store, "completed", T, kind="a")).id,
        (await in_status(store, "failed", T + 10, kind="b")).id,
        await pending(store, T + 20, kind="b"),
    ]
    assert {made.index(row["task_id"]) for row in await tasks(reports, **filters)} == found
    assert {made.index(row["task_id"]) for row in await errors(reports, **filters)} == found & {1}


async def test_an_owner_is_shown_his_own_and_nothing_of_the_others(store: Store, reports: SqlReports) -> None:
    made = {
        owner: {(await in_status(store, status, owner=owner)).id for status in ("completed", "failed")}
        for owner in ("ann", "bob", "")
    }
    for owner, ids in made.items():
        assert {row["task_id"] for row in await tasks(reports, owner)} == ids
        assert {row["task_id"] for row in await errors(reports, owner)} < ids
        assert len(await errors(reports, owner)) == 1
    assert len(await tasks(reports)) == 6
    assert len(await errors(reports)) == 3
    # Rows of others are not in a page in any other shape either.
    page = await reports.query("report_errors", {**ALL, "task": TOP, "fence": TOP, "limit": 9}, "ann")
    assert [row["task_id"] in made["ann"] or not any(row.values()) for row in page] == [True]


@pytest.mark.parametrize("name", PUBLIC)
async def test_a_statement_only_reads_and_its_columns_are_those_that_are_listed(
    database: Database, reports: SqlReports, name: str
) -> None:
    text = database.text(name)
    assert re.match(r"(SELECT|WITH)\b", text)
    assert not re.search(r"\b(INSERT|UPDATE|DELETE|REPLACE|PRAGMA|ATTACH)\b", text)
    params = dict.fromkeys(set(re.findall(r":([a-z_]+)", text)) - {"owner"}, 1)
    for row in await reports.query(name, params, "nobody"):
        assert tuple(row) == PUBLIC[name]


@pytest.mark.parametrize("name", ["get", "claim", "delete", "api_keys", "gone", "", "report_tasks; DROP TABLE tasks"])
async def test_no_other_statement_is_open(reports: SqlReports, name: str) -> None:
    with pytest.raises(LookupError, match="no statement"):
        await reports.query(name, {}, None)


@pytest.mark.parametrize("params", [{}, {**ALL, "upto": 1}, {**ALL, "upto": 1, "limit": 1, "owner": None}])
async def test_parameters_are_those_of_the_statement(reports: SqlReports, params: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="report_tasks takes created_after, created_before, kind, limit, status, upto"):
        await reports.query("report_tasks", params, "ann")


async def test_a_closed_store_says_so(database: Database, reports: SqlReports) -> None:
    await database.close()
    with pytest.raises(StoreUnavailable):
        await reports.query("newest_task", {}, None)


async def test_which_tasks_are_gone(store: Store, reports: SqlReports) -> None:
    kept, deleted = [(await in_status(store, "completed")).id for _ in range(2)]
    await store.delete(deleted)
    assert await reports.gone([kept, deleted, "never"]) == [deleted, "never"]
    assert await reports.gone([]) == []
