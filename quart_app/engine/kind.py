"""`@task(kind, …)`: makes a kind of a function. The signature is the schema of the args."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, Literal, ParamSpec, Protocol, TypeVar

import msgspec

from quart_app.core import arg_types, json_pointers
from quart_app.core.claim_limits import Limit
from quart_app.core.errors import ConfigError, InvalidArgs
from quart_app.core.retry import Errors
from quart_app.core.schedule import Schedule
from quart_app.core.schema import args_schema, explain
from quart_app.core.task import CPU_QUEUE, DEFAULT_QUEUE
from quart_app.core.unique import OnDuplicate
from quart_app.engine import kind_options
from quart_app.engine.kind_limits import KindLimit, limits_of
from quart_app.engine.kind_options import RECYCLE, KindOptions, as_tuple, backoff_of, check_options
from quart_app.engine.processes.memory import size_of

Executor = Literal["async", "thread", "process"]
P = ParamSpec("P")
R = TypeVar("R")

_RESERVED: Final = frozenset({"self", "ctx"})


class Handle(Protocol):
    """What `enqueue` returns; the service's TaskHandle implements it."""

    id: str

    async def result(self, timeout: float | None = None) -> Any: ...


class TaskMaker(Protocol):
    """The part of the service that enqueues the tasks of a kind."""

    async def enqueue_kind(self, kind: str, args: Mapping[str, Any], options: Mapping[str, Any]) -> Handle: ...


class TaskKind(Generic[P, R]):
    """A registered function. It can still be called; `await kind.enqueue(…)` makes a durable task of the call."""

    def __init__(
        self, name: str, function: Callable[..., Any], executor: Executor | None, options: KindOptions
    ) -> None:
        self.name = name
        self.function = function
        self.options = options
        self.executor: Executor = executor or ("async" if inspect.iscoroutinefunction(function) else "thread")
        self.limits: tuple[KindLimit, ...] = ()
        """The limits that hold for its tasks, in the order in which they are asked."""
        self.schedules: list[Schedule] = []
        """The schedules that `@schedule` declares, without times."""
        self.takes_context, self.args_type, self.parameters, self.marks = _signature(name, function)
        kind_options.check_unique(name, options.unique, self.parameters)
        self._maker: TaskMaker | None = None
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

    def bind(self, maker: TaskMaker | None) -> None:
        self._maker = maker

    def _bound(self) -> TaskMaker:
        if self._maker is None:
            raise RuntimeError(f"{self.name}: enqueue() works inside a running app (create_app() or QuartTasks(app))")
        return self._maker

    def schema(self, ref_template: str = "#/$defs/{name}") -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON Schema of the args, and the definitions that it refers to by `ref_template`."""
        return args_schema(self.args_type, ref_template)

    def parse(self, args: Any) -> dict[str, Any]:
        """Check decoded JSON args and give them the types of the signature. Raises InvalidArgs."""
        if type(args) is not dict:
            raise InvalidArgs([("", "the args must be a JSON object")])
        if self.args_type is None:
            if args:
                raise InvalidArgs(
                    [(json_pointers.token(next(iter(args))), f"unknown argument; {self.name} takes none")]
                )
            return args
        try:
            struct = msgspec.convert(args, self.args_type)
        except msgspec.ValidationError as error:
            raise InvalidArgs([explain(self.args_type, error)]) from None
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
    unique: bool | tuple[str, ...] = False,
    on_duplicate: OnDuplicate | None = None,
    debounce: float | None = None,
    executor: Literal["process"] | None = None,
    scope: Literal["write", "admin"] = "write",
    memory: str | int | None = None,
    recycle: int | None = None,
    rate_limit: str | None = None,
    rate_key: str | None = None,
    concurrency: int | None = None,
    concurrency_key: str | None = None,
    limits: Sequence[Limit] = (),
) -> Callable[[Callable[P, R]], TaskKind[P, R]]:
    """Declare a kind of task.

    `async def` runs on the event loop, `def` in a thread, `executor="process"` in a child process that is killed at
    cancel and timeout. `max_attempts` counts runs that end in an error (crashes and stops do not count);
    `backoff` is (first, factor, cap) in seconds, with full jitter; `timeout` is seconds for one attempt; `expires` is
    seconds after which a task that has not started fails; `retention` is seconds for which an ended task is kept.
    `queue` defaults to "cpu" for child processes, which leaves the other slots to other tasks, else to "default". For
    executor="process" only: an attempt that needs more than `memory` ("512MB") ends with the error `out_of_memory`; one
    child runs `recycle` attempts (100). `scope="admin"`: HTTP, schedules and handlers make a task only if its owner's
    key has that scope; the app's own code has no key and may always.

    `rate_limit` ("100/60": starts in any window of 60 seconds) and `concurrency` (tasks that run at once) hold back
    what is above them; `rate_key` and `concurrency_key` name an arg, and each of its values has a limit of its own.
    `limits`: those that several kinds share, see `Limit`. At most four in all.

    `unique`: of tasks with the same args (True), or the same values of the named ones, one is there at a time;
    `on_duplicate` says what becomes of another one, and `debounce` for how many seconds the first waits for more (see
    core/unique.py). Raises ConfigError.
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
        unique=kind_options.unique_of(kind, unique, on_duplicate, debounce),
        memory=None if memory is None else size_of(memory),
        scope=scope,
        recycle=RECYCLE if recycle is None else recycle,
    )
    check_options(kind, options)

    def declare(function: Callable[P, R]) -> TaskKind[P, R]:
        if executor == "process" and inspect.iscoroutinefunction(function):
            raise ConfigError(f"@task({kind!r}): executor='process' takes a plain `def`")
        made: TaskKind[P, R] = TaskKind(kind, function, executor, options)
        names = [name for name, _ in made.parameters]
        made.limits = limits_of(kind, names, rate_limit, rate_key, concurrency, concurrency_key, limits)
        return made

    return declare


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
    marked = {name: mark for name, _ in names if (mark := arg_types.mark_of(hints.get(name))) is not None}
    return takes_context, struct, tuple(names), marked


def _default(value: Any) -> Any:
    if isinstance(value, (list, dict, set, bytearray)) and value:
        return msgspec.field(default_factory=value.copy)
    return value
