"""Makes a database as an earlier version left it: its schema, and rows in what the schema had.

`python -m tests.store.earlier FILE [SCHEMA]` makes one of the first schema, or of the schema with that number. Rows are
written right after the migration that made their table, as the version of that day wrote them; later migrations meet
them.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from quart_app.store import migrate
from quart_app.store.sqlite.transaction import WriterConnection
from tests.store.kit import T

LARGE: Final = json.dumps({"x": "large " * 100})

_ENQUEUE: Final = """INSERT INTO tasks
  (id, kind, queue, owner, status, cause, ready, priority, run_at, max_attempts, created_at, changed_at, timeout_ms,
   args, tags)
  VALUES (?, 'quick', ?, ?, 'pending', 'enqueue', ?, 0, ?, 3, ?, ?, 60000, ?, ?)"""
_CLAIM: Final = """UPDATE tasks SET status = 'processing', cause = 'claim', ready = 0, attempt = attempt + 1,
  fence = fence + 1, version = version + 1, changed_at = changed_at + 1, started_at = changed_at + 1,
  worker = 'of-then' WHERE seq = ?"""
_END: Final = """UPDATE tasks SET status = ?, cause = ?, ready = 0, worker = NULL, version = version + 1,
  changed_at = changed_at + 1, completed_at = changed_at + 1, retention_ms = 3153600000000, result = ? WHERE seq = ?"""
_RETRY: Final = """UPDATE tasks SET status = 'pending', cause = 'retry', worker = NULL, version = version + 1,
  changed_at = changed_at + 1, run_at = changed_at + 1001 WHERE seq = ?"""

TASKS: Final = ("pending", "large", "delayed", "running", "completed", "failed", "cancelled", "retrying")
UNFINISHED: Final = ("pending", "large", "delayed", "running", "retrying")


def task_id(name: str) -> str:
    """A uuid7 that says which of the tasks it is."""
    return f"0190{TASKS.index(name):04x}-0000-7000-8000-000000000000"


def _tasks(connection: sqlite3.Connection) -> None:
    seq = {}
    for name in TASKS:
        args = LARGE if name == "large" else json.dumps({"x": name})
        run_at, ready = (T + 60_000, 0) if name == "delayed" else (T, 1)
        small = args if len(args) <= 256 else None
        row = (task_id(name), f"q-{name}", "somebody", ready, run_at, T, T, small, json.dumps([f"tag-{name}"]))
        seq[name] = connection.execute(_ENQUEUE, row).lastrowid
        if small is None:
            connection.execute("INSERT INTO args VALUES (?, ?)", (seq[name], args))
        connection.execute(
            "INSERT INTO idempotency_keys VALUES ('somebody', ?, ?, 'fingerprint', ?)", (name, task_id(name), T * 2)
        )
        connection.execute("INSERT INTO tags VALUES (?, ?)", (f"tag-{name}", seq[name]))
    for name in ("running", "completed", "failed", "retrying"):
        connection.execute(_CLAIM, (seq[name],))
        connection.execute("INSERT INTO steps VALUES (?, 's1', '[1]', 1, ?, 1)", (seq[name], T))
        connection.execute("INSERT INTO progress VALUES (?, 1, 1, 4, 'a quarter')", (seq[name],))
        for event, data in (("step", '{"name":"s1"}'), ("log", '{"message":"hello"}')):
            connection.execute(
                "INSERT INTO events (task, at, name, status, cause, attempt, data)"
                " VALUES (?, ?, ?, 'processing', 'claim', 1, ?)",
                (seq[name], T, event, data),
            )
    for name in ("failed", "retrying"):
        connection.execute("INSERT INTO errors VALUES (?, 1, 1, ?, 'ValueError', 'no', 1, 'Traceback')", (seq[name], T))
    connection.execute(_END, ("completed", "complete", '"done"', seq["completed"]))
    connection.execute(_END, ("failed", "fail", None, seq["failed"]))
    connection.execute(_END, ("cancelled", "cancel", None, seq["cancelled"]))
    connection.execute(_RETRY, (seq["retrying"],))


def _rows(connection: sqlite3.Connection, version: int) -> None:
    """What the schema of this version had a place for and the one before it had not."""
    if version == 1:
        _tasks(connection)
    elif version == 2:
        connection.execute("INSERT INTO api_keys VALUES ('ci', ?, 'read write', ?, NULL)", ("ab" * 32, T))
    elif version == 3:
        connection.execute("INSERT INTO limit_calls VALUES (1, 'cats', 60000, ?, 1000)", (T,))
        connection.execute("INSERT INTO client_calls VALUES ('', 'me', ?, ?)", (T, f"[{T}]"))
    elif version == 4:
        connection.execute(
            "INSERT INTO schedules (name, owner, source, kind, args, every_ms, timezone, overlap, catch_up, paused,"
            " revision, created_at) VALUES ('nightly', 'somebody', 'api', 'quick', '{}', 86400000, 'UTC', 'skip',"
            " 'one', 1, 1, ?)",
            (T,),
        )
        connection.execute("INSERT INTO fires VALUES ('nightly', ?, ?)", (T, task_id("completed")))
    elif version == 5:
        connection.execute(
            "INSERT INTO uploads VALUES (?, 'somebody', 'file', 'a.txt', 5, ?, ?, NULL)", ("cd" * 16, "ef" * 32, T)
        )
        connection.execute("INSERT INTO upload_uses SELECT seq, ? FROM tasks LIMIT 1", ("cd" * 16,))
    elif version == 6:
        connection.execute("UPDATE users SET email = 'changed@example.com' WHERE id = 1")
    elif version == 10:
        connection.execute(
            "INSERT INTO api_keys (name, hash, scopes, created_at, expires_at, kinds, old_hash, old_until)"
            " VALUES ('cd', ?, 'read', ?, ?, '[\"quick\"]', ?, ?)",
            ("cd" * 32, T, T * 2, "ef" * 32, T * 2),
        )
    elif version == 11:
        connection.execute(
            "INSERT INTO audit_log (at, refusal, act, actor, peer, target, detail, times, last_at)"
            " VALUES (?, 0, 'key.add', 'operator', '', 'cd', 'read', 1, ?)",
            (T, T),
        )
    elif version == 17:
        for dimension, name in (("kind", "quick"), ("queue", "default")):
            connection.execute(
                "INSERT INTO stats VALUES (300000, ?, ?, ?, 1, 1, 0, 0, 2, 2, 3, 3, '{\"2\":1}', '{\"3\":1}')",
                (T - T % 300_000, dimension, name),
            )
        connection.execute("UPDATE stats_mark SET seq = 3, at = ?", (T,))


def make(path: Path, schema: int = 1) -> None:
    """A closed database of this schema, in WAL mode."""
    with closing(sqlite3.connect(path, isolation_level=None, factory=WriterConnection)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA application_id = {migrate.APPLICATION_ID}")
        connection.execute(migrate._TABLE)
        for one in migrate.find("sqlite")[:schema]:
            connection.execute("BEGIN")
            for statement in migrate.split(one.text):
                connection.execute(statement)
            record = (one.version, one.name, one.checksum, T)
            connection.execute("INSERT INTO migrations VALUES (?, ?, ?, ?)", record)
            connection.execute(f"PRAGMA user_version = {one.version}")
            _rows(connection, one.version)
            connection.execute("COMMIT")


def contents(path: Path) -> dict[str, set[tuple[Any, ...]]]:
    """The rows of each table, each row as its (column, value) pairs."""
    found = {}
    with closing(sqlite3.connect(path)) as connection:
        names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        for (table,) in connection.execute(names).fetchall():
            cursor = connection.execute(f"SELECT * FROM {table}")
            columns = [column[0] for column in cursor.description]
            found[table] = {tuple(sorted(zip(columns, row, strict=True))) for row in cursor}
    return found


def lost(before: dict[str, set[tuple[Any, ...]]], after: dict[str, set[tuple[Any, ...]]]) -> list[str]:
    """The rows of before that are not there any more as they were; columns may have been added."""
    missing = []
    for table, rows in before.items():
        for row in rows:
            wanted = set(row)
            if table == "fires":  # since 0012 with the owner
                wanted = {(name, "somebody/nightly" if value == "nightly" else value) for name, value in row}
            if not any(wanted <= set(other) for other in after.get(table, ())):
                missing.append(f"{table}: {dict(row)}")
    return missing


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
