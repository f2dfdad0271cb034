"""A database of before, with steps, schedules and uploads in it, after the migration that lets them go in bites."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from quart_app.core.errors import ConfigError
from quart_app.store import migrate
from quart_app.store.audit import audit
from quart_app.store.sqlite.database import Database
from quart_app.store.tasks import SqlStore
from quart_app.store.uploads import SqlUploads
from tests.store.kit import Bells, T

BITES = 9
UPLOADS = [f"{n:032x}" for n in range(4)]


def before(path: Path) -> None:
    """The database as the version before has left it: a failed task with two steps, and an ended one."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA application_id = {migrate.APPLICATION_ID}")
        connection.execute(
            "CREATE TABLE migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL,"
            " applied_at INTEGER NOT NULL) STRICT"
        )
        for one in migrate.find("sqlite"):
            if one.version < BITES:
                connection.executescript(one.text)
                connection.execute(
                    "INSERT INTO migrations VALUES (?, ?, ?, ?)", (one.version, one.name, one.checksum, T)
                )
        connection.execute(
            "INSERT INTO tasks (id, kind, queue, owner, status, cause, ready, priority, run_at, max_attempts,"
            " created_at, changed_at, timeout_ms, args) VALUES ('a', 'k', 'q', '', 'pending', 'enqueue', 1, 0, 1, 1, 1,"
            " 1, 1, '{}')"
        )
        connection.execute(
            "UPDATE tasks SET status = 'cancelled', cause = 'cancel', version = 2, completed_at = 2, ready = 0"
        )
        for ordinal, (name, output) in enumerate([("z", '"é"'), ("a", '"' + "x" * 9000 + '"')]):
            connection.execute("INSERT INTO steps VALUES (1, ?, ?, 1, 5, ?)", (name, output, ordinal))
        for n, upload in enumerate(UPLOADS):
            owner = "bob" if n == 3 else "ann"
            connection.execute(
                "INSERT INTO uploads VALUES (?, ?, ?, 'f', 1, ?, 1, 1)", (upload, owner, f"file-{n}", "0" * 64)
            )
        connection.execute(
            "INSERT INTO schedules (name, owner, source, kind, args, every_ms, timezone, overlap, catch_up, paused,"
            " revision, created_at) VALUES ('s', 'ann', 'api', 'k', ?, 1000, 'UTC', 'skip', 'skip', 1, 1, 1)",
            (json.dumps({"one": UPLOADS[0], "deep": [{"x": [UPLOADS[1], UPLOADS[1], UPLOADS[3], 5]}]}),),
        )


async def test_steps_schedules_and_deletions_go_on_as_before(database_path: Path) -> None:
    before(database_path)
    bells = Bells()
    database = Database(database_path, "FULL", bells.store_broken)
    connection = await database.connect()
    try:
        assert f"{BITES:04d}_bites" in await migrate.apply(connection, migrate.find("sqlite"), T)
        await database.start()
        store, uploads = SqlStore(database, "w", bells), SqlUploads(database)
        assert [(step.name, len(step.output)) for step in await store.steps("a")] == [("z", 3), ("a", 9002)]
        assert [(step.name, step.size) for step in await store.step_names("a", "", 9, 0)] == [("a", 9002), ("z", 4)]
        # What the schedule of ann names and is hers stays; the third nobody names, the fourth is bob's.
        assert sorted(await uploads.expire_uploads(T, 99)) == ["file-2", "file-3"]
        assert await store.delete("a")
        assert audit(database_path).findings == []
        while await store.clear_deleted(2, 100):
            assert audit(database_path).findings == []
        await connection.execute_fetchall("DELETE FROM schedules")
        assert sorted(await uploads.expire_uploads(T, 99)) == ["file-0", "file-1"]
    finally:
        await database.close()
    with closing(sqlite3.connect(database_path)) as look:
        for table in ("steps", "events", "deleted_tasks", "schedule_uploads"):
            assert look.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table


def test_an_audit_of_the_database_of_before_says_that_it_is_older(database_path: Path) -> None:
    before(database_path)
    with pytest.raises(ConfigError, match="older schema"):
        audit(database_path)
