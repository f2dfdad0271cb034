"""Runtime: opens the store, recovers, starts the services; drains and closes. Wires everything except HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import httpx

from quart_app import audit_log, outbound
from quart_app.audit_log import AuditLog
from quart_app.clients import ClientLimit
from quart_app.clock import Clock, ClockTrust, SystemClock
from quart_app.core import secret
from quart_app.core.errors import StoreUnavailable
from quart_app.core.task import Ended, nobody
from quart_app.files import Files
from quart_app.keys import Keys
from quart_app.maintenance import Maintenance
from quart_app.runner.dispatcher import Dispatcher, Spawn, shares
from quart_app.runner.limits import OutboundLimits
from quart_app.runner.processes import Processes
from quart_app.runner.registry import Registry, TaskKind, load_module
from quart_app.runner.runner import STOP_GRACE, Runner
from quart_app.schedules import Schedules
from quart_app.service import TaskService
from quart_app.services import sweeper
from quart_app.services.feed import Feed
from quart_app.services.loop import Loop
from quart_app.services.poller import Poller
from quart_app.services.pruner import Pruner
from quart_app.services.rescuer import CHUNK, Rescuer
from quart_app.services.rescuer import INTERVAL as INTERVAL_OF_STRAYS
from quart_app.services.scheduler import Scheduler
from quart_app.services.streams import INTERVAL, Streams
from quart_app.settings import Settings
from quart_app.store import integrity, journal, migrate
from quart_app.store.backup import sync_folder
from quart_app.store.base_users import UserStore
from quart_app.store.lock import FileLock
from quart_app.store.sql_keys import SqlActs, SqlKeys
from quart_app.store.sql_limits import SqlLimits
from quart_app.store.sql_reports import SqlReports
from quart_app.store.sql_schedules import SqlSchedules
from quart_app.store.sql_statistics import SqlStatistics
from quart_app.store.sql_store import SqlStore
from quart_app.store.sql_uploads import SqlUploads
from quart_app.store.sql_users import SqlUsers
from quart_app.store.sqlite import Database
from quart_app.store.watch import StoreWatch
from quart_app.tasks import BUILT_IN, UPKEEP
from quart_app.uploads import FOLDER, Uploads

log = logging.getLogger("quart_app")


class Runtime:
    """One process's engine. `spawn` starts a coroutine function in the background: `app.add_background_task`."""

    def __init__(
        self,
        settings: Settings,
        spawn: Spawn,
        kinds: Iterable[TaskKind[..., Any]] = (),
        clock: Clock | None = None,
        on_broken: Callable[[str], None] | None = None,
        on_end: Ended = nobody,
        idle: bool = False,
    ) -> None:
        """`idle`: accept and read tasks, and run, recover and prune none, for a command while no server runs.

        Raises ConfigError when the kinds contradict each other or a module of QUART_APP_TASKS cannot be loaded."""
        self.settings = settings
        secret.keep(settings.secret_values)
        self.files = Files(settings.data_path)
        examples = settings.examples != 0
        self.registry = Registry([*(BUILT_IN if examples else ()), *kinds])
        for name in settings.task_modules:
            self.registry.add_module(load_module(name))
        for kind in () if examples else UPKEEP:
            if self.registry.get(kind.name) is None:  # the app's own of this name is meant
                self.registry.add(kind)
        self.clock: Clock = clock or SystemClock()
        self.trust = ClockTrust(self.clock)
        self.draining = asyncio.Event()
        self.started_at = self.clock.monotonic()
        self._spawn = spawn
        self.idle = idle
        self._on_broken = on_broken or (lambda reason: log.critical("the store is broken: %s", reason))
        self._on_end = on_end
        self._lock = FileLock(settings.database_path)
        self._upkeep: set[asyncio.Task[None]] = set()

    # --- doors of the handlers

    @functools.cached_property
    def http(self) -> httpx.AsyncClient:
        return outbound.trusting_client()

    @functools.cached_property
    def public_http(self) -> httpx.AsyncClient:
        return outbound.client(bool(self.settings.allow_private_targets))

    async def query(self, name: str, params: Mapping[str, object], owner: str) -> list[dict[str, Any]]:
        return await self._reports.query(name, params, self.keys.sees(owner))

    # --- life

    async def open(self, exposed: Sequence[str] = ()) -> None:
        """Lock, check, migrate, recover, start. `exposed`: addresses it will listen on that others can reach.

        Raises StartupError with the line to print and the exit code."""
        with integrity.refusing(self.settings.database_path):
            self._prepare_folder()
            self._lock.acquire()
            try:
                await self._open_store()
            except BaseException:
                self._lock.release()
                raise
            try:
                self._wire()
                await self._db.start()
                await self.keys.load()
                if not self.idle:  # a command, which may be the one that makes the first key
                    self.keys.check_exposure(exposed)
                await self._start()
            except BaseException:
                await self._db.close()
                self._lock.release()
                raise

    async def migrate(self) -> list[str]:
        """Bring the schema up to date and let go of the database; what was applied. Raises StartupError."""
        with integrity.refusing(self.settings.database_path):
            self._prepare_folder()
            self._lock.acquire()
            try:
                await self._open_store()
                await self._db.close()
            finally:
                self._lock.release()
        return self._applied

    def _prepare_folder(self) -> None:
        for folder in (self.settings.database_path.parent, self.settings.data_path):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def _open_store(self) -> None:
        path = self.settings.database_path
        migrations = migrate.find("sqlite")
        self._new = new = migrate.check(path, migrations)
        journal.remove_leftovers(path)
        umask = os.umask(0o077)
        try:
            self._db = Database(path, self.settings.synchronous, self._on_broken)
            connection = await self._db.connect()
        finally:
            os.umask(umask)
        try:
            self._lock.hold_database()
            self._applied = await migrate.apply(connection, migrations, self.clock.now())
            if new or self._applied:  # a first start that was killed may have made the file
                sync_folder(path.parent)
        except BaseException:
            await self._db.close()
            raise
        if self._applied:
            log.info("applied migrations: %s", ", ".join(self._applied))
        if self.settings.synchronous != "FULL":
            log.warning("QUART_APP_SYNCHRONOUS=NORMAL: a power cut may lose the last moments")
        self._watch = StoreWatch(path, self._db, self._lock)

    def _wire(self) -> None:
        settings = self.settings
        self.store = SqlStore(self._db, worker=f"{os.getpid()}-{secrets.token_hex(4)}", listener=self)
        self.users: UserStore = SqlUsers(self._db)
        self.audit_log = AuditLog(SqlActs(self._db), self.clock, self.trust)
        self.keys = Keys(SqlKeys(self._db), self.clock, settings, self.audit_log)
        self._reports = SqlReports(self._db)
        limits = SqlLimits(self._db)
        self.limits = OutboundLimits(limits, self.clock)
        self.clients = ClientLimit(limits, self.clock, settings.client_limit, settings.client_window, self.trust)
        self.service = TaskService(self.store, self.registry, self.clock, settings)
        self.service.trust = self.trust
        self.service.check_start = self.keys.check_start
        self.service.is_admin = lambda owner: self.keys.sees(owner) is None
        folder = settings.data_path.absolute() / FOLDER
        self.uploads = Uploads(SqlUploads(self._db), self.files, folder, self.clock, self.trust)
        schedule_store = SqlSchedules(self._db, listener=self)
        self.schedules = Schedules(schedule_store, self.service, self.clock, self.uploads.find)
        self._scheduler = Scheduler(schedule_store, self.service, self.trust)
        self._schedule_loop = Loop("scheduler", self._scheduler.run_once, self.clock, interval=1.0)
        self.processes = Processes(settings, self.files.life, self.clock)
        self.runner = Runner(self.store, self.registry, self.clock, self, self.processes)
        self.service.cancel_run = self.runner.cancel
        self.service.on_end = self.runner.on_end = self._on_end
        slots = shares(settings.concurrency, settings.cpu_slots)
        self.dispatcher = Dispatcher(
            self.store, self.runner, self.clock, self._spawn, settings.concurrency, slots, settings.max_crashes
        )
        self._poller = Poller(self.store, self._on_end, self.trust, self.task_ready)
        self.trust.on_step_back += [self._poller.clock_set_back, self._scheduler.clock_set_back]
        self._rescuer = Rescuer(
            self.store, self.clock, settings.max_crashes, self._on_end, self._lock.last_seen_at, self.runner.held
        )
        pruner = Pruner(self.store, settings.retention_seconds, settings.retention_rows, self.trust)
        statistics = SqlStatistics(self._db)
        self.maintenance = Maintenance(self.store, statistics, pruner, self.files, self.clock, self.trust)
        self.feed = Feed(self.store)
        self.streams = Streams(settings.max_streams, self.clock)
        self.keys.on_revoke = self.streams.dismiss
        self._feed_loop = Loop("feed", self.feed.run_once, self.clock, interval=15.0)
        self.feed.ring = self._feed_loop.ring
        self._db.on_commit = self._committed
        self._poll_loop = Loop("poller", self._poller.run_once, self.clock, interval=1.0)
        self._loops = [
            self._poll_loop,
            Loop("recovery", self._rescuer.run_once, self.clock, interval=INTERVAL_OF_STRAYS),
            Loop("queues", self.dispatcher.look, self.clock, interval=5.0),
            Loop("pruner", pruner.run_once, self.clock, interval=10.0),
            Loop("sweeper", sweeper.Sweeper(self.files, self._reports).run_once, self.clock, interval=sweeper.INTERVAL),
            Loop("limits", self.limits.run_once, self.clock, interval=10.0),
            Loop("clients", self.clients.run_once, self.clock, interval=10.0),
            self._feed_loop,
            Loop("stream-sweeper", self.streams.run_once, self.clock, interval=INTERVAL),
            Loop("keys", self.keys.run_once, self.clock, interval=audit_log.INTERVAL),
            Loop("audit-log", self.audit_log.run_once, self.clock, interval=audit_log.INTERVAL),
            Loop("uploads", self.uploads.run_once, self.clock, interval=10.0),
            Loop(
                "store-watch", lambda _: self._watch.look(self.store, bool(self.runner.runs)), self.clock, interval=1.0
            ),
        ]
        if settings.schedules:
            self._loops.append(self._schedule_loop)
        for kind in self.registry:
            kind.bind(self.service)

    async def _start(self) -> None:
        if self.idle:
            return
        if not self._new:
            self.trust.begin(await self._db.newest_date())
        await self.limits.load()
        await self.clients.load()
        # The first bite before anything is claimed: what was interrupted goes on before what never started.
        with contextlib.suppress(StoreUnavailable):  # it is tried again
            await self._rescuer.run_once(self.clock.now())
        while await self.store.unpark(self.registry.names(), self.clock.now(), CHUNK) == CHUNK:
            pass
        for count in await self.store.counts():
            if count.ready:
                self.dispatcher.ring(count.queue)
                self.dispatcher.ring(count.queue, suspect=True)
        await self.schedules.declare(self.registry)
        self._scheduler.clock_set_back()  # perhaps, while the server was down
        self.uploads.look_around()
        self.dispatcher.start()
        for loop in self._loops:
            loop.start()

    @property
    def recovered(self) -> bool:
        """Everything that the process before this one ran has been given back."""
        return self._rescuer.recovered

    def _keep(self, coroutine: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(coroutine)
        self._upkeep.add(task)
        task.add_done_callback(self._upkeep.discard)

    def begin_drain(self) -> None:
        """Stop taking work: new tasks are refused, nothing more is claimed, streams are told to end."""
        if not self.draining.is_set():
            self.draining.set()
            if running := len(self.runner.runs):
                seconds = self.settings.drain_seconds
                log.info("stopping: up to %g s for %d running task%s", seconds, running, "s" * (running > 1))
            self._drain_ends = self.clock.monotonic() + self.settings.drain_seconds
            self.service.stop_accepting()
            self.dispatcher.halt()
            self.feed.stop()
            self._keep(self.streams.end())
            self._keep(self._end_drain())

    async def _end_drain(self) -> None:
        await self.clock.sleep(self.settings.drain_seconds)
        self.runner.stop()

    async def close(self) -> None:
        """Give the running tasks what is left of their drain time, release them, close the store."""
        self.begin_drain()
        await self.dispatcher.stop()
        await self.runner.wait_idle(self._drain_ends - self.clock.monotonic())
        self.runner.stop()
        await self.runner.wait_idle(STOP_GRACE + 0.3)
        for loop in self._loops:
            await loop.stop()
        for task in list(self._upkeep):
            task.cancel()
        await self.limits.close()
        await self.processes.close()
        for client in {"http", "public_http"} & vars(self).keys():  # those that somebody used
            await vars(self)[client].aclose()
        with contextlib.suppress(StoreUnavailable):
            await self.keys.flush()
            await self.audit_log.flush()
        await self._db.close()
        for kind in self.registry:
            kind.bind(None)
        self._lock.release()

    # --- doorbells of the store

    def _committed(self) -> None:
        if self.feed.watched:
            self._feed_loop.ring()

    def task_coming(self, queue: str) -> None:
        self.dispatcher.expect(queue)

    def task_ready(self, queue: str, suspect: bool = False) -> None:
        self.dispatcher.ring(queue, suspect)

    def task_due_at(self, at: int) -> None:
        if self._poller.due_at(at):
            self._poll_loop.ring()

    def schedule_due_at(self, at: int) -> None:
        if self._scheduler.due_at(at):
            self._schedule_loop.ring()

    def task_changed(self, task_id: str) -> None:
        self.service.changed(task_id)

    def store_broken(self, reason: str) -> None:
        self._on_broken(reason)
