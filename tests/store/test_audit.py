"""The audit finds nothing in a database that the store wrote, and each fault that was planted in one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from quart_app.core.audit_acts import Act
from quart_app.core.errors import ConfigError, StoreBroken
from quart_app.core.keys import Key, hashed
from quart_app.core.task import STATUSES
from quart_app.store import audit as audit_module
from quart_app.store import audit_reader
from quart_app.store.audit import CHILDREN, audit
from quart_app.store.keys import SqlActs, SqlKeys
from quart_app.store.protocols.tasks import Store
from quart_app.store.sqlite.backup import backup
from quart_app.store.sqlite.database import Database
from tests.store.kit import T, claimed, crashed, in_status, keyed


@pytest.fixture
async def busy(store: Store, database: Database) -> Store:
    """A store with a task in each status, with everything that hangs on tasks, and longer lives."""
    for status in STATUSES:
        await in_status(store, status, tags=("a", "b"))
    long = await claimed(store, queue="long", args=f'{{"text":"{"x" * 500}"}}')
    await store.record_step(long.id, long.fence, "s", "1", 1, T, False)
    await store.progress(long.id, long.fence, 1, 2, "half", T)
    await store.log(long.id, long.fence, '{"message":"m"}', T)
    await store.complete(long.id, long.fence, f'"{"y" * 500}"', T)
    again = await in_status(store, "failed", queue="again")
    await store.rerun(again.id, False, T)
    await crashed(store, await claimed(store, queue="unlucky"), 2)
    await store.enqueue([keyed("k")])
    keys = SqlKeys(database)
    act = Act(at=T, act="key.add", actor="operator", target="ann", last_at=T)
    await keys.add_key(Key("ann", hashed("a"), ("read",), T, None, "store", T + 9, ("echo",)), act)
    await SqlActs(database).put_acts([Act(at=T, act="key.refused", peer="192.0.2.1", times=7, last_at=T + 5)])
    return store


@pytest.fixture
def path(busy: Store, database_path: Path, tmp_path: Path) -> Path:
    """A copy of it, to plant faults in."""
    backup(database_path, tmp_path / "copy.db")
    return tmp_path / "copy.db"


class Vandal:
    """Writes past every guard of the schema."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, statement: str) -> None:
        with closing(sqlite3.connect(self._path, timeout=10, isolation_level=None)) as connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
            connection.execute("BEGIN IMMEDIATE")
            for name, _ in triggers:
                connection.execute(f"DROP TRIGGER {name}")
            assert connection.execute(statement).rowcount > 0, "the fault was planted"
            for _, text in triggers:
                connection.execute(text)
            connection.execute("COMMIT")


def test_a_database_that_the_store_wrote_is_clean(path: Path) -> None:
    report = audit(path)
    assert report.findings == []
    assert report.skipped == []
    assert report.checked["tasks"] == len(STATUSES) + 4
    assert report.checked["status events"] > 20
    assert report.checked["idempotency keys"] == 1
    assert (report.checked["API keys"], report.checked["acts"]) == (1, 2)
    assert report.checked["counters"] > 5
    assert report.checked["integrity check"] == 1


def test_the_ranges_join_without_a_gap(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = audit(path).checked
    for size in (1, 2, whole["tasks"]):
        monkeypatch.setattr(audit_module, "CHUNK", size)
        assert audit(path).checked == whole


ONE = "(SELECT seq FROM tasks WHERE status = '{}' LIMIT 1)"

FAULTS = {
    "no worker": ("UPDATE tasks SET worker = NULL WHERE status = 'processing'", "worker"),
    "a worker too many": ("UPDATE tasks SET worker = 'w' WHERE status = 'completed'", "worker"),
    "no end": ("UPDATE tasks SET completed_at = NULL WHERE status = 'failed'", "time of its end"),
    "an end too early": ("UPDATE tasks SET completed_at = created_at - 1 WHERE status = 'completed'", "out of order"),
    "ready and ended": ("UPDATE tasks SET ready = 1 WHERE status = 'cancelled'", "is ready"),
    "waiting and ended": ("UPDATE tasks SET waiting_for = 'kind:x' WHERE status = 'completed'", "waits for"),
    "an attempt too many": ("UPDATE tasks SET attempt = 9 WHERE status = 'completed'", "attempts or crashes"),
    "a delay below zero": ("UPDATE tasks SET delay_ms = -1 WHERE status = 'completed'", "a delay that cannot be"),
    "a status nobody knows": ("UPDATE tasks SET status = 'lost' WHERE status = 'completed'", "is lost by complete"),
    "a status of its own": ("UPDATE tasks SET status = 'failed' WHERE queue = 'long'", "its last event says completed"),
    "no args": (f"UPDATE tasks SET args = NULL WHERE seq = {ONE.format('completed')}", "args in 0 places"),
    "args twice": (f"INSERT INTO args SELECT seq, '{{}}' FROM tasks WHERE seq = {ONE.format('completed')}", "in 2 pl"),
    "no result": ("UPDATE tasks SET result = NULL WHERE status = 'completed' AND result IS NOT NULL", "0 results"),
    "a result too early": ("UPDATE tasks SET result = '1' WHERE status = 'processing'", "1 results"),
    "failed without an error": ("DELETE FROM errors", "no error"),
    "a tag without its index": (f"DELETE FROM tags WHERE task = {ONE.format('completed')}", "tags"),
    "no events": (f"DELETE FROM events WHERE task = {ONE.format('completed')}", "no status events"),
    "a gap": ("DELETE FROM events WHERE cause = 'claim' AND attempt = 1 AND status = 'processing'", "by complete"),
    "no beginning": ("DELETE FROM events WHERE cause = 'enqueue'", "begins with"),
    "no end of the chain": ("DELETE FROM events WHERE status = 'completed'", "its last event says processing"),
    "two ends": (
        "INSERT INTO events (task, at, name, status, cause, attempt) SELECT task, at, name, status, cause, attempt"
        " FROM events WHERE status = 'completed'",
        "went from completed by complete to completed",
    ),
    "a claim nobody counted": ("UPDATE tasks SET fence = 5 WHERE status = 'completed'", "claimed 5 times"),
    "a transition without its event": ("UPDATE tasks SET version = version + 1", "transitions"),
    "a counter that drifted": ("UPDATE counters SET n = n + 1 WHERE status = 'failed' AND n > 0", "counter"),
    "a counter that is gone": ("DELETE FROM counters WHERE status = 'completed'", "says 0"),
    "a task without its counter": ("DELETE FROM tasks WHERE status = 'completed'", "counter"),
    "a failure in no group": ("DELETE FROM failures", "stands in no group"),
    "a failure that is none": (
        "UPDATE failures SET task = (SELECT max(seq) + 1 FROM tasks)",
        "not failed or not there",
    ),
    "a failure of another owner": ("UPDATE failures SET owner = 'eve'", "another owner or time"),
    "a failure in another group": ("UPDATE failures SET fingerprint = 'x'", "another group"),
    "a group that drifted": ("UPDATE error_groups SET n = n + 1", "of everybody: says"),
    "a group that is gone": ("DELETE FROM error_groups", "says None"),
    "a group of another time": ("UPDATE error_groups SET last_at = last_at + 1", "of everybody: says"),
    "a task among the deleted ones": ("INSERT INTO deleted_tasks SELECT min(seq) FROM tasks", "among the deleted"),
    "one secret twice": ("UPDATE api_keys SET old_hash = hash, old_until = 9", "one secret twice"),
    "an old secret without an end": ("UPDATE api_keys SET old_hash = 'x'", "without an end"),
    "a revoked key with an old secret": (
        "UPDATE api_keys SET old_hash = 'x', old_until = 9, revoked_at = 9",
        "is revoked",
    ),
    "a key that was over before it began": ("UPDATE api_keys SET expires_at = created_at", "before it was made"),
    "kinds that cannot be read": ("UPDATE api_keys SET kinds = '[\"'", "cannot be read"),
    "an act that counts": ("UPDATE audit_log SET times = 2 WHERE refusal = 0", "audit log"),
    "a refusal among the acts": ("UPDATE audit_log SET refusal = 0 WHERE refusal = 1", "audit log"),
    "somebody else's key": ("UPDATE idempotency_keys SET owner = 'eve'", "another owner"),
}
ORPHANS = {
    "args": "INSERT INTO args VALUES ({}, '{{}}')",
    "results": "INSERT INTO results VALUES ({}, '1')",
    "progress": "INSERT INTO progress VALUES ({}, 1, 0, 0, NULL)",
    "steps": "INSERT INTO steps VALUES ({}, 's', 'step', 1, 0, 1, 1, '1')",
    "signals": "INSERT INTO signals (task, name, at, data) VALUES ({}, 'go', 0, '1')",
    "errors": "INSERT INTO errors VALUES ({}, 1, 1, 0, 'E', 'm', 0, NULL, NULL, NULL)",
    "tags": "INSERT INTO tags VALUES ('t', {})",
    "crash_groups": "INSERT INTO crash_groups VALUES ({}, 'w')",
    "events": "INSERT INTO events (task, at, name, status, cause, attempt) VALUES ({}, 0, 'log', 'pending', 'x', 0)",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(path: Path, fault: str) -> None:
    statement, words = FAULTS[fault]
    Vandal(path)(statement)
    findings = audit(path).findings
    assert [line for line in findings if words in line], findings


def test_every_table_that_hangs_on_tasks_has_its_orphan() -> None:
    assert set(ORPHANS) == set(CHILDREN)


@pytest.mark.parametrize("table", ORPHANS)
@pytest.mark.parametrize("seq", [0, 10**18])
def test_an_orphan_row_is_found_wherever_it_lies(path: Path, table: str, seq: int) -> None:
    Vandal(path)(ORPHANS[table].format(seq))
    assert audit(path).findings == [f"{table}: rows of a task that does not exist (number {seq})"]


def test_a_broken_index_is_found(path: Path) -> None:
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = replace(sql, '(kind, seq)', '(queue, seq)') WHERE name = 'tasks_by_kind'"
        )
        connection.commit()
    assert [line for line in audit(path).findings if line.startswith("integrity: ")]


def test_a_page_of_noise_is_a_finding_and_no_traceback(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events'").fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)
    assert [line for line in audit(path).findings if "restore FILE" in line]


def test_many_findings_are_cut_off_with_a_word(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_module, "MAX_FINDINGS", 3)
    Vandal(path)("UPDATE tasks SET version = version + 1")
    findings = audit(path).findings
    assert len(findings) == 4
    assert findings[3].startswith("more than 3")


def test_what_takes_too_long_beside_a_writer_is_skipped_with_a_word(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_reader, "MAX_SNAPSHOT", -1.0)
    monkeypatch.setattr(audit_reader, "OPERATIONS", 1)
    writes = iter(range(10**9))
    monkeypatch.setattr(audit_reader.Reader, "_last_write", lambda _: next(writes))
    report = audit(path)
    assert report.findings == []
    skipped = [line.partition(":")[0] for line in report.skipped]
    assert skipped == ["families", "unique keys", "lanes", "failures", "counters", "integrity"]
    assert report.checked["tasks"] == len(STATUSES) + 4, "one by one, each in a snapshot of its own"


def test_an_audit_beside_an_open_store_changes_nothing(busy: Store, database_path: Path) -> None:
    files = (database_path, database_path.with_name("tasks.db-wal"))
    before = [file.read_bytes() for file in files]
    assert audit(database_path).findings == []
    assert [file.read_bytes() for file in files] == before


def test_only_a_database_of_this_version_is_audited(tmp_path: Path, path: Path) -> None:
    with pytest.raises(StoreBroken, match="no database"):
        audit(tmp_path / "nothing.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 0")
    with pytest.raises(ConfigError, match="migrate"):
        audit(path)
