"""No wake-up is lost and no signal taken twice, whatever the order; and each guard that this needs is needed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from quart_app.store import statements
from quart_app.store.flow import SqlFlow
from quart_app.store.tasks import SqlStore
from tests.store.flow_histories import SIGNALS, History
from tests.store.kit import Bells, Sql, open_database

HISTORIES = range(24)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[tuple[SqlStore, SqlFlow]]:
    bells = Bells()
    database = await open_database(path, bells, synchronous="NORMAL")
    try:
        yield SqlStore(database, "worker-a", bells), SqlFlow(database, bells)
    finally:
        await database.close()


async def play(folder: Path, number: int) -> list[str]:
    path = folder / f"{number}.db"
    async with opened(path) as (store, flow):
        return await History(store, flow, Sql(path), number).play()


@pytest.mark.parametrize("number", HISTORIES)
async def test_every_parent_ends_with_its_signals_in_order(tmp_path: Path, number: int) -> None:
    assert await play(tmp_path, number) == [str(n) for n in range(1, SIGNALS + 1)]


async def lost_somewhere(folder: Path) -> bool:
    for number in HISTORIES:
        try:
            if await play(folder, number) != [str(n) for n in range(1, SIGNALS + 1)]:
                return True
        except AssertionError:
            return True
        except Exception as error:  # a guard of the schema
            if "constraint" in str(error).lower() or "store cannot write" in str(error):
                return True
            raise
    return False


@pytest.mark.parametrize(
    ("statement", "guard", "instead"),
    [
        ("await_children", "AND +k.completed_at IS NULL", ""),
        ("suspend_for_children", "0) > 0 THEN", "0) >= 0 THEN"),
        ("count_awaited", "WHERE c.parent = families.parent AND c.awaited = 1", "WHERE c.parent = families.parent"),
        ("wake_signalled", "AND NOT EXISTS", "AND EXISTS"),
        ("take_signal", "OR t.waiting_for = 'signal:' || (value->>'signal')", "OR 0"),
        ("take_signal", "ORDER BY s.seq", "ORDER BY s.seq DESC"),
        ("record_signal", "SET type = 'signal'", "SET type = 'wait'"),
        ("drop_signal", "WHERE step IS NOT NULL AND dedupe IS NULL", "WHERE dedupe IS NULL"),
    ],
)
async def test_a_history_finds_a_guard_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str, guard: str, instead: str
) -> None:
    texts = statements.load("sqlite")
    assert guard in texts[statement].text
    changed = msgspec.structs.replace(texts[statement], text=texts[statement].text.replace(guard, instead))
    monkeypatch.setattr(statements, "load", lambda dialect: {**texts, statement: changed})
    assert await lost_somewhere(tmp_path)


@pytest.mark.parametrize("line", ["waits = waits -", "SET waiting_for = NULL, ready = 1"])
async def test_a_history_finds_a_trigger_that_does_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    real = History.play

    async def damaged(self: History) -> list[str]:
        ((text,),) = self.sql("SELECT sql FROM sqlite_schema WHERE name = 'tasks_child_ended'")
        assert line in text
        self.sql("DROP TRIGGER tasks_child_ended")
        self.sql(text.replace(line, "waits = waits + 0 *" if line.startswith("waits") else "SET ready = ready"))
        return await real(self)

    monkeypatch.setattr(History, "play", damaged)
    assert await lost_somewhere(tmp_path)
