"""Makes the parts of a runtime and connects them, room by room."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any

import httpx

from quart_app.clock import Clock, ClockTrust, SystemClock
from quart_app.core import secret
from quart_app.core.errors import ConfigError
from quart_app.core.explanation import Place
from quart_app.core.task import OnEnd, ignore
from quart_app.engine.attempt import Runner
from quart_app.engine.dispatcher import Dispatcher, Spawn
from quart_app.engine.kind_limits import queue_limits
from quart_app.engine.outbound_limits import OutboundLimits
from quart_app.engine.processes.pool import Processes
from quart_app.engine.registry import Declared, Registry, load_module
from quart_app.engine.resources import OpenResources
from quart_app.engine.upkeep import orphan_files, recovery
from quart_app.engine.upkeep.loop import Loop
from quart_app.engine.upkeep.poller import Poller
from quart_app.engine.upkeep.retention import Retention
from quart_app.engine.upkeep.scheduler import Scheduler
from quart_app.process import disk, http_clients
from quart_app.process.disk import DiskFloor
from quart_app.process.files import Files
from quart_app.runtime.storage import Storage
from quart_app.service import audit_log, streams
from quart_app.service.audit_log import AuditLog
from quart_app.service.bulk import Bulk
from quart_app.service.claim_limits import ClaimLimits
from quart_app.service.client_limits import ClientLimit
from quart_app.service.error_groups import ErrorGroups
from quart_app.service.event_feed import EventFeed
from quart_app.service.explain import Explainer
from quart_app.service.family import Family
from quart_app.service.going_back import GoingBack
from quart_app.service.keys import Keys
from quart_app.service.maintenance import Maintenance
from quart_app.service.schedules import Schedules
from quart_app.service.stacks import StackReader
from quart_app.service.statistics import Statistics
from quart_app.service.streams import Streams
from quart_app.service.tasks import TaskService
from quart_app.service.uploads import FOLDER, Uploads
from quart_app.settings import Settings
from quart_app.store.bulk import SqlBulk
from quart_app.store.claim_limits import SqlClaimLimits
from quart_app.store.claims import Turns
from quart_app.store.error_groups import SqlErrorGroups
from quart_app.store.explain import SqlExplain
from quart_app.store.flow import SqlFlow
from quart_app.store.going_back import SqlGoingBack
from quart_app.store.keys import SqlActs, SqlKeys
from quart_app.store.limits import SqlLimits
from quart_app.store.protocols.flow import FlowStore
from quart_app.store.protocols.users import UserStore
from quart_app.store.reports import SqlReports
from quart_app.store.schedules import SqlSchedules
from quart_app.store.sqlite.database import Database
from quart_app.store.statistics import SqlStatistics
from quart_app.store.tasks import SqlStore
from quart_app.store.uploads import SqlUploads
from quart_app.store.users import SqlUsers
from quart_app.tasks import ALWAYS, BUILT_IN, UPKEEP

log = logging.getLogger("quart_app")

RunOnce = Callable[[int], Awaitable[float | None]]


class Parts:
    """The parts of one runtime. It is the listener of its store, and the Services of the handlers' contexts.

    `spawn` starts a coroutine function in the background: `app.add_background_task`."""

    def __init__(
        self,
        settings: Settings,
        spawn: Spawn,
        kinds: Iterable[Declared] = (),
        clock: Clock | None = None,
        on_broken: Callable[[str], None] | None = None,
        on_end: OnEnd = ignore,
        idle: bool = False,
    ) -> None:
        """`idle`: accept and read tasks, but run, recover and prune none; for a command while no server runs.

        Raises ConfigError when the kinds contradict each other or a module of QUART_APP_TASKS cannot be loaded."""
        self.settings = settings
        secret.keep(settings.secret_values)
        self.idle = idle
        self.registry = registry_of(settings, kinds)
        self.clock: Clock = clock or SystemClock()
        self.trust = ClockTrust(self.clock)
        self.started_at = self.clock.monotonic()
        self.files = Files(settings.data_path)
        self.disk = DiskFloor(settings.data_path, settings.disk_floor)
        self.draining = asyncio.Event()
        self._spawn = spawn
        self._on_end = on_end
        self._ending: set[asyncio.Task[None]] = set()  # background tasks of the stop
        self._on_broken = on_broken or (lambda reason: log.critical("the store is broken: %s", reason))
        self._storage = Storage(settings, self.clock, self._on_broken)

    def build(self, database: Database) -> None:
        """Make all parts on an open database; none of them is started."""
        self._db = database
        self._build_stores()
        self._build_service()
        self._build_engine()
        self._build_upkeep()

    def _build_stores(self) -> None:
        database = self._db
        worker = f"{os.getpid()}-{secrets.token_hex(4)}"
        settings = self.settings
        turns = Turns(settings.concurrency, max(int(settings.owner_share * settings.concurrency), 1))
        self.store = SqlStore(database, worker, self, settings.code_version or None, turns)
        self.claim_limits = ClaimLimits(
            SqlClaimLimits(database, listener=self), self.registry, self.clock, self.store.laned
        )
        self.flow_store: FlowStore = SqlFlow(database, listener=self)
        self.users: UserStore = SqlUsers(database)
        self._reports = SqlReports(database)
        self._limit_store = SqlLimits(database)
        self._schedule_store = SqlSchedules(database, listener=self)
        self._upload_store = SqlUploads(database)
        database.on_commit = self._committed

    def _build_service(self) -> None:
        settings, clock, trust = self.settings, self.clock, self.trust
        self.audit_log = AuditLog(SqlActs(self._db), clock, trust)
        self.keys = Keys(SqlKeys(self._db), clock, settings, self.audit_log)
        self.clients = ClientLimit(self._limit_store, clock, settings.client_limit, settings.client_window, trust)
        self.service = TaskService(self.store, self.registry, clock, settings)
        self.service.trust = trust
        self.service.check_start = self.keys.check_start
        self.service.is_admin = lambda owner: self.keys.sees(owner) is None
        self.service.on_end = self._on_end
        self.service.check_room = self.disk.check
        self.family = Family(self.service, self.flow_store)
        self.bulk = Bulk(self.service, self.store, SqlBulk(self._db, listener=self), clock, self.keys.sees)
        self.error_groups = ErrorGroups(SqlErrorGroups(self._db))
        self.going_back = GoingBack(self.service, self.store, SqlGoingBack(self._db, listener=self))
        folder = settings.data_path.absolute() / FOLDER
        self.uploads = Uploads(self._upload_store, self.files, folder, clock, trust)
        self.uploads.check_room = self.disk.check
        self.schedules = Schedules(self._schedule_store, self.service, clock, self.uploads.find)
        self.feed = EventFeed(self.store)
        self.streams = Streams(settings.max_streams, clock)
        self.keys.on_revoke = self.streams.dismiss

    def _build_engine(self) -> None:
        settings = self.settings
        slots = queue_limits(settings.concurrency, settings.cpu_slots)
        self.limits = OutboundLimits(self._limit_store, self.clock)
        self.resources = OpenResources(self.registry.resources)
        self.processes = Processes(settings, self.files.life, self.clock)
        self.runner = Runner(self.store, self.registry, self.clock, self, self.processes)
        self.runner.on_end = self._on_end
        self.dispatcher = Dispatcher(
            self.store, self.runner, self.clock, self._spawn, settings.concurrency, settings.max_crashes
        )
        self.claim_limits.of_queues = slots
        self.service.cancel_run = self.runner.cancel
        self.stacks = StackReader(self.service, self.runner.stacks.of)
        self.explainer = Explainer(SqlExplain(self._db), self.service, self.clock, self._place)
        self.service.limited_queues = slots.keys()
        for kind in self.registry:
            kind.bind(self.service)

    def _place(self) -> Place:
        slots = self.settings.concurrency
        return Place(max(slots - self.dispatcher.running, 0), slots, self.draining.is_set())

    def _build_upkeep(self) -> None:
        settings, store, trust = self.settings, self.store, self.trust
        died_at = self._storage.last_seen_at
        self._recovery = recovery.Recovery(
            store, self.clock, settings.max_crashes, self._on_end, died_at, self.runner.held
        )
        self._poller = Poller(store, self._on_end, trust, self.task_ready)
        self._scheduler = Scheduler(self._schedule_store, self.service, trust)
        trust.on_step_back += [self._poller.clock_set_back, self._scheduler.clock_set_back]
        retention = Retention(store, settings.retention_seconds, settings.retention_rows, trust)
        figures = SqlStatistics(self._db)
        self.statistics = Statistics(figures, self.clock)
        self.maintenance = Maintenance(store, figures, retention, self.files, self.clock, trust)
        self._poll_loop = self._loop("poller", self._poller.run_once, 1.0)
        self._schedule_loop = self._loop("scheduler", self._scheduler.run_once, 1.0)
        self._feed_loop = self._loop("feed", self.feed.run_once, 15.0)
        self.feed.notify = self._feed_loop.notify
        self._family_loop = self._loop("families", self.family.run_once, 5.0)
        self._loops = [
            self._poll_loop,
            self._family_loop,
            self._feed_loop,
            self._loop("recovery", self._recovery.run_once, recovery.INTERVAL),
            self._loop("queues", self.dispatcher.look, 5.0),
            self._loop("lanes", self.claim_limits.run_once, 5.0),
            self._loop("retention", retention.run_once, 10.0),
            self._loop("disk", self.disk.run_once, disk.INTERVAL),
            self._loop("files", orphan_files.OrphanFiles(self.files, self._reports).run_once, orphan_files.INTERVAL),
            self._loop("limits", self.limits.run_once, 10.0),
            self._loop("clients", self.clients.run_once, 10.0),
            self._loop("streams", self.streams.run_once, streams.INTERVAL),
            self._loop("keys", self.keys.run_once, audit_log.INTERVAL),
            self._loop("audit-log", self.audit_log.run_once, audit_log.INTERVAL),
            self._loop("uploads", self.uploads.run_once, 10.0),
            *([self._schedule_loop] if settings.schedules else []),
            self._loop("database", lambda _: self._storage.watch.look(store, bool(self.runner.runs)), 1.0),
        ]

    def _loop(self, name: str, run_once: RunOnce, interval: float) -> Loop:
        return Loop(name, run_once, self.clock, interval=interval)

    # --- services of the handlers

    @functools.cached_property
    def http(self) -> httpx.AsyncClient:
        return http_clients.trusting_client()

    @functools.cached_property
    def public_http(self) -> httpx.AsyncClient:
        return http_clients.client(bool(self.settings.allow_private_targets))

    async def query(self, name: str, params: Mapping[str, object], owner: str) -> list[dict[str, Any]]:
        return await self._reports.query(name, params, self.keys.sees(owner))

    # --- wake-ups of the store

    def _committed(self) -> None:
        if self.feed.watched:
            self._feed_loop.notify()

    def task_coming(self, queue: str) -> None:
        self.dispatcher.expect(queue)

    def task_ready(self, queue: str, suspect: bool = False) -> None:
        self.dispatcher.notify(queue, suspect)

    def task_due_at(self, at: int) -> None:
        if self._poller.due_at(at):
            self._poll_loop.notify()

    def held_back(self, asked: Collection[str], queues: Collection[str], opens: int | None) -> None:
        self.dispatcher.held_back(asked, queues, opens)

    def place_freed(self) -> None:
        self.dispatcher.place_freed()

    def parent_ended(self) -> None:
        self._family_loop.notify()

    def schedule_due_at(self, at: int) -> None:
        if self._scheduler.due_at(at):
            self._schedule_loop.notify()

    def task_changed(self, task_id: str) -> None:
        self.service.changed(task_id)

    def store_broken(self, reason: str) -> None:
        self._on_broken(reason)


def _raise(error: ConfigError) -> None:
    raise error


def registry_of(
    settings: Settings, kinds: Iterable[Declared], refuse: Callable[[ConfigError], None] = _raise
) -> Registry:
    """The built-in kinds, the app's own, and those of QUART_APP_TASKS; with arounds and resources. `refuse` gets the
    error of a module that cannot be loaded; when it does not raise, the others are loaded."""
    examples = settings.examples != 0
    registry = Registry([*(BUILT_IN if examples else ALWAYS), *kinds])
    for name in settings.task_modules:
        try:
            registry.add_module(load_module(name))
        except ConfigError as error:
            refuse(error)
    for kind in () if examples else UPKEEP:
        if registry.get(kind.name) is None:  # a kind of the app with this name replaces it
            registry.add(kind)
    registry.check_arounds()
    return registry
