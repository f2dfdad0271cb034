"""The second line of defence: what the schema refuses even when a statement asks for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest

from quart_app.core.lifecycle import TRANSITIONS
from quart_app.core.task import STATUSES, TERMINAL
from quart_app.store import migrate
from quart_app.store.sqlite.transaction import WriterConnection
from tests.store.kit import T
from tests.store.soundness import allowed

CAUSES = (*TRANSITIONS, "crash", "make_ready", "", "COMPLETE")

INSERT = """INSERT INTO tasks (id, kind, queue, owner, status, cause, ready, priority, run_at, max_attempts, created_at,
  changed_at, timeout_ms, worker, completed_at) VALUES (?, 'k', 'q', '', ?, 'enqueue', 0, 0, 0, 1, 0, 0, 1, ?, ?)"""


@pytest.fixture
def connection(database_path: Path) -> Iterator[sqlite3.Connection]:
    """The schema as the migrations leave it, in autocommit."""
    with closing(sqlite3.connect(database_path, isolation_level=None, factory=WriterConnection)) as connection:
        for migration in migrate.find("sqlite"):
            connection.executescript(migration.text)
        yield connection


def insert(connection: sqlite3.Connection, status: str) -> str:
    task_id = f"in-{status}"
    connection.execute(
        INSERT, (task_id, status, "w" if status == "processing" else None, T if status in TERMINAL else None)
    )
    return task_id


def move(connection: sqlite3.Connection, task_id: str, cause: str, status: str) -> bool:
    """Whether the schema lets a plain UPDATE through; undone in any case."""
    connection.execute("BEGIN")
    try:
        connection.execute(
            "UPDATE tasks SET status = ?, cause = ?, worker = ?, completed_at = ? WHERE id = ?",
            (status, cause, "w" if status == "processing" else None, T if status in TERMINAL else None, task_id),
        )
    except sqlite3.IntegrityError as error:
        assert str(error) == "illegal transition"
        return False
    else:
        return True
    finally:
        connection.execute("ROLLBACK")


def test_the_trigger_lets_through_the_transitions_of_the_table_and_no_other(connection: sqlite3.Connection) -> None:
    ids = {status: insert(connection, status) for status in STATUSES}
    through = {
        (before, cause, after)
        for before, cause, after in product(STATUSES, CAUSES, STATUSES)
        if move(connection, ids[before], cause, after)
    }
    assert through == allowed()


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_an_ended_row_takes_no_other_status_under_any_cause_but_a_rerun(
    connection: sqlite3.Connection, status: str
) -> None:
    task_id = insert(connection, status)
    taken = {(cause, after) for cause, after in product(CAUSES, STATUSES) if move(connection, task_id, cause, after)}
    assert taken == (set() if status == "completed" else {("rerun", "pending")})


@pytest.mark.parametrize(
    "change",
    [
        "status = 'running', cause = 'claim'",
        "status = 'processing', cause = 'claim', worker = NULL",
        "status = 'cancelled', cause = 'cancel', completed_at = NULL",
        "status = 'processing', cause = 'claim', worker = 'w', ready = 1",
        "status = 'failed', cause = 'expire', completed_at = 1, worker = 'w'",
        "completed_at = 1",
        "worker = 'w'",
        "ready = 2",
        "priority = 101",
        "priority = -101",
        "attempt = -1",
        "crashes = -1",
        "max_attempts = 0",
        "timeout_ms = 0",
        "attempt = 'x'",
        "kind = NULL",
    ],
)
def test_a_row_that_contradicts_itself_is_refused(connection: sqlite3.Connection, change: str) -> None:
    task_id = insert(connection, "pending")
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(f"UPDATE tasks SET {change} WHERE id = ?", (task_id,))


def test_two_tasks_cannot_have_one_id(connection: sqlite3.Connection) -> None:
    insert(connection, "pending")
    with pytest.raises(sqlite3.IntegrityError):
        insert(connection, "pending")


def test_every_way_to_change_a_row_keeps_the_counters_right(connection: sqlite3.Connection) -> None:
    def real() -> list[object]:
        return connection.execute(
            "SELECT queue, kind, status, ready, count(*) FROM tasks GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
        ).fetchall()

    def kept() -> list[object]:
        return connection.execute(
            "SELECT queue, kind, status, ready, n FROM counters WHERE n > 0 ORDER BY 1, 2, 3, 4"
        ).fetchall()

    for status in STATUSES:
        insert(connection, status)
        assert kept() == real()
    for change in (
        "UPDATE tasks SET ready = 1 WHERE status = 'pending'",
        "UPDATE tasks SET ready = 1 WHERE status = 'pending'",
        "UPDATE tasks SET ready = 0 WHERE status = 'pending'",
        "UPDATE tasks SET status = 'pending', cause = 'rerun', ready = 1, completed_at = NULL WHERE status = 'failed'",
        "UPDATE tasks SET status = 'processing', cause = 'claim', ready = 0, worker = 'w' WHERE status = 'pending'",
        "UPDATE tasks SET status = 'completed', cause = 'complete', worker = NULL, completed_at = 1"
        " WHERE status = 'processing'",
        "DELETE FROM tasks WHERE status = 'completed'",
        "DELETE FROM tasks",
    ):
        connection.execute(change)
        assert kept() == real(), change
    assert real() == []


def test_numbers_of_events_and_tasks_are_never_used_twice(connection: sqlite3.Connection) -> None:
    task_id = insert(connection, "completed")
    (seq,) = connection.execute("SELECT seq FROM tasks").fetchone()
    (event,) = connection.execute("SELECT max(seq) FROM events").fetchone()
    connection.execute("DELETE FROM tasks WHERE id = ?", (task_id,))
    insert(connection, "completed")
    assert connection.execute("SELECT seq FROM tasks").fetchone()[0] > seq
    assert connection.execute("SELECT max(seq) FROM events").fetchone()[0] > event
