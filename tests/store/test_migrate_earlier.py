"""A database of each schema that there ever was, with rows in it, is brought up to date and loses nothing."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from quart_app.core.error_groups import fingerprint
from quart_app.runtime import Runtime
from quart_app.settings import Settings
from quart_app.store import migrate
from quart_app.store.audit import audit
from tests.store import earlier
from tests.store.migrations import schema_of

NEWEST = len(migrate.find("sqlite"))


def upgrade(path: Path) -> list[str]:
    settings = Settings(data_dir=str(path.parent / "data"), database_url=f"sqlite:///{path}")
    return asyncio.run(Runtime(settings, spawn=lambda *_: None).migrate())


@pytest.mark.parametrize("schema", range(1, NEWEST + 1))
def test_a_database_of_any_earlier_schema_keeps_all_its_rows(tmp_path: Path, schema: int) -> None:
    path, new = tmp_path / "tasks.db", tmp_path / "new.db"
    earlier.make(path, schema)
    before = earlier.contents(path)
    assert [len(before[table]) for table in ("tasks", "args", "steps", "errors", "tags")] == [8, 1, 4, 2, 8]
    assert len(upgrade(path)) == NEWEST - schema
    assert earlier.lost(before, earlier.contents(path)) == []
    assert audit(path).findings == []
    with closing(sqlite3.connect(path)) as look:  # the failed task of before stands in a group of errors
        groups = look.execute("SELECT whose, fingerprint, kind, type, place, n FROM error_groups").fetchall()
        ((kind, error_type),) = look.execute(
            "SELECT t.kind, e.type FROM tasks t JOIN errors e ON e.task = t.seq WHERE t.status = 'failed'"
        ).fetchall()
    assert ("*", fingerprint(kind, error_type, None), kind, error_type, None, 1) in groups
    assert len(upgrade(new)) == NEWEST
    assert schema_of(path) == schema_of(new)
