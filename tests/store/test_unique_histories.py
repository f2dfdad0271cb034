"""Random histories of unique tasks agree with a small model, step by step; and the audit would see a broken key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quart_app.store.audit import audit
from quart_app.store.sqlite.backup import backup
from quart_app.store.sqlite.database import Database
from quart_app.store.tasks import SqlStore
from tests.store.kit import T, new_task
from tests.store.test_audit import Vandal
from tests.store.unique_histories import History

HISTORIES = int(os.environ.get("QUART_APP_UNIQUE_HISTORIES", "8"))


@pytest.mark.parametrize("number", range(HISTORIES))
async def test_a_history_is_as_the_model_says(store: SqlStore, database_path: Path, number: int) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")  # pytest shows it when the test fails
    history = History(store, database_path, seed)
    for _ in range(60):
        await history.step()


@pytest.mark.parametrize(
    ("fault", "finding"),
    [
        ("DELETE FROM unique_keys WHERE key = 'one'", "is not held by task"),
        ("UPDATE unique_keys SET ahead = NULL WHERE key = 'two'", "waits for none"),
        ("UPDATE unique_keys SET task_id = 'nobody' WHERE key = 'one'", "not there or has ended"),
        ("UPDATE unique_keys SET ahead = 'nobody' WHERE key = 'two'", "not there or has ended"),
        ("UPDATE unique_keys SET owner = 'ann' WHERE key = 'one'", "that has another one"),
        ("UPDATE tasks SET waiting_for = NULL WHERE waiting_for = 'unique_key'", "does not wait for the one ahead"),
        ("UPDATE tasks SET unique_key = 'three' WHERE unique_key = 'one'", "that has another one"),
        ("UPDATE tasks SET fence = 1, attempt = 1 WHERE waiting_for = 'unique_key'", "one behind that did"),
    ],
)
async def test_the_audit_finds_a_key_that_belongs_to_nobody(
    store: SqlStore, database: Database, database_path: Path, tmp_path: Path, fault: str, finding: str
) -> None:
    await store.enqueue([new_task(unique_key="two")])
    await store.claim({"default": 1}, T)
    await store.enqueue([new_task(unique_key="two", on_duplicate="replace"), new_task(unique_key="one", delay=5)])
    backup(database_path, tmp_path / "copy.db")
    report = audit(tmp_path / "copy.db")
    assert report.findings == []
    assert report.checked["unique keys"] == 2
    Vandal(tmp_path / "copy.db")(fault)
    assert [line for line in audit(tmp_path / "copy.db").findings if finding in line]
