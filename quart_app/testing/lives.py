"""The lives of the service on one folder: the present one, and the next one after a crash."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from quart_app import settings as settings_module
from quart_app.core.errors import ConfigError
from quart_app.core.task import Task
from quart_app.engine.registry import Declared, Registry, load_module
from quart_app.runtime import Runtime
from quart_app.service.task_handle import TaskHandle
from quart_app.settings import PREFIX, Settings
from quart_app.testing.clock import VirtualClock
from quart_app.testing.life import Life
from quart_app.testing.script import Script

if TYPE_CHECKING:
    from quart import Quart

OWN: Final = frozenset({"data_dir", "database_url"})  # of the kit alone
PATIENCE: Final = 10.0  # seconds of real time that a result without a timeout is waited for while nothing runs


class Lives:
    """`now` is the present life; `work` whether the kit runs tasks."""

    now: Life

    def __init__(self, settings: Settings, kinds: Iterable[Declared], clock: VirtualClock, script: Script) -> None:
        self.settings = settings
        self.clock = clock
        self.script = script
        self.works = False
        self._kinds = list(kinds)
        self._apps: list[Quart] = []
        self._open = False

    async def begin(self) -> None:
        """Raises StartupError."""
        if not self.settings.database_path.exists():
            self.settings.database_path.write_bytes(await _empty_database())
        self.now = Life(self.settings, self._kinds, self.clock, self.script)
        await self.now.open()
        self._open = True
        for kind in self.now.registry:
            kind.bind(self)
        self._attach(self.now)

    async def end(self) -> None:
        self._attach(None)
        if self._open:
            self._open = False
            await self.now.end()

    async def restart(self) -> None:
        """The service is gone, as by kill -9, and starts again on the same store."""
        self.now.die("between two runs")
        await self.end()
        await self.begin()

    def serve(self, app: Quart) -> None:
        """Let the app answer for the present life, and for those after it. Raises ValueError."""
        from quart_app.app import attach  # it takes a third of a second to import

        attach(app, self.now)
        self._apps.append(app)

    def _attach(self, life: Life | None) -> None:
        for app in self._apps:
            from quart_app.app import attach

            attach(app, life)

    async def enqueue_kind(self, kind: str, args: Mapping[str, Any], options: Mapping[str, Any]) -> TaskHandle:
        """What the kinds of the app enqueue by."""
        made = await self.now.service.enqueue_kind(kind, args, options)
        return KitHandle(made.id, self)


class KitHandle(TaskHandle):
    """A handle that outlives a crash."""

    def __init__(self, task_id: str, lives: Lives) -> None:
        super().__init__(task_id, lives.now.service)
        self._lives = lives

    async def get(self) -> Task:
        return await self._current().get()

    async def result(self, timeout: float | None = None) -> Any:
        """As that of TaskHandle; `timeout` is in seconds of real time. Without one it raises TimeoutError when nothing
        runs for a while: nobody has told the kit to run the task."""
        if timeout is not None:
            return await self._current().result(timeout)
        while True:
            try:
                return await self._current().result(PATIENCE)
            except TimeoutError:
                if not self._lives.works:
                    raise TimeoutError(
                        f"task {self.id} has not ended: in the kit nothing runs until drain(), advance() or run_task()"
                    ) from None

    def _current(self) -> TaskHandle:
        return TaskHandle(self.id, self._lives.now.service)


def declared_in(sources: Iterable[Declared | ModuleType | str]) -> list[Declared]:
    """The kinds, arounds and resources of modules, of their names, of `.py` files, and those that are given themselves.
    Raises ConfigError."""
    found = Registry()
    for source in sources:
        if isinstance(source, str):
            found.add_module(load_module(source))
        elif isinstance(source, ModuleType):
            found.add_module(source)
        else:
            found.add(source)
    return found.declared()


_EMPTY: Final[list[bytes]] = []


async def _empty_database() -> bytes:
    """A database with the whole schema. It is made once in a process: that takes longer than most tests."""
    if not _EMPTY:
        with tempfile.TemporaryDirectory(prefix="quart-app-kit-") as folder:
            settings = settings_of(Path(folder), {}, "")
            await Runtime(settings, spawn=lambda *_: None).migrate()
            _EMPTY.append(settings.database_path.read_bytes())
    return _EMPTY[0]


def settings_of(folder: Path, given: Mapping[str, Any], tasks: str) -> Settings:
    """The settings of the kit: the defaults, and the `given` ones by their names, with or without QUART_APP_, in lower
    or upper case. Nothing of the environment. Raises ConfigError."""
    environ = {"RETENTION_SECONDS": "0", "RETENTION_ROWS": "0", "DRAIN_SECONDS": "0", "SYNCHRONOUS": "NORMAL"}
    environ["TASKS"] = tasks
    for key, value in given.items():
        name = key.upper().removeprefix(PREFIX)
        if name.lower() in OWN:
            raise ConfigError(f"{key}: the kit has a folder of its own")
        environ[name] = str(int(value)) if isinstance(value, bool) else str(value)
    environ["DATA_DIR"] = str(folder)
    return settings_module.load({f"{PREFIX}{name}": text for name, text in environ.items()}, dotenv=None)
