"""`@task(kind, …)`: a function becomes a kind, its signature the schema of its args."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Generic, Literal, ParamSpec, Protocol, TypeVar

import msgspec

from quart_app.core import marks, pointers
from quart_app.core.errors import ConfigError, InvalidArgs
from quart_app.core.retry import Errors
from quart_app.core.schedule import Schedule
from quart_app.core.schema import args_schema, choices, wanted
from quart_app.core.task import CPU_QUEUE, DEFAULT_QUEUE
from quart_app.runner.kind_options import RECYCLE, KindOptions, as_tuple, backoff_of, check_options
from quart_app.runner.memory import size_of

Executor = Literal["async", "thread", "process"]
P = ParamSpec("P")
R = TypeVar("R")

_RESERVED: Final = frozenset({"self", "ctx"})


class Handle(Protocol):
    """What `enqueue` gives back; the service's TaskHandle."""

    id: str

    async def result(self, timeout: float | None = None) -> Any: ...


class EnqueueDoor(Protocol):
    """The part of the service a kind enqueues through."""

    async def enqueue_kind(self, kind: str, args: Mapping[str, Any], options: Mapping[str, Any]) -> Handle: ...


class TaskKind(Generic[P, R]):
    """A registered function: still callable, and `await kind.enqueue(…)` makes a durable task of the call."""

    def __init__(
        self, name: str, function: Callable[..., Any], executor: Executor | None, options: KindOptions
    ) -> None:
        self.name = name
        self.function = function
        self.options = options
        self.executor: Executor = executor or ("async" if inspect.iscoroutinefunction(function) else "thread")
        self.schedules: list[Schedule] = []
        """Those that `@schedule` declares; their times are not filled in."""
        self.takes_context, self.args_type, self.parameters, self.marks = _signature(name, function)
        self._door: EnqueueDoor | None = None
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.__module__ = function.__module__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<TaskKind {self.name}>"

    async def enqueue(self, **args: Any) -> Handle:
        """Make a task of this call, on disk when this returns. Raises InvalidArgs, QueueFull, StoreUnavailable."""
        return await self._bound().enqueue_kind(self.name, args, {})

    async def enqueue_with(self, options: Mapping[str, Any], /, **args: Any) -> Handle:
        """As `enqueue`, with options of the HTTP API: delay, run_at, priority, queue, max_attempts, timeout, expires,
        tags, idempotency_key."""
        return await self._bound().enqueue_kind(self.name, args, options)

    def bind(self, door: EnqueueDoor | None) -> None:
        self._door = door

    def _bound(self) -> EnqueueDoor:
        if self._door is None:
            raise RuntimeError(f"{self.name}: enqueue() works inside a running app (create_app() or QuartTasks(app))")
        return self._door

    def schema(self, ref_template: str = "#/$defs/{name}") -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON Schema of the args, and the definitions that it refers to by `ref_template`."""
        return args_schema(self.args_type, ref_template)

    def parse(self, args: Any) -> dict[str, Any]:
        """Check decoded JSON args and give them the types of the signature. Raises InvalidArgs."""
        if type(args) is not dict:
            raise InvalidArgs([("", "the args must be a JSON object")])
        if self.args_type is None:
            if args:
                raise InvalidArgs([(pointers.token(next(iter(args))), f"unknown argument; {self.name} takes none")])
            return args
        try:
            struct = msgspec.convert(args, self.args_type)
        except msgspec.ValidationError as error:
            pointer, detail = pointers.explain(str(error))
            if detail.startswith("Invalid enum value"):
                detail += f"; one of {', '.join(map(str, choices(self.args_type, pointer)))}"
            elif "matching regex" in detail and (text := wanted(self.args_type, pointer)):
                detail = f"expected: {text}"
            raise InvalidArgs([(pointer, detail)]) from None
        except RecursionError:
            raise InvalidArgs([("", "nested too deeply")]) from None
        return {name: getattr(struct, field) for name, field in self.parameters}


def task(
    kind: str,
    *,
    max_attempts: int = 1,
    backoff: tuple[float, float, float] = (1.0, 2.0, 300.0),
    retry_on: type[BaseException] | Errors | None = None,
    no_retry_on: type[BaseException] | Errors = (),
    timeout: float = 3600.0,
    expires: float | None = None,
    queue: str | None = None,
    priority: int = 0,
    retention: float | None = None,
    executor: Literal["process"] | None = None,
    scope: Literal["write", "admin"] = "write",
    memory: str | int | None = None,
    recycle: int | None = None,
) -> Callable[[Callable[P, R]], TaskKind[P, R]]:
    """Declare a kind of task.

    `async def` runs on the event loop, `def` in a thread, `executor="process"` in a child process that is killed at
    cancel and timeout. `max_attempts` counts runs that end in an error (crashes and stops are free); `backoff` is
    (first, factor, cap) in seconds, with full jitter; `timeout` is seconds for one attempt; `expires` seconds after
    which a task that has not started fails; `retention` seconds an ended task is kept; `queue` is "cpu" for child
    processes, whose tasks leave the other slots to others there, else "default". For executor="process" only:
    `memory` ("512MB") is what the child may have, over it the attempt ends with the error `out_of_memory`; `recycle`
    attempts are served by one child (100). `scope="admin"`: only tasks whose owner's key has that scope are made, over
    HTTP, by schedules and from handlers; the app's own code, which acts for no key, may always. Raises ConfigError.
    """
    if not isinstance(kind, str):
        raise TypeError(f'@task names its kind: write @task("name") above the function, not @task (got {kind!r:.100})')
    if executor not in (None, "process"):
        raise ConfigError(f"@task({kind!r}): executor is 'process', or left out; not {executor!r}")
    if executor != "process" and (memory is not None or recycle is not None):
        raise ConfigError(f"@task({kind!r}): memory and recycle are for executor='process'")
    options = KindOptions(
        max_attempts=max_attempts,
        backoff=backoff_of(kind, backoff),
        retry_on=None if retry_on is None else as_tuple(retry_on),
        no_retry_on=as_tuple(no_retry_on),
        timeout=timeout,
        expires=expires,
        queue=queue if queue is not None else CPU_QUEUE if executor == "process" else DEFAULT_QUEUE,
        priority=priority,
        retention=retention,
        memory=None if memory is None else size_of(memory),
        scope=scope,
        recycle=RECYCLE if recycle is None else recycle,
    )
    check_options(kind, options)

    def declare(function: Callable[P, R]) -> TaskKind[P, R]:
        if executor == "process" and inspect.iscoroutinefunction(function):
            raise ConfigError(f"@task({kind!r}): executor='process' takes a plain `def`")
        return TaskKind(kind, function, executor, options)

    return declare


class Registry:
    """The kinds that one process can run."""

    def __init__(self, kinds: Iterable[TaskKind[..., Any]] = ()) -> None:
        self._kinds: dict[str, TaskKind[..., Any]] = {}
        for kind in kinds:
            self.add(kind)

    def add(self, kind: TaskKind[..., Any]) -> None:
        known = self._kinds.get(kind.name)
        if known is not None and known is not kind:
            places = [f"{one.function.__module__}.{one.function.__qualname__}" for one in (known, kind)]
            raise ConfigError(f"kind {kind.name!r} is declared twice: {places[0]} and {places[1]}")
        self._kinds[kind.name] = kind

    def add_module(self, module: ModuleType) -> None:
        """Add every kind that is an attribute of the module."""
        for value in list(vars(module).values()):
            if isinstance(value, TaskKind):
                self.add(value)

    def get(self, name: str) -> TaskKind[..., Any] | None:
        return self._kinds.get(name)

    def names(self) -> list[str]:
        return sorted(self._kinds)

    def __iter__(self) -> Iterator[TaskKind[..., Any]]:
        return iter(self._kinds.values())


def load_module(name: str) -> ModuleType:
    """Import `package.module` or a `.py` file. Raises ConfigError with the line that says why it cannot."""
    try:
        return _load_file(Path(name).resolve()) if name.endswith(".py") else importlib.import_module(name)
    except (ConfigError, KeyboardInterrupt):
        raise
    except BaseException as error:  # sys.exit() at the top of a module is a mistake of its own kind
        line = _line(error)
        where = f" (line {line})" if line is not None else ""
        raise ConfigError(f"QUART_APP_TASKS: cannot import {name}{where}: {type(error).__name__}: {error}") from error


def _line(error: BaseException) -> int | None:
    """Of the module that was imported: of its own lines the last one that was on the way to the error."""
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


def _signature(
    kind: str, function: Callable[..., Any]
) -> tuple[bool, type[msgspec.Struct] | None, tuple[tuple[str, str], ...], dict[str, str]]:
    """Whether the function takes a context first, the struct of its args, (parameter, field) names, and the marks of
    parameters by their names."""
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise ConfigError(f"@task({kind!r}): a generator cannot be a task; use ctx.progress and return the result")
    parameters = list(inspect.signature(function).parameters.values())
    takes_context = bool(parameters) and parameters[0].name == "ctx"
    hints = typing.get_type_hints(function, include_extras=True)
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    names: list[tuple[str, str]] = []
    for index, parameter in enumerate(parameters[takes_context:]):
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ConfigError(f"@task({kind!r}): {parameter} cannot come from a JSON object; name the arguments")
        if parameter.name in _RESERVED:
            raise ConfigError(f"@task({kind!r}): an argument cannot be called {parameter.name}")
        annotation = hints.get(parameter.name, Any)
        field = f"f{index}"
        names.append((parameter.name, field))
        if parameter.default is parameter.empty:
            fields.append((field, annotation))
        else:
            fields.append((field, annotation, _default(parameter.default)))
    if not fields:
        return takes_context, None, (), {}
    try:
        struct = msgspec.defstruct(
            "Args",
            fields,
            kw_only=True,
            forbid_unknown_fields=True,
            # Parameters may have names a struct's field may not; the JSON name is the parameter's.
            rename={field: name for name, field in names},
        )
        msgspec.json.schema(struct)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"@task({kind!r}): its signature cannot be checked: {error}") from error
    marked = {name: mark for name, _ in names if (mark := marks.mark_of(hints.get(name))) is not None}
    return takes_context, struct, tuple(names), marked


def _default(value: Any) -> Any:
    if isinstance(value, (list, dict, set, bytearray)) and value:
        return msgspec.field(default_factory=value.copy)
    return value
