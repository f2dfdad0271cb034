"""A store with what suspends tasks, and shortcuts into families and waits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from quart_app.core.flow import ForChildren, Record
from quart_app.core.task import Claimed
from quart_app.store.audit import audit
from quart_app.store.flow import SqlFlow
from quart_app.store.sqlite.database import Database
from quart_app.store.tasks import SqlStore
from tests.store.kit import Bells, Sql, T, claimed, new_task, open_database
from tests.store.soundness import assert_sound

LATER = T + 50


class Kit:
    def __init__(self, path: Path, database: Database, bells: Bells) -> None:
        self.path = path
        self.bells = bells
        self.store = SqlStore(database, "worker-a", bells)
        self.flow = SqlFlow(database, bells)
        self.sql = Sql(path)

    async def parent(self, children: int = 2, detached: bool = False, **changes: Any) -> tuple[Claimed, list[str]]:
        """A running parent, and its children."""
        run = await claimed(self.store, **changes)
        return run, await self.spawn(run, children, detached)

    async def spawn(self, run: Claimed, children: int = 2, detached: bool = False, name: str = "kids") -> list[str]:
        made = [new_task(T, queue="children") for _ in range(children)]
        record = Record(name, "children", msgspec.json.encode([child.id for child in made]).decode(), 1)
        assert await self.flow.spawn(run.id, run.fence, record, made, detached, T, False)
        return [child.id for child in made]

    async def run(self, queue: str = "children", limit: int = 9) -> list[Claimed]:
        return await self.store.claim({queue: limit}, LATER)

    async def waiting(self, children: int = 2) -> tuple[Claimed, list[str]]:
        run, ids = await self.parent(children)
        assert await self.flow.wait_for_children(run.id, run.fence, ForChildren(tuple(ids)), T) == "landed"
        return run, ids

    async def row(self, task_id: str) -> Any:
        found = await self.store.get(task_id)
        assert found is not None
        return found


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Kit]:
    """At its end everything must be sound, and `audit` must agree."""
    bells = Bells()
    database = await open_database(path, bells, synchronous="NORMAL")
    yield Kit(path, database, bells)
    assert_sound(Sql(path))
    await database.close()
    assert audit(path).findings == []


def wait_record(n: int = 1, signal: str = "go") -> Record:
    return Record(f"signal:{signal}-{n}", "wait", "null", n)
