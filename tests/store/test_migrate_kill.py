"""SIGKILL at every statement of a migration: a whole old schema or a whole new one, and the next start goes on."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from quart_app.store import migrate
from quart_app.store.sqlite.database import Database
from tests.store.kit import T
from tests.store.migrations import SECOND, first_and, schema_of

ROOT = Path(__file__).parents[2]


def killed_files(folder: Path, start: str) -> list[Path]:
    """The files that killed migrations left; the last is that of the one which got through."""
    command = [sys.executable, "-m", "tests.store.kill_while_migrating", str(folder), start]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [folder / f"{number}.db" for number in range(int(done.stdout) + 1)]


async def finish(path: Path, migrations: list[migrate.Migration]) -> list[str]:
    """What the next start does."""
    migrate.check(path, migrations)
    database = Database(path, "FULL", print)
    connection = await database.connect()
    try:
        assert [tuple(row) for row in await connection.execute_fetchall("PRAGMA quick_check")] == [("ok",)]
        return await migrate.apply(connection, migrations, T)
    finally:
        await database.close()


def version_of(path: Path) -> tuple[int, int]:
    """The schema's own number and how many migrations are on record."""
    with closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        known = connection.execute("SELECT name FROM sqlite_master WHERE name = 'migrations'").fetchall()
        return version, connection.execute("SELECT count(*) FROM migrations").fetchone()[0] if known else 0


@pytest.mark.parametrize(("start", "versions"), [("new", (0, 1)), ("old", (1, 2))])
async def test_a_kill_at_any_statement_leaves_the_old_or_the_new_schema(
    tmp_path: Path, start: str, versions: tuple[int, int]
) -> None:
    migrations = first_and(SECOND) if start == "old" else migrate.find("sqlite")[:1]
    files = killed_files(tmp_path, start)
    whole = schema_of(files[-1])
    old = schema_of(tmp_path / "old") if start == "old" else []
    assert len(files) > 5, "the kills must have hit the statements of the migration"
    seen = set()
    for path in files:
        version, recorded = version_of(path)
        assert version == recorded, "the record and the schema go together"
        seen.add(version)
        before = schema_of(path)
        if version == versions[1]:
            assert before == whole
        else:
            assert [entry for entry in before if entry[1] != "migrations"] == [
                entry for entry in old if entry[1] != "migrations"
            ]
        applied = await finish(path, migrations)
        assert len(applied) == versions[1] - version
        assert schema_of(path) == whole
    assert seen == set(versions)
