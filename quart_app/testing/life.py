"""One life of the service in the kit: the runtime of production, of which nothing runs by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any, Final

from quart_app.core.lifecycle import SUSPECT_CRASHES
from quart_app.core.task import Claimed, Task, TaskFilter
from quart_app.engine.registry import Declared
from quart_app.engine.upkeep.recovery import CHUNK
from quart_app.runtime import Runtime
from quart_app.settings import Settings
from quart_app.store.at_once import ReadAtOnce
from quart_app.store.claim_one import claim_one
from quart_app.tasks import BUILT_IN
from quart_app.testing.clock import VirtualClock
from quart_app.testing.context import KitContext
from quart_app.testing.script import Script

log = logging.getLogger("quart_app.testing")

PATIENCE: Final = 1.0  # seconds of real time in which a run has the others wait for it
MANY: Final = 2**31
MOST_QUEUES: Final = 1000


class Life(Runtime):
    """Dispatcher, poller and scheduler do not run: the kit does their work when it is told to. `die` ends a life as
    kill -9 does: what is not committed is lost, and what runs stays `processing`."""

    clock: VirtualClock

    def __init__(self, settings: Settings, kinds: Iterable[Declared], clock: VirtualClock, script: Script) -> None:
        """Raises ConfigError."""
        self._declared_here = list(kinds)
        self._script = script
        self._rotation: dict[str, None] = {}  # queues in which a task may be claimed, those notified first are first
        self._suspects = True
        self._parents_ended = True
        self._opens: int | None = None  # when the next limit gives way, in ms since the boot
        self.running: set[asyncio.Task[None]] = set()
        self.broken: list[str] = []
        self.died: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        super().__init__(settings, self._spawn_run, self._declared_here, clock, self.broken.append)
        self.reader = ReadAtOnce(settings.database_path)

    # --- its beginning and its end

    async def _open_database(self) -> None:
        self._db = await self._storage.open()  # without the warning of what a power cut may lose

    async def _recall_times(self) -> None:
        pass  # its clock is right, also after a crash

    def _build_engine(self) -> None:
        super()._build_engine()
        self.runner.make_context = partial(KitContext, self._script, self)
        self.runner.on_free = lambda task: None  # the dispatcher's; it counts no slots here
        self.runner.on_over = lambda: None
        self.runner.on_headway = lambda task: None

    async def _recover(self) -> None:
        await super()._recover()
        self._rotation.update(dict.fromkeys(sorted(await self.store.ready_queues(MOST_QUEUES))))
        given = {id(one) for one in self._declared_here}
        # Those of the service itself would fill every test with hourly tasks.
        await self.schedules.declare(kind for kind in self.registry if id(kind) in given or kind not in BUILT_IN)

    async def _start_loops(self) -> None:
        self._feed_loop.start()  # for who follows events over HTTP

    async def _start_dispatcher(self) -> None:
        pass

    @property
    def dead(self) -> bool:
        return self.died.done()

    def die(self, why: str) -> None:
        if not self.dead:
            log.info("killed %s", why)
            self._db.abandon()
            self.died.set_result(None)

    async def end(self) -> None:
        """Free what it holds. A dead one can write nothing more; what runs is interrupted."""
        for run in self.running if self.dead else ():
            run.cancel()
        await self.close()
        if self.running:  # `close` has waited for them
            await asyncio.wait(self.running, timeout=PATIENCE)

    # --- wake-ups of the store, which go to the dispatcher in production

    def task_coming(self, queue: str) -> None:
        self._rotation.setdefault(queue)

    def task_ready(self, queue: str, suspect: bool = False) -> None:
        if suspect:
            self._suspects = True
        else:
            self._rotation.setdefault(queue)

    def held_back(self, asked: Collection[str], queues: Collection[str], opens: int | None) -> None:
        self._opens = opens
        if opens is not None and opens <= self._up:  # the claim has not looked at all of them
            self._rotation.update(dict.fromkeys([*asked, *queues]))

    def place_freed(self) -> None:
        pass  # each claim looks at all queues before it finds nothing

    def parent_ended(self) -> None:
        self._parents_ended = True

    # --- what the kit does

    @property
    def _up(self) -> int:
        return int(self.clock.monotonic() * 1000)

    async def settle(self) -> None:
        """Make ready, or fail, what is due by now; and let the ends of parents reach their children."""
        now = self.clock.now()
        while self._parents_ended:
            self._parents_ended = False
            while await self.family.run_once(now) is not None:
                pass
        while (due := await self.store.next_due()) is not None and due <= now:
            expired, ready = await self.store.expire(now, CHUNK), await self.store.make_ready(now, CHUNK)
            if not expired and not ready:
                break

    async def fire_schedules(self) -> None:
        """Make the tasks of the schedules whose time has come."""
        if self.settings.schedules:
            while await self._scheduler.run_once(self.clock.now()) == 0.0:
                pass

    async def next_moment(self, schedules: bool) -> int | None:
        """When something becomes due next, in ms UTC; None: nothing does. `settle` comes before."""
        now = self.clock.now()
        found = [await self.store.next_due(), self._next_opening()]
        if schedules and self.settings.schedules:
            found.append(await self._schedule_store.next_fire())
        return min((at for at in found if at is not None and at > now), default=None)

    async def next_start(self, queue: str | None) -> int | None:
        """When a task that waits for time alone may start next: a delay, a retry, a sleep, a limit by time. Not the end
        of a wait for a signal. In ms UTC; None: there is none."""
        now = self.clock.now()
        if queue is None:
            ((delayed, _, _),) = await self._db.read(self._db.text("next_due"), {})
            found = [delayed, self._next_opening()]
        else:
            pending = self.reader.find(TaskFilter(status="pending", queue=queue))
            found = [one.run_at for one in pending if one.waiting_for in (None, "time")]
            if any((one.waiting_for or "").startswith("limit:") for one in pending):
                found.append(self._next_opening())
        return min((at for at in found if at is not None and at > now), default=None)

    def _next_opening(self) -> int | None:
        return None if self._opens is None else self.clock.now() + self._opens - self._up

    async def claim(self, queue: str | None) -> Claimed | None:
        """Claim the next task that may run, of this queue or of all in turn; None: there is none."""
        while wanted := [name for name in self._rotation if queue in (None, name)]:
            del self._rotation[wanted[0]]  # before the claim: a notice during it puts the queue back, at the end
            if (claimed := await self._claim_from(wanted[0])) is not None:
                return claimed
        for name in sorted(await self.store.ready_queues(MOST_QUEUES)):
            if queue in (None, name) and (claimed := await self._claim_from(name)) is not None:
                return claimed
        return await self._claim_suspect(queue) if self._suspects else None

    async def _claim_from(self, queue: str) -> Claimed | None:
        claimed = await self.store.claim({queue: 1}, self.clock.now(), self._up)
        if not claimed:
            return None
        self._rotation.setdefault(queue)  # there may be more
        return claimed[0]

    async def _claim_suspect(self, queue: str | None) -> Claimed | None:
        now = self.clock.now()
        if queue is None:
            claimed = await self.store.claim_suspects(SUSPECT_CRASHES, MANY, 1, now, self._up)
            self._suspects = bool(claimed)
            return claimed[0] if claimed else None
        for one in self.reader.find(TaskFilter(status="pending", queue=queue)):
            if one.crashes >= SUSPECT_CRASHES and one.run_at <= now and one.waiting_for is None:
                return await self.claim_this(one)
        return None

    async def claim_this(self, task: Task) -> Claimed:
        """Claim a task that is pending and due, whatever limits and pauses say."""
        now, version = self.clock.now(), self.settings.code_version or None
        return await claim_one(self._db, self.store.worker, task.seq, now, version)

    def start(self, task: Claimed) -> None:
        """Run a claimed task; its run is in `running` until its end is recorded."""
        self._spawn(self.runner.run, self.runner.prepare(task))

    def _spawn_run(self, function: Callable[..., Any], *args: Any) -> None:
        self.running.add(asyncio.get_running_loop().create_task(function(*args), name="kit-run"))

    async def wait(self) -> bool:
        """Until a run has ended or the service has died; False: the patience with the runs is over before that."""
        ended, _ = await asyncio.wait([*self.running, self.died], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        for run in [one for one in self.running if one.done()]:
            self.running.discard(run)
            run.result()  # it never raises, whatever a handler does
        if self.broken:
            raise RuntimeError(f"the store of the kit is broken: {self.broken[0]}")
        return bool(ended)
