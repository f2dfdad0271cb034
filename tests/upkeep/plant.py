"""A scheduler on a real store, with a clock that the test moves."""

from __future__ import annotations

from typing import Any

from quart_app.clock import ClockTrust
from quart_app.core.schedule import Schedule
from quart_app.engine import task
from quart_app.engine.registry import Registry
from quart_app.engine.upkeep.scheduler import Scheduler
from quart_app.service.schedules import Schedules
from quart_app.service.tasks import TaskService
from quart_app.settings import Settings
from quart_app.store.protocols.tasks import Store
from quart_app.store.schedules import SqlSchedules
from quart_app.store.sqlite.database import Database
from quart_app.store.uploads import SqlUploads
from tests.clock import START, VirtualClock
from tests.store.kit import Bells, Sql

MINUTE = 60
HOUR = 3600


@task("tick")
async def tick(n: int = 0) -> int:
    return n


class Plant:
    """A scheduler with all that it needs; `restart` is a new process on the same tables."""

    def __init__(self, store: Store, database: Database, clock: VirtualClock, **settings: Any) -> None:
        self.store, self.clock = store, clock
        self.schedules = SqlSchedules(database, Bells())
        self.service = TaskService(store, Registry([tick]), clock, Settings(**settings))
        self.door = Schedules(self.schedules, self.service, clock, SqlUploads(database).find_upload)
        self.restart()

    def restart(self, wary: bool = False) -> None:
        """`wary`: it believes a step of the clock when it has lasted, as a server does."""
        if not wary:
            self.scheduler = Scheduler(self.schedules, self.service)
            return
        trust = ClockTrust(self.clock)
        trust.begin(self.clock.now())
        self.scheduler = Scheduler(self.schedules, self.service, trust)
        trust.on_step_back.append(self.scheduler.clock_set_back)
        self.scheduler.clock_set_back()

    async def add(self, name: str = "s", **fields: Any) -> Schedule:
        made = await self.door.add(name, "", {"kind": "tick", **fields})
        assert made.next_at is not None
        self.scheduler.due_at(made.next_at)
        return made

    async def settle(self) -> float | None:
        while (wait := await self.scheduler.run_once(self.clock.now())) == 0.0:
            pass
        return wait

    async def tasks(self) -> int:
        return sum(count.n for count in await self.store.counts())

    async def finish(self) -> None:
        """All tasks there are end."""
        for claimed in await self.store.claim({"default": 1000}, self.clock.now()):
            await self.store.complete(claimed.id, claimed.fence, "1", self.clock.now())


def fires(sql: Sql) -> list[int]:
    """The fire times on record, in seconds since the start of the test."""
    return [(at - START) // 1000 for (at,) in sql("SELECT fire_at FROM fires ORDER BY fire_at")]
