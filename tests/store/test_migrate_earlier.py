"""A database of each schema that there ever was, with rows in it, is brought up to date and loses nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

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
    assert len(upgrade(new)) == NEWEST
    assert schema_of(path) == schema_of(new)
