"""A task and its parts, as the HTTP API shows them."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from quart_app.client.errors import TaskServiceError
from quart_app.core import codec, errors, return_types
from quart_app.core.task import TERMINAL, Status

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Kind(Protocol[R_co]):
    """What `@task` makes of a function that returns R."""

    @property
    def name(self) -> str: ...

    @property
    def function(self) -> Callable[..., Any]: ...

    def __call__(self, *args: Any, **kwargs: Any) -> R_co: ...


AsyncKind = Kind[Coroutine[Any, Any, R]]
"""What `@task` makes of an `async def` that returns R."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON object of the API. Its members are attributes; `part["name"]` works as well."""

    def __getitem__(self, name: str) -> Any:
        if name not in self.__struct_fields__:
            raise KeyError(name)
        return getattr(self, name)


class Progress(Part, frozen=True, kw_only=True):
    """How far a task is, as its handler said last; `percent` is null without a total."""

    done: float | int | None = None
    total: float | int | None = None
    percent: float | int | None = None
    message: str | None = None


class TaskError(Part, frozen=True, kw_only=True):
    """The last error of a task."""

    type: str
    message: str
    attempt: int | None = None
    retryable: bool = False


class Children(Part, frozen=True, kw_only=True):
    """How many children a task has; `failed` counts those that were cancelled, too."""

    total: int
    ended: int
    failed: int


class Event(Part, frozen=True, kw_only=True):
    """Something that happened to a task. `id` counts the events of all tasks. `event` is status, progress, log, step or
    output. `data` has `task_id`, `seq`, `at`, `status`, `cause`, `attempt`, and `data`: what belongs to this event."""

    id: int
    event: str
    data: dict[str, Any]


class HoldingLimit(Part, frozen=True, kw_only=True):
    """A limit that a task waits for; `until`: when it may let the task start."""

    name: str
    until: datetime.datetime | None = None
    running: int | None = None
    allowed: int | None = None


class Explanation(Part, frozen=True, kw_only=True):
    """Why a task is where it is: `text` is a sentence. `position` counts the tasks before it; a text such as "1000+"
    when there are too many to count. The expected times come from the last `based_on` runs of its kind."""

    task_id: str
    reason: str
    text: str
    status: Status | None = None
    position: int | str | None = None
    limits: tuple[HoldingLimit, ...] = ()
    expected_start: datetime.datetime | None = None
    expected_end: datetime.datetime | None = None
    based_on: int | None = None


class Task(Part, Generic[R], frozen=True, kw_only=True, dict=True):
    """A task as it was when the service answered. `R` is the type of its result.

    `args` is None in lists that were not asked for it; `result` is None until the task is completed, and there too.
    Times are aware datetimes in UTC."""

    task_id: str
    kind: str
    queue: str
    status: Status
    priority: int
    attempt: int
    max_attempts: int
    crashes: int
    created_at: datetime.datetime
    run_at: datetime.datetime
    version: int
    status_url: str
    events_url: str
    started_at: datetime.datetime | None = None
    completed_at: datetime.datetime | None = None
    progress: Progress | None = None
    args: dict[str, Any] | None = None
    result: R | None = None
    error: TaskError | None = None
    waiting_for: str | None = None
    parent_id: str | None = None
    children: Children | None = None
    forked_from: str | None = None
    unique_key: str | None = None
    code_version: str | None = None
    tags: tuple[str, ...] = ()
    owner: str | None = None

    @property
    def ended(self) -> bool:
        """Whether it is completed, failed or cancelled."""
        return self.status in TERMINAL

    def result_or_raise(self) -> R:
        """The result of a completed task. Raises TaskFailed when it failed or was cancelled, RuntimeError when it has
        not ended."""
        if not self.ended:
            raise RuntimeError(f"task {self.task_id} ({self.kind}) has not ended: it is {self.status}")
        if self.status != "completed":
            raise TaskFailed(self)
        return self.result  # type: ignore[return-value]  # null is the result of a function that returns None

    def __repr__(self) -> str:
        told = ""
        if self.progress is not None and not self.ended:
            percent = f"{self.progress.percent:g} %" if self.progress.percent is not None else ""
            told = " " + ", ".join(text for text in (percent, self.progress.message) if text)
        return f"<Task {self.task_id} {self.kind} {self.status}{told}>"


class TaskFailed(errors.TaskFailed):
    """The task ended `failed` or `cancelled`; `task` says how. It is a `quart_app.TaskFailed`, too."""

    def __init__(self, task: Task[Any]) -> None:
        why = f": {task.error.type}: {task.error.message}" if task.error is not None else ""
        super().__init__(f"task {task.task_id} ({task.kind}) {task.status}{why}")
        self.task = task


def task_of(document: Any, function: Callable[..., Any] | None = None) -> Task[Any]:
    """The task of a decoded answer. `function`: the one of its kind, whose annotation gives the result its type. Raises
    TaskServiceError."""
    task = part_of(document, Task)
    if function is not None:
        if task.status == "completed":
            task = msgspec.structs.replace(task, result=return_types.convert(task.result, function))
        task.__dict__["function"] = function
    return task


def function_of(task: str | Task[Any]) -> Callable[..., Any] | None:
    """The function of the kind that the task was made with, when it was made with one."""
    return None if isinstance(task, str) else task.__dict__.get("function")


P = TypeVar("P", bound=Part)


def part_of(document: Any, shape: type[P]) -> P:
    """Raises TaskServiceError when the document has another form, for example because another service answered."""
    try:
        return msgspec.convert(document, shape)
    except msgspec.ValidationError as error:
        raise TaskServiceError(f"the answer is not that of a task service: {error}") from None


def json_of(value: Any, what: str) -> bytes:
    """JSON text of a value. Raises TypeError for one that has no JSON form; `what` names it."""
    try:
        return codec.dump(value).encode()
    except codec.NotJson as error:
        raise TypeError(f"{what} cannot be sent as JSON: {error}") from None
    except UnicodeEncodeError:
        raise TypeError(f"{what} cannot be sent as JSON: a text holds a lone surrogate") from None
