"""All that acts on planned times, in one life of a server after another, with clocks that the test moves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from quart_app.clock import ClockTrust
from quart_app.core.task import TaskError
from quart_app.engine.outbound_limits import OutboundLimits
from quart_app.engine.registry import Registry
from quart_app.engine.upkeep.poller import Poller
from quart_app.engine.upkeep.retention import Retention
from quart_app.engine.upkeep.scheduler import Scheduler
from quart_app.process.files import Files
from quart_app.service.client_limits import ClientLimit
from quart_app.service.schedules import Schedules
from quart_app.service.tasks import TaskService
from quart_app.service.uploads import FOLDER, Uploads
from quart_app.settings import Settings
from quart_app.store.limits import SqlLimits
from quart_app.store.protocols.tasks import Store
from quart_app.store.schedules import SqlSchedules
from quart_app.store.sqlite.database import Database
from quart_app.store.tasks import SqlStore
from quart_app.store.uploads import SqlUploads
from tests.clock import VirtualClock
from tests.store.kit import Bells
from tests.upkeep.plant import tick

HOUR = 3600
DAY = 24 * HOUR
ERROR = TaskError(type="ValueError", message="no")
RETENTION = HOUR
KEYS_KEPT = HOUR
CLIENT_WINDOW = HOUR


@dataclass
class Step:
    """What happens to the wall clock: it is set by `seconds`, for good or only `lasts` so long."""

    seconds: int
    lasts: int | None = None

    def __str__(self) -> str:
        hours = f"{self.seconds / HOUR:+g} h"
        return hours if self.lasts is None else f"{hours} for {self.lasts} s"


STEPS = [Step(2 * HOUR), Step(-2 * HOUR), Step(30 * DAY, lasts=5)]


class Life(Bells):
    """`live` lets time pass, and each second of it everybody does what they do in a server."""

    def __init__(self, database: Database, clock: VirtualClock, folder: Path, **settings: int) -> None:
        super().__init__()
        self.store: Store = SqlStore(database, "worker-a", self)
        self.database, self.clock, self.folder = database, clock, folder
        chosen = {"retention_seconds": RETENTION, "idempotency_seconds": KEYS_KEPT, "retention_rows": 0, **settings}
        self.settings = Settings(**chosen)
        self.ready_at: list[int] = []  # the seconds, by the clock that never steps, after which a task was ready
        self.rung: list[str] = []  # queues whose tasks may be claimed again
        self.seconds = 0
        self._wire(ClockTrust(clock))

    def _wire(self, trust: ClockTrust) -> None:
        store, clock, settings = self.store, self.clock, self.settings
        self.service = TaskService(store, Registry([tick]), clock, settings)
        self.service.trust = trust
        self.poller = Poller(store, trust=trust, notify=self.rung.append)
        self.pruner = Retention(store, settings.retention_seconds, settings.retention_rows, trust)
        uploads, plans = SqlUploads(self.database), SqlSchedules(self.database, self)
        self.uploads = Uploads(uploads, Files(self.folder), self.folder / FOLDER, clock, trust)
        self.schedules = Schedules(plans, self.service, clock, uploads.find_upload)
        self.scheduler = Scheduler(plans, self.service, trust)
        self.clients = ClientLimit(SqlLimits(self.database), clock, 2, CLIENT_WINDOW, trust)
        self.limits = OutboundLimits(SqlLimits(self.database), clock)
        trust.on_step_back += [self.poller.clock_set_back, self.scheduler.clock_set_back]

    def task_due_at(self, at: int) -> None:
        self.poller.due_at(at)

    def schedule_due_at(self, at: int) -> None:
        self.scheduler.due_at(at)

    async def restart(self) -> None:
        """Another process, on what this one has left."""
        await self.limits.close()
        trust = ClockTrust(self.clock)
        newest = await self.store.last_event()
        trust.begin(max([one.event.at for one in await self.store.feed(newest - 1, newest, 1)], default=0))
        self._wire(trust)
        await self.limits.load()
        await self.clients.load()
        self.scheduler.clock_set_back()

    async def turn(self) -> None:
        for one in (self.poller, self.scheduler, self.pruner, self.uploads, self.clients):
            while (await one.run_once(self.clock.now())) in (0.0, 0.05):
                pass
        await self.limits.run_once(self.clock.now())
        if self.limits._settling is not None:
            await self.limits._settling

    async def live(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1)
            self.seconds += 1
            await self.turn()
            ready = sum(count.n for count in await self.store.counts() if count.ready)
            self.ready_at += [self.seconds] * (ready - len(self.ready_at))

    async def endure(self, step: Step, down: bool) -> None:
        """The step; `down`: the server was down when it came, and starts after it."""
        if down:
            self.clock.step(step.seconds)
            await self.restart()
        else:
            await self.turn()
            self.clock.step(step.seconds)
        await self.turn()
        if step.lasts is not None:
            await self.live(step.lasts)
            self.clock.step(-step.seconds)
            await self.turn()
