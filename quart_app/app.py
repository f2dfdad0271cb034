"""create_app: the service as an app of its own; QuartTasks: the service inside an existing Quart app."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from types import ModuleType
from typing import Any, Final

import msgspec
from quart import Quart

from quart_app import forks
from quart_app import settings as settings_module
from quart_app.control import ControlSocket
from quart_app.core.errors import StartupError
from quart_app.loopwatch import LoopWatch
from quart_app.metrics import Metrics
from quart_app.runner.registry import Registry, TaskKind
from quart_app.runtime import Runtime
from quart_app.settings import Settings
from quart_app.signals import Signals
from quart_app.web import problems, wire
from quart_app.web.acts import ActViews
from quart_app.web.connections import Connections, ceiling
from quart_app.web.docs import DocsViews
from quart_app.web.door import EXTENSION, Door
from quart_app.web.examples.cats import CatViews
from quart_app.web.examples.chat import ChatViews
from quart_app.web.examples.exports import ExportViews
from quart_app.web.examples.limited import LimitedViews
from quart_app.web.examples.photos import PhotoViews
from quart_app.web.examples.quickstart import QuickstartViews
from quart_app.web.examples.reports import ReportViews
from quart_app.web.examples.users import UserViews
from quart_app.web.examples.visits import VisitViews
from quart_app.web.flight import Flight
from quart_app.web.gate import Gate
from quart_app.web.health import HealthViews
from quart_app.web.keys import KeyViews
from quart_app.web.metrics import MetricsViews
from quart_app.web.proxies import TrustedProxies
from quart_app.web.schedules import ScheduleViews
from quart_app.web.site import Site
from quart_app.web.sockets import SocketViews
from quart_app.web.stall import Stall
from quart_app.web.streams import StreamViews
from quart_app.web.tasks import TaskViews
from quart_app.web.uploads import UploadViews

log = logging.getLogger("quart_app")

EXAMPLES: Final = (
    VisitViews,
    QuickstartViews,
    CatViews,
    LimitedViews,
    PhotoViews,
    ReportViews,
    UserViews,
    ExportViews,
    ChatViews,
)


def create_app(settings: Settings | None = None) -> Quart:
    """The whole service as a Quart app. Raises ConfigError."""
    return _whole_app(settings or settings_module.load(), False, ())


def standalone_app(settings: Settings, exposed: Sequence[str] = ()) -> Quart:
    """The same in a process that is ours alone: a failed start and a hung stop may end it with the exit codes of
    `serve`. `exposed`: addresses it will listen on that others can reach, which asks for keys. Raises ConfigError."""
    return _whole_app(settings, True, exposed)


def _whole_app(settings: Settings, standalone: bool, exposed: Sequence[str]) -> Quart:
    app = Site("quart_app")
    app.url_map.merge_slashes = False  # a redirect would repeat whatever Host the client named
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body
    examples = settings.examples != 0
    app.take_files(settings.max_upload, "/uploads", *(["/tasks/detect-faces"] if examples else ()))
    app.config["BODY_TIMEOUT"] = 15
    app.config["BACKGROUND_TASK_SHUTDOWN_TIMEOUT"] = settings.drain_seconds
    problems.register(app)
    tasks = _WholeApp(settings, standalone, exposed)
    tasks.init_app(app)
    most = ceiling(settings.max_connections)
    app.flight = Flight(most, settings.max_requests_per_caller or max(most // 2, 1), settings.max_body_memory)
    for views in EXAMPLES if examples else ():
        app.register_blueprint(views(tasks.door).blueprint())
    if settings.proxies:
        app.asgi_app = TrustedProxies(app.asgi_app, settings.proxies)  # type: ignore[method-assign]
    return app


@contextlib.asynccontextmanager
async def idle_app(settings: Settings) -> AsyncIterator[Quart]:
    """The service for a command while no server runs: it holds the database, accepts and reads tasks, and runs none.
    Raises StartupError."""
    app = create_app(settings)
    runtime = Runtime(settings, app.add_background_task, idle=True)
    await runtime.open()
    door = app.extensions[EXTENSION]
    door.runtime = runtime
    try:
        yield app
    finally:
        door.runtime = None
        await runtime.close()


class QuartTasks:
    """Adds store, runner and routes to a Quart app. Kinds are found in the app's own module, in `tasks` (kinds or
    modules) and in QUART_APP_TASKS."""

    _whole = False  # the app is nothing but this service: the gate stands before all of it
    _standalone = False
    _exposed: Sequence[str] = ()

    def __init__(
        self,
        app: Quart | None = None,
        settings: Settings | None = None,
        tasks: Iterable[TaskKind[..., Any] | ModuleType] = (),
        url_prefix: str = "/",
    ) -> None:
        self._settings = settings
        self._tasks = list(tasks)
        self._prefix = url_prefix.rstrip("/")
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Quart) -> None:
        """Raises ConfigError."""
        settings = self._settings or settings_module.load()
        if not self._whole and settings.examples is None:  # mail and crawls for whoever has a key of this app's: no
            settings = msgspec.structs.replace(settings, examples=0)
        most = ceiling(settings.max_connections)
        wire.install(Connections(most, settings.max_connections_per_peer, settings.proxies))
        self._app = app
        self.door = app.extensions[EXTENSION] = Door(settings, self._prefix)
        self._signals = Signals(settings.drain_seconds, self._standalone)
        self._metrics = Metrics()
        gate = Gate(self.door, self._metrics)
        if self._whole:
            gate.stand_before(app)
        views_of_ours = (
            TaskViews(self.door),
            StreamViews(self.door),
            SocketViews(self.door),
            HealthViews(self.door),
            KeyViews(self.door),
            ActViews(self.door),
            ScheduleViews(self.door),
            UploadViews(self.door),
            MetricsViews(self.door, self._metrics, lambda: self._watch.lag),
            DocsViews(self.door),
        )
        for views in views_of_ours:
            blueprint = views.blueprint()
            if not self._whole:
                gate.stand_before(blueprint)
                problems.register(blueprint)
            app.register_blueprint(blueprint, url_prefix=self._prefix or None)
        app.before_serving(self._start)
        app.after_serving(self._stop)

    @property
    def runtime(self) -> Runtime:
        """The running engine. Raises RuntimeError before the app serves."""
        if self.door.runtime is None:
            raise RuntimeError("the app does not serve yet")
        return self.door.runtime

    async def _start(self) -> None:
        self._signals.install()
        try:
            runtime = Runtime(
                self.door.settings,
                self._app.add_background_task,
                self._kinds(),
                on_broken=self._signals.broken,
                on_end=self._metrics.task_ended,
            )
            self._metrics.kinds = frozenset(runtime.registry.names())
            await runtime.open(self._exposed)
        except BaseException as error:
            if isinstance(error, StartupError):
                self._signals.start_failed(error)
            self._signals.restore()
            raise
        self._watch = LoopWatch(self._signals.hopeless, self._signals.keep)
        self.door.runtime = runtime
        Stall.stopping = runtime.draining
        self._signals.started(runtime.begin_drain)
        forks.serve(asyncio.get_running_loop())
        # A stop without a signal (a reload, somebody else's server): Quart says so here, before it cancels anything.
        self._shutdown = asyncio.create_task(self._await_shutdown(runtime), name="shutdown")
        self._watch.start()
        self._control = ControlSocket(self._app, self.door.settings.data_path, self._prefix)
        await self._control.open()
        if self._standalone:
            _calm_collector()

    async def _await_shutdown(self, runtime: Runtime) -> None:
        await self._app.shutdown_event.wait()  # type: ignore[attr-defined, unused-ignore]
        runtime.begin_drain()

    async def _stop(self) -> None:
        runtime, self.door.runtime = self.door.runtime, None
        try:
            if runtime is not None:
                self._watch.stop()
                self._shutdown.cancel()
                await self._control.close()
                await runtime.close()
                forks.stop_serving()
        except BaseException:
            log.exception("the stop did not end as it should; unfinished tasks resume at the next start")
            raise
        finally:
            self._signals.stopped()

    def _kinds(self) -> Iterable[TaskKind[..., Any]]:
        found = Registry()
        own = sys.modules.get(self._app.import_name)
        for source in [*self._tasks, *([own] if own is not None else [])]:
            if isinstance(source, TaskKind):
                found.add(source)
            else:
                found.add_module(source)
        return found


class _WholeApp(QuartTasks):
    """What create_app adds to its own app."""

    _whole = True

    def __init__(self, settings: Settings, standalone: bool, exposed: Sequence[str]) -> None:
        super().__init__(settings=settings)
        self._standalone = standalone
        self._exposed = exposed


def _calm_collector() -> None:
    """What start-up left is never garbage: keep it out of every collection, and collect the young less often.
    Measured: 9 % more tasks a second over HTTP, and no pause of a full collection while many tasks run."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
