"""SQLite as the store drives it: its settings, its failures, and what is left when it closes."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from quart_app.clock import SystemClock
from quart_app.core.errors import ReadTooLong, StoreClosed, StoreUnavailable
from quart_app.core.task import TaskFilter
from quart_app.engine.retry_store_call import retry_store_call
from quart_app.store import migrate, statements
from quart_app.store.protocols.tasks import Store
from quart_app.store.sqlite import database as sqlite
from quart_app.store.sqlite.database import Database
from quart_app.store.tasks import SqlStore
from tests.store.kit import Bells, Sql, T, claimed, new_task, open_database
from tests.store.soundness import assert_sound

ENDLESS = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) FROM c"


class Opened:
    """A store whose writing connection is at hand."""

    def __init__(self, path: Path) -> None:
        self.bells = Bells()
        self.database = Database(path, "FULL", self.bells.store_broken)

    async def __aenter__(self) -> Opened:
        self.writer = await self.database.connect()
        await migrate.apply(self.writer, migrate.find("sqlite"), T)
        await self.database.start()
        self.store = SqlStore(self.database, "worker-a", self.bells)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.database.close()

    async def pragma(self, text: str) -> object:
        rows = list(await self.writer.execute_fetchall(f"PRAGMA {text}"))
        return rows[0][0] if rows else None


async def test_the_writing_connection_is_set_up_as_promised(database_path: Path) -> None:
    async with Opened(database_path) as opened:
        expected = {
            "journal_mode": "wal",
            "synchronous": 2,
            "foreign_keys": 1,
            "trusted_schema": 0,
            "cell_size_check": 1,
            "wal_autocheckpoint": 1000,
            "journal_size_limit": 67_108_864,
            "temp_store": 2,
            "application_id": migrate.APPLICATION_ID,
        }
        assert {name: await opened.pragma(name) for name in expected} == expected
        timeout = await opened.pragma("busy_timeout")
        assert isinstance(timeout, int)
        assert 0 < timeout <= 5000, "another program's lock costs a wait, and a bounded one"


@pytest.mark.parametrize(("synchronous", "value"), [("FULL", 2), ("NORMAL", 1)])
async def test_durability_is_what_the_setting_says(database_path: Path, synchronous: str, value: int) -> None:
    database = Database(database_path, synchronous, print)
    connection = await database.connect()
    ((found,),) = await connection.execute_fetchall("PRAGMA synchronous")
    await database.close()
    assert found == value


@pytest.mark.parametrize("method", ["read", "scan"])
async def test_readers_cannot_write(store: Store, database: Database, method: str) -> None:
    with pytest.raises(StoreUnavailable, match="readonly"):
        await getattr(database, method)("UPDATE probe SET n = 1", {})


async def test_a_read_that_takes_too_long_is_given_up_and_the_next_one_works(
    store: Store, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "MAX_READ_SECONDS", 0.02)
    with pytest.raises(StoreUnavailable, match="interrupted"):
        await database.scan(ENDLESS, {})
    assert await store.find(TaskFilter()) == []


async def test_the_statement_of_a_caller_who_goes_away_ends_with_him(
    store: Store, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "MAX_READ_SECONDS", 1000)
    for turns in (1, 2, 50):
        callers = [asyncio.create_task(database.scan(ENDLESS, {})) for _ in range(2 * sqlite.SCANNERS)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for _ in range(2):  # a caller may be cancelled again while he waits for the end
            for caller in callers:
                caller.cancel()
            await asyncio.sleep(0)
        done = await asyncio.wait_for(asyncio.gather(*callers, return_exceptions=True), 20)
        assert all(isinstance(one, asyncio.CancelledError) for one in done)
        found = [asyncio.create_task(store.find(TaskFilter())) for _ in range(2 * sqlite.SCANNERS)]
        assert await asyncio.wait_for(asyncio.gather(*found), 20) == [[]] * len(found)


async def test_callers_who_go_away_do_not_move_the_time_limit_of_others(
    store: Store, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "SCANNERS", 1)
    del database._scanners[1:]
    monkeypatch.setattr(sqlite, "MAX_READ_SECONDS", 0.5)
    patient = asyncio.create_task(database.scan(ENDLESS, {}))
    ends = asyncio.get_running_loop().time() + 20
    while not patient.done():
        assert asyncio.get_running_loop().time() < ends, "the others have moved its limit"
        hasty = asyncio.create_task(database.scan(ENDLESS, {}))
        await asyncio.wait([patient], timeout=0.1)
        hasty.cancel()
    assert isinstance(patient.exception(), ReadTooLong)


async def test_a_read_that_took_too_long_is_not_repeated_and_other_trouble_is(
    store: Store, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "MAX_READ_SECONDS", 0.02)
    with pytest.raises(ReadTooLong, match="took longer than"):
        await retry_store_call(lambda: database.scan(ENDLESS, {}), SystemClock())
    tries = 0

    async def busy_once() -> int:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise StoreUnavailable("busy")
        return tries

    assert await retry_store_call(busy_once, SystemClock()) == 2


async def test_a_slow_listing_does_not_hold_up_a_look_at_one_task(
    store: Store, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "MAX_READ_SECONDS", 1000)
    task = await claimed(store)
    slow = [asyncio.create_task(database.scan(ENDLESS, {})) for _ in range(3)]
    await asyncio.sleep(0)
    assert await store.get(task.id) is not None
    await store.complete(task.id, task.fence, "1", T)
    assert not any(one.done() for one in slow)
    monkeypatch.setattr(sqlite, "MAX_READ_SECONDS", 0)
    for scanner in database._scanners:
        scanner._ends = 0
    done = await asyncio.gather(*slow, return_exceptions=True)
    assert all(isinstance(one, StoreUnavailable) for one in done)


async def test_a_full_disk_refuses_writes_takes_nothing_and_passes(database_path: Path) -> None:
    async with Opened(database_path) as opened:
        store, sql = opened.store, Sql(database_path)
        running = await claimed(store)
        pages = await opened.pragma("page_count")
        await opened.pragma(f"max_page_count = {pages}")
        big = '{"x":"' + "y" * 20_000 + '"}'
        answers = await asyncio.gather(
            *(store.enqueue([new_task(), new_task(args=big)]) for _ in range(10)), return_exceptions=True
        )
        assert all(isinstance(answer, StoreUnavailable) for answer in answers)
        with pytest.raises(StoreUnavailable):
            await store.complete(running.id, running.fence, big, T)
        with pytest.raises(StoreUnavailable, match="full"):
            await store.health()
        assert (await store.get(running.id)).status == "processing"  # type: ignore[union-attr]
        assert len(await store.find(TaskFilter())) == 1
        await opened.pragma("max_page_count = 1000000")
        await store.probe()
        await store.health()
        assert await store.complete(running.id, running.fence, big, T)
        assert_sound(sql)


async def test_another_programs_lock_refuses_writes_for_as_long_as_it_holds(database_path: Path) -> None:
    async with Opened(database_path) as opened:
        await opened.pragma("busy_timeout = 20")
        with closing(sqlite3.connect(database_path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answers = await asyncio.gather(
                opened.store.enqueue([new_task()]), opened.store.probe(), return_exceptions=True
            )
            assert all(isinstance(answer, StoreUnavailable) for answer in answers)
            assert await opened.store.find(TaskFilter()) == []
            other.execute("ROLLBACK")
        await opened.store.enqueue([new_task()])
        assert opened.bells.heard == [("ready", "default", False)], "and nothing was declared broken"


async def test_a_broken_database_takes_no_more_writes_and_says_so_once(
    store: Store, database: Database, bells: Bells
) -> None:
    await store.enqueue([new_task()])
    bells.take()
    database.declare_broken("the file was replaced")
    database.declare_broken("again")
    assert bells.take() == [("broken", "the file was replaced")]
    with pytest.raises(StoreClosed, match="replaced"):
        await store.enqueue([new_task()])
    with pytest.raises(StoreUnavailable, match="replaced"):
        await store.health()


def overwrite_all_but_the_first_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xee" * (path.stat().st_size - 4096))


async def test_damage_under_a_running_server_is_declared(database_path: Path) -> None:
    async with Opened(database_path) as opened:
        await opened.store.enqueue([new_task() for _ in range(50)])
        await opened.pragma("wal_checkpoint(TRUNCATE)")
        await opened.pragma("cache_size = 0")
        await opened.pragma("shrink_memory")
        overwrite_all_but_the_first_page(database_path)
        with pytest.raises(StoreUnavailable):
            await opened.store.enqueue([new_task()])
        assert [heard[0] for heard in opened.bells.take()][-1] == "broken"
        with pytest.raises(StoreClosed):
            await opened.store.probe()


async def test_too_many_waiting_writes_are_refused_and_the_others_are_done(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "MAX_WAITING", 20)
    answers = await asyncio.gather(*(store.enqueue([new_task()]) for _ in range(100)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert refused
    assert all(isinstance(error, StoreUnavailable) for error in refused)
    assert sum(count.n for count in await store.counts()) == 100 - len(refused)


async def test_more_than_one_transactions_worth_of_writes_is_done_in_order(
    store: Store, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "MAX_TURN", 10)
    tasks = [new_task() for _ in range(95)]
    await asyncio.gather(*(store.enqueue([task]) for task in tasks))
    assert [row[0] for row in sql("SELECT id FROM tasks ORDER BY seq")] == [task.id for task in tasks]


async def test_a_wake_up_that_fails_harms_neither_the_write_nor_its_neighbours(
    store: Store, bells: Bells, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def notify(queue: str, suspect: bool = False) -> None:
        raise RuntimeError("no bell")

    monkeypatch.setattr(bells, "task_ready", notify)
    made = await asyncio.gather(*(store.enqueue([new_task()]) for _ in range(3)))
    assert len(made) == 3
    assert "a wake-up failed" in caplog.text


async def test_closing_writes_what_waits_refuses_what_comes_and_ends_every_thread(database_path: Path) -> None:
    before = set(threading.enumerate())
    bells = Bells()
    database = await open_database(database_path, bells)
    store = SqlStore(database, "w", bells)
    waiting = [asyncio.create_task(store.enqueue([new_task()])) for _ in range(30)]
    await asyncio.sleep(0)
    await database.close()
    assert len(await asyncio.gather(*waiting)) == 30
    with pytest.raises(StoreClosed):
        await store.enqueue([new_task()])
    for reading in (store.get("x"), store.find(TaskFilter()), store.counts(), store.next_due()):
        with pytest.raises(StoreUnavailable):
            await reading
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=10)
    assert set(threading.enumerate()) <= before
    assert Sql(database_path)("SELECT count(*) FROM tasks") == [(30,)]


async def test_a_database_that_cannot_be_opened_leaves_no_thread_behind(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    for path in (tmp_path / "absent" / "tasks.db", tmp_path):
        with pytest.raises(Exception, match=r"cannot (open|write)"):
            await Database(path, "FULL", print).connect()
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"x" * 10_000)
    with pytest.raises(Exception, match="cannot write"):
        await Database(garbage, "FULL", print).connect()
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=10)
    assert set(threading.enumerate()) <= before


FAIL_TO_OPEN = """
import asyncio, sys
from pathlib import Path
from quart_app.core.errors import StoreBroken
from quart_app.store.sqlite.database import Database
for _ in range(100):
    try:
        asyncio.run(Database(Path(sys.argv[1]), "FULL", print).connect())
    except StoreBroken:
        pass
"""


def test_a_database_that_cannot_be_opened_is_reported_without_a_traceback_of_its_thread(tmp_path: Path) -> None:
    # The connection's thread must not outlive the loop it answers to.
    command = [sys.executable, "-c", FAIL_TO_OPEN, str(tmp_path / "absent" / "tasks.db")]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_named_statement_is_used_and_every_used_one_exists() -> None:
    room = Path(statements.__file__).parent
    source = "".join(path.read_text() for path in room.rglob("*.py"))
    for name in statements.load("sqlite"):
        family = any(
            name.startswith(prefix) for prefix in ("when_", "task_", "schedule_", "forgotten_", "wakes", "held_by")
        )  # named by an f-string, or included
        assert family or f'"{name}"' in source, f"{name} is never run"
