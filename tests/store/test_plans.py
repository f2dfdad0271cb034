"""Every hot statement finds its rows by an index: cost must not grow with the table."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any

import pytest

from quart_app.core.task import TaskFilter
from quart_app.store import migrate, statements
from quart_app.store.sqlite.database import Database
from quart_app.store.sqlite.transaction import WriterConnection
from quart_app.store.tasks import SqlStore
from tests.store.conform_reading import WANTED
from tests.store.kit import T

ROWS = '[{"id":"x","fence":1,"at":1,"name":"n","output":"1","ordinal":1,"owner":"","idempotency_key":"k"}]'
PARAMS: dict[str, object] = {
    "rows": ROWS,
    "now": T,
    "limit": 9,
    "queue": "q",
    "worker": "w",
    "before": T,
    "kinds": '["a"]',
    "queues": '["a"]',
    "times": "[1]",
    "settled": T,
    "ids": '["x"]',
    "id": "x",
    "after": 0,
    "name": "n",
    "hash": "h",
    "scopes": "read",
    "wall": T,
    "up": 1,
    "held_ms": 1,
    "client": "ann",
    "until": 9,
    "kind": "add",
    "status": "failed",
    "owner": "ann",
    "upto": 9,
    "task": 9,
    "fence": 9,
    "created_after": 0,
    "created_before": T,
    "upload": "u",
    "file": "f",
    "files": '["f"]',
    "size": 1,
    "sha256": "s",
    "expires_at": T,
    "most": 9,
    "keys": '[[1, "n"]]',
    "last_at": T,
    "fingerprint": "0" * 16,
}
# Built from parts by `find`, or parts themselves.
PARTS = ("wakes", "find", "bulk_find", "bulk_count", "source_", "when_", "task_columns", "task_joins")
PARTS += ("schedule_columns", "held_by")
# The partial indexes hold only what waits, runs or expires: walking one of them is the point of the statement.
PARTIAL = {
    "tasks_asleep",
    "tasks_signalled",
    "tasks_processing",
    "tasks_delayed",
    "tasks_expiring",
    "tasks_ready",
    "tasks_suspects",
    "tasks_unsorted",
    "tasks_waiting",
}
BIG = {"tasks", "t", "steps", "s", "events", "e", "errors", "x", "args", "a", "results", "progress", "p", "tags", "g"}
BIG |= {"users"}

WHOLE = {name: statement.text for name, statement in statements.load("sqlite").items() if not name.startswith(PARTS)}


def plan(connection: sqlite3.Connection, text: str, params: Mapping[str, object]) -> list[str]:
    used = {name: params.get(name, "x") for name in re.findall(r":([a-z_0-9]+)", text)}
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", used)]


def walks(plan: Iterable[str]) -> list[str]:
    """The lines that walk a whole big table, or a whole index that is not a small partial one."""
    found = []
    for line in plan:
        words = line.split()
        if words[0] != "SCAN" or words[1] not in BIG or "VIRTUAL" in words:
            continue
        if "INDEX" in words and words[words.index("INDEX") + 1] in PARTIAL:
            continue
        found.append(line)
    return found


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Iterable[sqlite3.Connection]:
    path = tmp_path_factory.mktemp("plans") / "tasks.db"
    with closing(sqlite3.connect(path, factory=WriterConnection)) as connection:
        for migration in migrate.find("sqlite"):
            connection.executescript(migration.text)
        yield connection


@pytest.mark.parametrize("name", WHOLE)
def test_a_statement_walks_no_table_and_sorts_nothing(schema: sqlite3.Connection, name: str) -> None:
    lines = plan(schema, WHOLE[name], PARAMS)
    assert walks(lines) == [], lines
    # Steps: a handful of one task, not worth an index more on every write. Figures: a bounded sample. Reports: the rows
    # of one page.
    # The tidying after a crash: rows of those alone that ran then.
    if name not in ("steps", "forget_log", "kind_figures", "report_tasks", "report_errors", "tidy_crash_groups"):
        assert not [line for line in lines if "TEMP B-TREE" in line], lines


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("claim_plain", "tasks_ready (queue=?)"),
        ("suspect_heads", "tasks_suspects"),
        ("lane_heads", "tasks_lane (lane=?)"),
        ("lane_heads_below", "tasks_lane (lane=? AND priority<?)"),
        ("plain_heads", "tasks_ready (queue=?)"),
        ("plain_heads_below", "tasks_ready (queue=? AND priority<?)"),
        ("queue_state", "tasks_ready (queue=?)"),
        ("open_shares", "shares_open (queue=?)"),
        ("open_lanes", "lanes_open (share=?)"),
        ("unpark", "lanes_parked (parked=?)"),
        ("walk_kind", "tasks_by_kind (kind=? AND seq>?)"),
        ("make_ready", "tasks_delayed (run_at<?)"),
        ("make_ready_doubtful", "tasks_planned (<expr>>?)"),
        ("misplanned", "tasks_planned (<expr>>?)"),
        ("replan", "tasks_planned (<expr>>?)"),
        ("made_fires", "fires_by_time (fire_at=? AND schedule=?)"),
        ("expire", "tasks_expiring (expires_at>? AND expires_at<?)"),
        ("orphans", "tasks_processing"),
        ("oldest", "tasks_ready (queue=? AND priority<?)"),
        ("oldest", "tasks_ready (queue=? AND priority=?)"),
        ("prune_old", "tasks_ended"),
        ("prune_kept", "tasks_kept"),
        ("prune_keys", "idempotency_keys_expiring"),
        ("date_calls", "limit_calls USING INTEGER PRIMARY KEY"),
        ("forget_calls", "limit_calls USING INTEGER PRIMARY KEY"),
        ("client_calls", "sqlite_autoindex_client_calls_1 (owner=? AND client=?)"),
        ("forget_clients", "client_calls_silent (owner=? AND last<?)"),
        ("resume_waiting", "tasks_waiting"),
        ("next_due", "tasks_delayed"),
        ("expire_uploads", "uploads_expiring"),
        ("expire_uploads", "SEARCH s USING PRIMARY KEY (upload=? AND owner=?)"),
        ("step_names", "SEARCH s USING PRIMARY KEY (task=? AND name>?)"),
        ("step_output", "SEARCH s USING PRIMARY KEY (task=? AND name=?)"),
        ("count_events", "COVERING INDEX events_by_task (task=?)"),
        ("left_rows", "events_by_task (task=?)"),
        ("left_rows", "tags_by_task (task=?)"),
        ("add_upload", "uploads_unused (owner=?)"),
        ("known_files", "sqlite_autoindex_uploads_2 (file=?)"),
        ("get", "sqlite_autoindex_tasks_1 (id=?)"),
        ("complete", "sqlite_autoindex_tasks_1 (id=?)"),
        ("events", "events_by_task (task=? AND seq>?)"),
        ("due_schedules", "schedules_due (next_at>? AND next_at<?)"),
        ("next_fire", "schedules_due"),
        ("move_schedule", "PRIMARY KEY (key=?)"),
        ("prune_fires", "fires_by_time (fire_at<?)"),
        ("kind_figures", "tasks_by_status (status=?)"),
    ],
)
def test_a_statement_uses_the_index_that_was_made_for_it(schema: sqlite3.Connection, name: str, index: str) -> None:
    lines = plan(schema, WHOLE[name], PARAMS)
    assert [line for line in lines if index in line], lines


async def find_text(
    database: Database, store: SqlStore, monkeypatch: pytest.MonkeyPatch, wanted: TaskFilter
) -> tuple[str, Mapping[str, object]]:
    """What `find` really runs."""
    seen: list[tuple[str, Mapping[str, object]]] = []

    async def scan(text: str, params: Mapping[str, object], _: object = None) -> list[Any]:
        seen.append((text, params))
        return []

    with monkeypatch.context() as patch:
        patch.setattr(database, "scan", scan)
        await store.find(wanted)
    return seen[0]


@pytest.mark.parametrize("wanted", [one for one in WANTED if len(one) == 1], ids=str)
@pytest.mark.parametrize("page", [{}, {"before_seq": 5}, {"documents": True}], ids=["first", "next", "documents"])
async def test_a_listing_by_one_filter_goes_through_an_index_newest_first(
    schema: sqlite3.Connection,
    database: Database,
    store: SqlStore,
    monkeypatch: pytest.MonkeyPatch,
    wanted: dict[str, Any],
    page: dict[str, Any],
) -> None:
    lines = plan(schema, *await find_text(database, store, monkeypatch, TaskFilter(**wanted, **page)))
    # The two most common values have no index: nearly every row matches, and a page is full after a few. Nor has the
    # time of creation: after a step of the clock no index in the order of `seq` could stand for it.
    if not (wanted.keys() & {"created_after", "created_before"} or wanted in ({"queue": "default"}, {"owner": ""})):
        assert walks(lines) == [], lines
    assert not [line for line in lines if "TEMP B-TREE" in line], lines


@pytest.mark.parametrize(
    ("what", "indexes"),
    [
        ("limit:openai", ["gates_by_name (name=?)", "lanes_parked (parked=?", "tasks_lane (lane=?"]),
        ("limit:queue:mail", ["tasks_ready (queue=?", "SEARCH s USING COVERING INDEX", "tasks_lane (lane=?"]),
        ("paused", ["tasks_ready (queue=?", "tasks_lane (lane=?"]),
    ],
)
async def test_what_is_held_back_is_found_by_its_lanes_and_only_numbers_are_sorted(
    schema: sqlite3.Connection,
    database: Database,
    store: SqlStore,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    indexes: list[str],
) -> None:
    text, params = await find_text(
        database, store, monkeypatch, TaskFilter(waiting_for=what, before_seq=9, owner="ann")
    )
    lines = plan(schema, text, params)
    assert walks(lines) == [], lines
    assert [index for index in indexes if not any(index in line for line in lines)] == [], lines
    assert lines[0].split()[1] == "n", "the page is chosen before its tasks are read"
    assert [line for line in lines if line.startswith("SEARCH t ") and "rowid=?" not in line] == [], lines


async def test_a_listing_without_filters_reads_from_the_newest_and_sorts_nothing(
    schema: sqlite3.Connection, database: Database, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = plan(schema, *await find_text(database, store, monkeypatch, TaskFilter()))
    assert lines[0] == "SCAN t", "by rowid, backwards, as far as the limit"
    assert not [line for line in lines if "TEMP B-TREE" in line], lines
    following = plan(schema, *await find_text(database, store, monkeypatch, TaskFilter(before_seq=9)))
    assert following[0] == "SEARCH t USING INTEGER PRIMARY KEY (rowid<?)"


def test_this_check_can_fail(schema: sqlite3.Connection) -> None:
    assert walks(plan(schema, "SELECT * FROM tasks WHERE attempt = 1", {}))
    assert walks(plan(schema, "SELECT * FROM tasks t INDEXED BY tasks_by_kind WHERE attempt = 1", {}))
    assert [one for one in plan(schema, "SELECT * FROM tasks ORDER BY attempt", {}) if "TEMP B-TREE" in one]
