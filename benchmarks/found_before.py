"""What the databases of neighbours.py hold before the server starts, built by SQL."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks.bigdata import build
from benchmarks.harness import Scale


@contextmanager
def database_in(data: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(data / "tasks.db")) as database, database:
        yield database


def heaps(data: Path, scale: Scale) -> None:
    """OnEnd tasks of long ago with 10,000 events each."""
    build(data, 150)
    with database_in(data) as database:
        database.execute("UPDATE tasks SET completed_at = completed_at - 9 * 86400000 WHERE completed_at IS NOT NULL")
        database.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)"
            " INSERT INTO events (task, at, name, status, cause, attempt, data)"
            " SELECT t.seq, 1, 'progress', 'processing', 'claim', 1, '{\"done\":1,\"total\":null,\"message\":null}'"
            " FROM tasks t, n WHERE t.status = 'completed'",
            {"count": scale.of(10_000)},
        )
        database.execute("DELETE FROM tasks WHERE status = 'pending'")


def plans(data: Path, scale: Scale) -> None:
    """2,000 schedules of 16 KB, and expired uploads that one of them names."""
    build(data, 10)
    names = [f"{n:032x}" for n in range(10)]
    with database_in(data) as database:
        for n in range(scale.of(2_000)):
            args = json.dumps({"uploads": names, "text": ["y" * 20] * 600})
            database.execute(
                "INSERT INTO schedules (key, name, owner, source, kind, args, every_ms, timezone, overlap, catch_up,"
                " paused, revision, created_at, next_at) VALUES (?, ?, '', 'api', 'same', ?, 86400000, 'UTC', 'skip',"
                " 'skip', 0, 1, 1, 99999999999999)",
                (f"plan-{n}", f"plan-{n}", args),
            )
        for name in names:
            row = (name, f"file-{name}", "a.bin", "0" * 64)
            database.execute("INSERT INTO uploads VALUES (?, '', ?, ?, 1, ?, 1, 1)", row)


def halves(data: Path, scale: Scale) -> None:
    """Completed tasks of one kind and failed ones of another: whoever asks for the completed ones of the other kind
    makes the store walk far."""
    build(data, scale.of(400_000))
    with database_in(data) as database:
        database.execute("DELETE FROM tasks WHERE status = 'pending'")
        database.execute("DROP TRIGGER tasks_legal")
        database.execute("DROP TRIGGER tasks_changed")
        database.execute("UPDATE tasks SET status = 'failed', cause = 'fail', kind = 'same' WHERE seq % 2")
        database.execute("UPDATE tasks SET status = 'completed', cause = 'complete' WHERE seq % 2 = 0")
        database.execute("DELETE FROM counters")
        database.execute(
            "INSERT INTO counters SELECT queue, kind, status, ready, count(*) FROM tasks"
            " GROUP BY queue, kind, status, ready"
        )
