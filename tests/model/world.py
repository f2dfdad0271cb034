"""The real parts the machine plays with: a file, a store and a runner for each worker, and handlers on strings.

Nothing here knows what should happen; that is the model's part. Every call runs the loop until the world is at rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
from collections.abc import Coroutine, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from quart_app.core.task import Claimed
from quart_app.engine import TaskContext, task
from quart_app.engine.attempt import Runner
from quart_app.engine.registry import Registry
from quart_app.engine.upkeep.poller import Poller
from quart_app.engine.upkeep.recovery import Recovery
from quart_app.engine.upkeep.retention import Retention
from quart_app.service.tasks import TaskService
from quart_app.settings import Settings
from quart_app.store import migrate
from quart_app.store.sqlite.database import Database
from quart_app.store.tasks import SqlStore
from tests.clock import VirtualClock

T = TypeVar("T")
DEADLINE = 20.0  # seconds of real time for anything to come to rest
BACKOFF = (4.0, 2.0, 10.0)
MAX_CRASHES = 4


class Puppet:
    """A run in the hands of the machine: its handler waits for a command, obeys and answers."""

    def __init__(self, claimed: Claimed, worker: Worker) -> None:
        self.claimed = claimed
        self.worker = worker
        self.commands: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        self.ready = asyncio.Event()
        self.answer: Any = None
        self.task: asyncio.Task[None] | None = None

    @property
    def ended(self) -> bool:
        return self.task is None or self.task.done()

    async def handle(self, ctx: TaskContext) -> Any:
        while True:
            self.ready.set()
            command, *arguments = await self.commands.get()
            match command:
                case "step":
                    self.answer = await self._step(ctx, *arguments)
                case "progress":
                    await ctx.progress(*arguments)
                case "log":
                    await ctx.log(*arguments)
                case "enqueue":
                    self.answer = (await ctx.enqueue("puppet")).id
                case "return":
                    return arguments[0]
                case "raise":
                    raise arguments[0]

    async def _step(self, ctx: TaskContext, name: str, value: int) -> tuple[int, bool]:
        """What the step returned, and whether its function ran."""
        ran = False

        async def function() -> int:
            nonlocal ran
            ran = True
            return value

        return await ctx.step(name, function), ran


class Worker:
    """One life of a process: its store, its runner, its poller, and what rang."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self._world = world
        self.rung: set[str] = set()
        self.suspects_rung = False
        self.store = SqlStore(world.database, name, self)
        self.service = TaskService(self.store, world.registry, world.clock, Settings())
        services: Any = SimpleNamespace(settings=Settings(), files=None, service=self.service)
        processes: Any = None  # no kind here asks for one
        self.runner = Runner(self.store, world.registry, world.clock, services, processes)
        self.poller = Poller(self.store)
        self.pruner = Retention(self.store, retention_seconds=60, retention_rows=0)
        self.rescuer = Recovery(self.store, world.clock, MAX_CRASHES, runs=self.runner.held)

    # A worker that only slept still rings for what it writes, and the one that took over must hear it.

    def task_coming(self, queue: str) -> None:
        pass

    def task_ready(self, queue: str, suspect: bool = False) -> None:
        if suspect:
            self._world.worker.suspects_rung = True
        else:
            self._world.worker.rung.add(queue)

    def task_due_at(self, at: int) -> None:
        self._world.worker.poller.due_at(at)

    def held_back(self, asked: Any, queues: Any, opens: int | None) -> None:
        pass

    def place_freed(self) -> None:
        pass

    def task_changed(self, task_id: str) -> None:
        pass

    def store_broken(self, reason: str) -> None:
        raise AssertionError(reason)


class World:
    def __init__(self, folder: Path, template: Path | None = None) -> None:
        self.clock = VirtualClock()
        self.puppets: list[Puppet] = []
        self._folder = folder
        self._lives = 0
        self._loop = asyncio.new_event_loop()
        self.registry = Registry([self._kind()])
        self._locked: sqlite3.Connection | None = None
        if template is not None:
            shutil.copy(template, folder / "0.db")
        self.run(self._open(folder / "0.db"))
        self.worker = self._new_worker()

    def _kind(self) -> Any:
        @task("puppet", backoff=BACKOFF)
        async def puppet(ctx: TaskContext) -> Any:
            mine = next(one for one in self.puppets if one.claimed is ctx._task)
            return await mine.handle(ctx)

        return puppet

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(asyncio.wait_for(coroutine, DEADLINE))

    # --- lives

    async def _open(self, path: Path) -> None:
        self._path = path
        self.database = Database(path, "NORMAL", self._broken)
        connection = await self.database.connect()
        await migrate.apply(connection, migrate.find("sqlite"), 0)
        await connection.execute_fetchall("PRAGMA busy_timeout = 0")  # another program's lock is trouble at once
        await self.database.start()
        self._reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)

    def _broken(self, reason: str) -> None:
        raise AssertionError(reason)

    def _new_worker(self) -> Worker:
        self._lives += 1
        return Worker(self, f"worker-{self._lives}")

    def another_worker(self) -> None:
        """The process is taken for dead, and a new one goes on. It may only have slept: its runs live on."""
        self.worker = self._new_worker()

    def kill_9(self) -> None:
        """The process is dead and all its memory gone; the next one finds what is in the files at this moment."""
        life = self._folder / f"{self._lives}.db"
        for suffix in ("", "-wal"):
            shutil.copy(f"{self._path}{suffix}", f"{life}{suffix}")
        self.run(self._close())
        self.run(self._open(life))
        self.worker = self._new_worker()

    async def _close(self) -> None:
        self._reader.close()
        await self.database.close()  # first, so that the dying runs can write nothing any more
        running = [puppet.task for puppet in self.puppets if puppet.task is not None]
        for one in running:
            one.cancel()
        await asyncio.gather(*running)
        self.puppets.clear()

    def end(self) -> None:
        self.run(self._close())
        self._loop.close()

    # --- runs

    def start(self, claimed: list[Claimed]) -> list[Puppet]:
        """Run what was claimed until each handler waits for a command, or its run is over."""
        puppets = [Puppet(one, self.worker) for one in claimed]
        self.puppets += puppets
        for puppet in puppets:
            self.run(self._start(puppet))
        return puppets

    async def _start(self, puppet: Puppet) -> None:
        runner = puppet.worker.runner
        runner.on_free = lambda task: None
        puppet.task = self._loop.create_task(runner.run(runner.prepare(puppet.claimed)))
        await self._rest(puppet)

    def tell(self, puppet: Puppet, *command: Any) -> Any:
        """Pass on a command and wait until it is done or the run is over; the handler's answer."""
        puppet.answer = None
        self.run(self._tell(puppet, command))
        return puppet.answer

    async def _tell(self, puppet: Puppet, command: tuple[Any, ...]) -> None:
        puppet.ready.clear()
        puppet.commands.put_nowait(command)
        if self._locked is not None:
            await self._get_through(puppet)
        await self._rest(puppet)

    async def _get_through(self, puppet: Puppet) -> None:
        """Once a write has failed the other program lets go, and whoever waits to write again may do so."""
        assert puppet.task is not None and self._locked is not None
        while not (self.database.trouble or puppet.ready.is_set() or puppet.task.done()):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        self._locked.execute("ROLLBACK")
        self._locked = None
        while not (puppet.ready.is_set() or puppet.task.done()):
            self.clock.advance(1)
            self.clock.step(-1)
            await asyncio.sleep(0.001)

    @contextlib.contextmanager
    def trouble(self) -> Iterator[None]:
        """Another program holds the database until a run has tried to write to it."""
        with contextlib.closing(sqlite3.connect(self._path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            self._locked = other
            yield
            self._locked = None

    @contextlib.contextmanager
    def refusing(self, *causes: str) -> Iterator[None]:
        """The database takes no transition with one of these causes."""
        with contextlib.closing(sqlite3.connect(self._path, isolation_level=None)) as other:
            listed = ", ".join(f"'{cause}'" for cause in causes)
            other.execute(
                f"CREATE TRIGGER refuse BEFORE UPDATE OF status ON tasks WHEN NEW.cause IN ({listed}) BEGIN"
                " SELECT RAISE(ABORT, 'refused'); END"
            )
            yield
            other.execute("DROP TRIGGER refuse")

    async def _rest(self, puppet: Puppet) -> None:
        assert puppet.task is not None
        waiting = self._loop.create_task(puppet.ready.wait())
        await asyncio.wait([waiting, puppet.task], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if puppet.task.done():
            puppet.task.result()  # a run never raises
            self.puppets.remove(puppet)

    def wait_for_end(self, puppet: Puppet) -> None:
        assert puppet.task is not None
        self.run(asyncio.shield(puppet.task))  # type: ignore[arg-type]
        self.puppets.remove(puppet)

    # --- looking

    def sql(self, statement: str, *params: object) -> list[tuple[Any, ...]]:
        return self._reader.execute(statement, params).fetchall()
