"""TaskKit: what tests do with tasks."""

from __future__ import annotations

import datetime
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from quart_app import settings as settings_module
from quart_app.clock import SystemClock
from quart_app.core import codec
from quart_app.core.errors import InvalidArgs, TaskNotFound, UnknownKind
from quart_app.core.task import Task, TaskFilter
from quart_app.engine.kind import TaskKind
from quart_app.engine.registry import Declared
from quart_app.service.task_handle import TaskHandle
from quart_app.settings import PREFIX, Settings
from quart_app.testing.clock import VirtualClock, moment
from quart_app.testing.durations import milliseconds
from quart_app.testing.kit_task import KitTask, shown
from quart_app.testing.lives import KitHandle, Lives, declared_in, settings_of
from quart_app.testing.one_task import OneTask
from quart_app.testing.script import Given, Script
from quart_app.testing.wanted import Wanted, number_of, what_is_there
from quart_app.testing.work import MOST, Work

if TYPE_CHECKING:
    from quart import Quart
    from quart.typing import TestClientProtocol

Kind = str | TaskKind[..., Any]


class TaskKit:
    """The whole service on a store in a temporary folder, with a clock that stands still. Inside of `async with` the
    app's own `enqueue` works; nothing runs until it is told to; afterwards nothing is left of it.

    `tasks`: modules, their names, `.py` files, kinds (None: those of QUART_APP_TASKS). `settings`: by the names of the
    settings, without QUART_APP_; nothing but QUART_APP_TASKS is taken from the environment. `now`: an aware datetime at
    which the clock starts (None: the time it is). `app`: your own app with QuartTasks, for `client` (None: that of
    create_app)."""

    def __init__(
        self,
        tasks: Iterable[Declared | ModuleType | str] | None = None,
        settings: Mapping[str, Any] | None = None,
        *,
        now: datetime.datetime | None = None,
        app: Quart | None = None,
    ) -> None:
        self._tasks = None if tasks is None else list(tasks)
        self._given_settings = dict(settings or {})
        if now is not None and now.tzinfo is None:
            raise ValueError(f"now is an aware datetime (one with a timezone), not {now!r}")
        self._start = SystemClock().now() // 1000 * 1000 if now is None else int(now.timestamp() * 1000)
        self._app = app
        self._client: TestClientProtocol | None = None
        self._lives: Lives | None = None
        self._script = Script()

    # --- its life

    async def open(self) -> None:
        """Raises ConfigError for a setting or a module that cannot be used."""
        self._folder = Path(tempfile.mkdtemp(prefix="quart-app-kit-"))
        try:
            settings = self._settings()
            self._clock = VirtualClock(self._start)
            lives = Lives(settings, declared_in(self._tasks or ()), self._clock, self._script)
            await lives.begin()
            self._work = Work(lives)
            self._lives = lives
            if self._app is not None:
                lives.serve(self._app)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Free all that it has. What still runs is interrupted."""
        lives, self._lives = self._lives, None
        try:
            if lives is not None:
                await lives.end()
                self._clock.stop()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def check(self) -> None:
        """Raises AssertionError for a crash that never came."""
        if missing := self._script.unfinished():
            raise AssertionError(missing)

    async def __aenter__(self) -> TaskKit:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
        if error is None:
            self.check()

    def _settings(self) -> Settings:
        tasks = ""
        if self._tasks is None and not {"tasks", f"{PREFIX}TASKS"} & self._given_settings.keys():
            name = f"{PREFIX}TASKS"
            tasks = settings_module.load({name: os.environ[name]} if name in os.environ else {}).tasks
        defaults = {"examples": 0} if self._app is not None else {}
        return settings_of(self._folder, {**defaults, **self._given_settings}, tasks)

    def _lives_now(self) -> Lives:
        if self._lives is None:
            raise RuntimeError("the kit is closed: it works inside of `async with TaskKit(…) as kit`")
        return self._lives

    # --- making tasks, and looking at them

    async def enqueue(self, kind: Kind, args: Mapping[str, Any] | None = None, **options: Any) -> KitHandle:
        """Make a task, as `kind.enqueue_with` does: delay, run_at, priority, queue, max_attempts, timeout, expires,
        tags, idempotency_key, unique_key, owner. Raises UnknownKind, InvalidArgs, QueueFull, DuplicateTask."""
        lives = self._lives_now()
        made = await lives.now.service.enqueue_kind(self._name(kind), args or {}, options)
        return KitHandle(made.id, lives)

    async def get(self, task: str | TaskHandle) -> KitTask:
        """A task by its id, or by its handle. Raises TaskNotFound."""
        task_id = task if isinstance(task, str) else task.id
        found = self._lives_now().now.reader.get(task_id)
        if found is None:
            raise TaskNotFound(task_id)
        return self._shown(found)

    def all_enqueued(self, kind: Kind | None = None) -> list[KitTask]:
        """The tasks that are pending, of one kind or of all, in the order of their making: due ones, delayed ones, and
        those that wait. Raises UnknownKind."""
        return [task for task in self.tasks(kind) if task.status == "pending"]

    def tasks(self, kind: Kind | None = None) -> list[KitTask]:
        """All tasks, whatever their status, in the order of their making. Raises UnknownKind."""
        name = None if kind is None else self._name(kind)
        return [self._shown(row) for row in self._lives_now().now.reader.find(TaskFilter(kind=name))]

    def assert_enqueued(
        self,
        kind: Kind,
        *,
        args: Mapping[str, Any] | None = None,
        queue: str | None = None,
        priority: int | None = None,
        tags: Sequence[str] | None = None,
        count: int | None = None,
    ) -> None:
        """Fail unless such a task is pending; `count`: exactly so many. Of args and tags a part is enough."""
        wanted = Wanted(self._name(kind), args, queue, priority, tags)
        found = self._pending(wanted)
        if count is None and not found:
            raise AssertionError(f"no task {wanted} is enqueued; {self._what_is_there()}")
        if count is not None and len(found) != count:
            raise AssertionError(f"{number_of(len(found), wanted)} enqueued, not {count}; {self._what_is_there()}")

    def refute_enqueued(
        self,
        kind: Kind,
        *,
        args: Mapping[str, Any] | None = None,
        queue: str | None = None,
        priority: int | None = None,
        tags: Sequence[str] | None = None,
    ) -> None:
        """Fail when such a task is pending."""
        wanted = Wanted(self._name(kind), args, queue, priority, tags)
        if found := self._pending(wanted):
            raise AssertionError(f"{number_of(len(found), wanted)} enqueued; {self._what_is_there()}")

    def _pending(self, wanted: Wanted) -> list[KitTask]:
        return [task for task in self.all_enqueued(wanted.kind) if wanted.matches(task)]

    def _what_is_there(self) -> str:
        return what_is_there(self.tasks(), self.now())

    def _shown(self, row: Task) -> KitTask:
        life = self._lives_now().now
        return shown(row, life.reader.steps(row.id), life.registry)

    def _name(self, kind: Kind) -> str:
        name = kind.name if isinstance(kind, TaskKind) else kind
        registry = self._lives_now().now.registry
        if not isinstance(name, str) or registry.get(name) is None:
            raise UnknownKind(f"no kind {name!r:.100} is registered; there are: {', '.join(registry.names())}")
        return name

    # --- running

    async def drain(self, *, scheduled: bool = False, queue: str | None = None, most: int = MOST) -> int:
        """Run what is due, and what that makes due: children, signals, parents. With `scheduled` also what waits for
        time alone, delays, retries and sleeps, each at its time; schedules do not fire, and waits for signals are left.
        `queue`: the tasks of this queue alone. Returns how many runs there were; their errors stay in the tasks. Raises
        AssertionError when more than `most` runs do not come to an end."""
        self._lives_now()
        return await self._work.drain(scheduled, queue, most)

    async def advance(self, time: float | str | datetime.timedelta) -> int:
        """Let time pass: seconds, a timedelta, or a text such as "2 days". What becomes due on the way runs, in order:
        delays, retries, sleeps, schedules, the time-outs of waits, expiries, limits. Returns how many runs there
        were. Raises ValueError."""
        self._lives_now()
        return await self._work.advance(milliseconds(time))

    def now(self) -> datetime.datetime:
        """What the clock of the kit shows, in UTC."""
        self._lives_now()
        return moment(self._clock.now())

    async def run_task(
        self,
        kind: Kind,
        args: Mapping[str, Any] | None = None,
        *,
        steps: Mapping[str, Any] | None = None,
        signals: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> KitTask:
        """Make one task and run it to its end, with the children that it waits for and no other task. Time passes when
        it sleeps, waits for another attempt, or for the time-out of a signal. `steps`: the outputs of steps that are
        not run; `signals`: the data of signals, sent when it waits for them. Raises as `enqueue`; AssertionError when
        it never ends, and for a step or a signal that was given and not asked for."""
        for name, values in (("steps", steps), ("signals", signals)):
            try:
                codec.encode(dict(values or {}))
            except codec.NotJson as error:
                raise InvalidArgs([(f"/{name}", str(error))]) from None
        handle = await self.enqueue(kind, args, **options)
        given = self._script.given[handle.id] = Given(steps or {}, signals or {})
        await OneTask(self._lives_now(), self._work, handle.id, given).run()
        return await self.get(handle)

    async def crash_at(self, place: str, kind: Kind | None = None) -> None:
        """Crash once, when a handler comes to this place: "before step NAME", "in step NAME" (after its effect, before
        its record), "after step NAME", "before end" (of an attempt). Then nothing more is written, as after kill -9.
        The service starts again on the same store and resumes what ran. `kind`: in a handler of this kind. Raises
        ValueError, UnknownKind."""
        self._script.add_crash(place, None if kind is None else self._name(kind))

    async def crash(self) -> None:
        """Crash now, while nothing runs, and start again on the same store."""
        lives = self._lives_now()
        with self._work.at_work():
            await lives.restart()

    async def signal(self, task: str | TaskHandle, name: str, data: Any = None) -> None:
        """Send a signal to a task. Raises TaskNotFound, WrongState when it has ended, NotJson."""
        task_id = task if isinstance(task, str) else task.id
        await self._lives_now().now.family.signal(task_id, name, codec.encode(data), None, None)

    # --- the app

    @property
    def settings(self) -> Settings:
        return self._lives_now().settings

    @property
    def app(self) -> Quart:
        """The whole app, which answers from the store of the kit."""
        if self._app is None:
            from quart_app.app import create_app  # it takes a third of a second to import

            self._app = create_app(self.settings)
            self._lives_now().serve(self._app)
        return self._app

    @property
    def client(self) -> TestClientProtocol:
        """Quart's test client of the whole app; the same one each time, so that it keeps its cookies."""
        if self._client is None:
            self._client = self.app.test_client()
        return self._client
