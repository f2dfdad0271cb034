"""The kinds that a process can run, and the modules that declare them."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import logging
import sys
import traceback
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType
from typing import Any

from quart_app.core.claim_limits import LimitDefinition
from quart_app.core.errors import ConfigError
from quart_app.engine.arounds import Around
from quart_app.engine.kind import TaskKind
from quart_app.engine.resources import Resource

log = logging.getLogger("quart_app")

Declared = TaskKind[..., Any] | Around | Resource


class Registry:
    """The kinds that one process can run, what runs around them, and the resources that they share."""

    def __init__(self, declared: Iterable[Declared] = ()) -> None:
        self._kinds: dict[str, TaskKind[..., Any]] = {}
        self._arounds: list[Around] = []
        self._arounds_of: dict[str, tuple[Around, ...]] = {}
        self.resources: dict[str, Resource] = {}
        for one in declared:
            self.add(one)

    def add(self, declared: Declared) -> None:
        """Raises ConfigError for a second kind, or a second resource, of one name."""
        if isinstance(declared, Around):
            if declared not in self._arounds:
                self._arounds.append(declared)
                self._arounds_of.clear()
        elif isinstance(declared, Resource):
            _only("resource", self.resources.setdefault(declared.name, declared), declared)
        elif isinstance(declared, TaskKind):
            _only("kind", self._kinds.setdefault(declared.name, declared), declared)
        else:
            raise ConfigError(f"{declared!r:.100} is none of @task, @around and @resource")

    def add_module(self, module: ModuleType) -> None:
        """Add every kind, around and resource that is an attribute of the module."""
        found = [value for value in vars(module).values() if isinstance(value, TaskKind | Around | Resource)]
        for value in sorted(found, key=lambda one: one.number if isinstance(one, Around) else -1):
            self.add(value)

    def declared(self) -> list[Declared]:
        """All that was added, to be added to another registry."""
        return [*self._kinds.values(), *self._arounds, *self.resources.values()]

    def arounds_of(self, kind: TaskKind[..., Any]) -> tuple[Around, ...]:
        """What runs around its handler, the outermost first."""
        found = self._arounds_of.get(kind.name)
        if found is None:
            matching = [one for one in self._arounds if kind.executor != "process" and one.matches(kind.name)]
            found = self._arounds_of[kind.name] = tuple(matching)
        return found

    def check_arounds(self) -> None:
        """Raises ConfigError for an around that names a kind around which it cannot run; warns of patterns that match
        no kind."""
        for one in self._arounds:
            for pattern in one.patterns:
                kind = self._kinds.get(pattern)
                if kind is not None and kind.executor == "process":
                    raise ConfigError(
                        f"@around({pattern!r}): {one.function.__qualname__} cannot run around {pattern}, whose handler"
                        " runs in a child process"
                    )
                if not any(fnmatchcase(name, pattern) for name in self._kinds):
                    log.warning("@around(%r): %s: no kind has such a name", pattern, one.function.__qualname__)

    def limits(self) -> list[LimitDefinition]:
        """The limits of all kinds. Raises ConfigError when two of one name differ."""
        found: dict[str, tuple[LimitDefinition, str]] = {}
        for kind in self:
            for one in kind.limits:
                name = one.definition.name
                known, first = found.setdefault(name, (one.definition, kind.name))
                if known != one.definition:
                    raise ConfigError(
                        f"two limits are called {name!r} and differ: of the kinds {first} and {kind.name}"
                    )
        return [known for known, _ in found.values()]

    def get(self, name: str) -> TaskKind[..., Any] | None:
        return self._kinds.get(name)

    def names(self) -> list[str]:
        return sorted(self._kinds)

    def __iter__(self) -> Iterator[TaskKind[..., Any]]:
        return iter(self._kinds.values())


def _only(what: str, known: TaskKind[..., Any] | Resource, declared: TaskKind[..., Any] | Resource) -> None:
    if known is not declared:
        places = [f"{one.function.__module__}.{one.function.__qualname__}" for one in (known, declared)]
        raise ConfigError(f"{what} {declared.name!r} is declared twice: {places[0]} and {places[1]}")


def load_module(name: str) -> ModuleType:
    """Import `package.module` or a `.py` file. Raises ConfigError with the line of the module that failed."""
    try:
        return _load_file(Path(name).resolve()) if name.endswith(".py") else importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also sys.exit() at the top of a module
        line = _line(error)
        where = f" (line {line})" if line is not None else ""
        if isinstance(error, ConfigError):  # a declaration that is wrong, or no module at all
            raise ConfigError(f"{name}{where}: {error}" if where else str(error)) from error
        raise ConfigError(f"QUART_APP_TASKS: cannot import {name}{where}: {type(error).__name__}: {error}") from error


def _line(error: BaseException) -> int | None:
    """The last line of the imported module itself in the traceback of the error."""
    ours = str(Path(__file__).parents[1])
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((ours, "<frozen ")) and Path(frame.filename).parent.name != "importlib"
    ]
    return next((frame.lineno for frame in reversed(frames) if frame.filename == frames[0].filename), None)


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"QUART_APP_TASKS: no file {path}")
    # Two files of one name in two folders are two modules.
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    spec = importlib.util.spec_from_file_location(f"quart_app_tasks_{path.stem}_{digest}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"QUART_APP_TASKS: {path} is no Python file")
    if spec.name in sys.modules:
        return sys.modules[spec.name]
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module
