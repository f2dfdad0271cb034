"""A database of before delays were kept: what waits for its time in it is planned anew as well."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from quart_app.store import migrate
from quart_app.store.sqlite.transaction import WriterConnection
from tests.store.kit import T

CLOCK = 7  # the migration that brings delays
INSERT = """INSERT INTO tasks (id, kind, queue, owner, status, cause, ready, priority, run_at, max_attempts, created_at,
  changed_at, timeout_ms, waiting_for) VALUES (?, 'k', 'q', '', 'pending', ?, ?, 0, ?, 9, ?, ?, 1, ?)"""


def test_retries_and_pauses_have_the_delay_they_were_planned_with_and_dates_have_none(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "tasks.db", isolation_level=None, factory=WriterConnection)) as connection:
        found = migrate.find("sqlite")
        for one in found[: CLOCK - 1]:
            connection.executescript(one.text)
        rows = [
            ("retry", "retry", 0, T + 700, None),
            ("pause", "crash", 0, T + 900, None),
            ("of-an-older-clock", "retry", 0, T - 5, None),
            ("delayed", "enqueue", 0, T + 500, None),
            ("ready", "retry", 1, T + 700, None),
            ("parked", "retry", 0, T + 700, "kind:k"),
        ]
        for name, cause, ready, run_at, waiting_for in rows:
            connection.execute(INSERT, (name, cause, ready, run_at, T - 9, T, waiting_for))
        for one in found[CLOCK - 1 :]:
            connection.executescript(one.text)
        delays = dict(connection.execute("SELECT id, delay_ms FROM tasks").fetchall())
    assert {name: delay for name, delay in delays.items() if delay is not None} == {
        "retry": 700,
        "pause": 900,
        "of-an-older-clock": 0,
    }
