"""Client: the service for code that blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, TypeVar, overload

import httpx

from quart_app.client import connection, following, waiting
from quart_app.client.blocking import Line
from quart_app.client.calls import Service
from quart_app.client.task import AsyncKind, Event, Explanation, Kind, Task

R = TypeVar("R")
Tasks = list[Task[R]]  # within the class `list` is the method
AnyTask = str | Task[Any]
Args = Mapping[str, Any]


class Client:
    """A task service at a URL, from code that blocks. Threads may share one.

    Every call goes on through a loss of the connection and a restart of the server, for `unavailable_after` seconds
    without an answer, and then raises Unavailable. It raises Refused or NotFound when the service refuses it, and
    TaskServiceError for any other answer that is of no use. An id may be given as the task itself."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        key: str | None = None,
        *,
        unavailable_after: float = 60.0,
        **httpx_options: Any,
    ) -> None:
        """`url`: that of the service, with its prefix. `key`: an API key. `httpx_options`: further arguments of
        httpx.Client, such as `verify`, `limits` or `transport`. Raises ValueError."""
        self._url = connection.where(url)
        self._service = Service(self._url, unavailable_after)
        self._http = httpx.Client(**connection.settings(url, key, httpx_options))

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client {self._url}>"

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def _line(self) -> Line:
        return Line(self._http, self._url)

    @overload
    def create(self, kind: AsyncKind[R], args: Args | None = None, **options: Any) -> Task[R]: ...
    @overload
    def create(self, kind: Kind[R], args: Args | None = None, **options: Any) -> Task[R]: ...
    @overload
    def create(self, kind: str, args: Args | None = None, **options: Any) -> Task[Any]: ...
    def create(self, kind: str | Kind[Any], args: Args | None = None, **options: Any) -> Task[Any]:
        """Make a task; it is on disk when this returns. One call makes one task, however often it has to be sent: it
        carries an idempotency key, your `idempotency_key` or one of its own.

        `kind`: its name, or what `@task` made, which gives the result its type. `options`: those of the HTTP API, such
        as delay, run_at, priority, queue, max_attempts, timeout, expires, tags, unique_key; a `run_at` is an aware
        datetime. Raises TypeError for args that have no JSON form."""
        return self._line.run(self._service.create(kind, args, options))

    def create_many(self, tasks: Sequence[Args]) -> Tasks[Any]:
        """Make up to 1,000 tasks, all or none, in one commit. Each is `{"kind", "args"}` with the options of `create`.
        They come back in the same order."""
        return self._line.run(self._service.create_many(tasks))

    @overload
    def get(self, id: Task[R]) -> Task[R]: ...
    @overload
    def get(self, id: str) -> Task[Any]: ...
    def get(self, id: AnyTask) -> Task[Any]:
        """The task as it is now."""
        return self._line.run(self._service.get(id))

    @overload
    def wait(
        self,
        id: Task[R],
        timeout: float | None = None,
        progress: Callable[[Task[R]], Any] | None = None,
    ) -> Task[R]: ...
    @overload
    def wait(
        self,
        id: str,
        timeout: float | None = None,
        progress: Callable[[Task[Any]], Any] | None = None,
    ) -> Task[Any]: ...
    def wait(
        self,
        id: AnyTask,
        timeout: float | None = None,
        progress: Callable[[Task[Any]], Any] | None = None,
    ) -> Task[Any]:
        """The task when it has ended, well or not. `progress` is called with the task as it is first, at changes and at
        its end; of changes in quick succession the newest may stand for all. Raises TimeoutError after `timeout`
        seconds."""
        return self._line.run(waiting.wait(self._service, id, timeout, progress))

    @overload
    def wait_many(self, ids: Iterable[Task[R]], timeout: float | None = None) -> Tasks[R]: ...
    @overload
    def wait_many(self, ids: Iterable[AnyTask], timeout: float | None = None) -> Tasks[Any]: ...
    def wait_many(self, ids: Iterable[AnyTask], timeout: float | None = None) -> Tasks[Any]:
        """The tasks, in the order of `ids`, when all have ended. One stream of events tells of all of them. Raises
        TimeoutError after `timeout` seconds, NotFound when one is deleted."""
        return self._line.run(waiting.wait_many(self._service, ids, timeout))

    def events(self, id: AnyTask, after: int = 0) -> Iterator[Event]:
        """The events of a task as they happen, after the one with the number `after`: each once and in order, over
        restarts of the server, until the task has ended."""
        return self._line.each(following.events(self._service, id, after))

    @overload
    def cancel(self, id: Task[R]) -> Task[R]: ...
    @overload
    def cancel(self, id: str) -> Task[Any]: ...
    def cancel(self, id: AnyTask) -> Task[Any]:
        """Cancel a task. One that runs is asked to end: `ended` of the answer tells. Refused (409) when it has ended
        already."""
        return self._line.run(self._service.cancel(id))

    @overload
    def retry(self, id: Task[R], from_step: str | None = None, *, restart: bool = False) -> Task[R]: ...
    @overload
    def retry(self, id: str, from_step: str | None = None, *, restart: bool = False) -> Task[Any]: ...
    def retry(self, id: AnyTask, from_step: str | None = None, *, restart: bool = False) -> Task[Any]:
        """Run a failed or cancelled task again. Its recorded steps are kept; `from_step` forgets that one and all
        recorded after it, `restart` all of them."""
        return self._line.run(self._service.retry(id, from_step, restart))

    @overload
    def fork(self, id: Task[R], from_step: str | None = None, args: Args | None = None) -> Task[R]: ...
    @overload
    def fork(self, id: str, from_step: str | None = None, args: Args | None = None) -> Task[Any]: ...
    def fork(
        self,
        id: AnyTask,
        from_step: str | None = None,
        args: Args | None = None,
    ) -> Task[Any]:
        """Make a task of the same kind that begins with the steps that this one recorded before `from_step` (None: with
        all), and with other args if they are given. The one call that is not sent again when its answer is lost:
        Unavailable then says that it may have been done."""
        return self._line.run(self._service.fork(id, from_step, args))

    @overload
    def update(self, id: Task[R], *, if_version: int | None = None, **changes: Any) -> Task[R]: ...
    @overload
    def update(self, id: str, *, if_version: int | None = None, **changes: Any) -> Task[Any]: ...
    def update(self, id: AnyTask, *, if_version: int | None = None, **changes: Any) -> Task[Any]:
        """Change a pending task: args, priority, run_at, queue, tags, max_attempts, timeout. `if_version`: only if it
        is still at this version (`task.version`), else Refused (412)."""
        return self._line.run(self._service.update(id, if_version, changes))

    def list(self, **filters: Any) -> Iterator[Task[Any]]:
        """The tasks that fit the filters of `GET /tasks`, newest first, page by page as they are taken. They have no
        args and no result, unless `fields="args,result"` asks for them. `limit` is the size of a page."""
        return self._line.each(self._service.find(filters))

    def signal(self, id: AnyTask, name: str, data: Any = None, *, idempotency_key: str | None = None) -> None:
        """Send a signal to a task. It is kept until the task waits for it, once for each call."""
        self._line.run(self._service.signal(id, name, data, idempotency_key))

    def explain(self, id: AnyTask) -> Explanation:
        """Why a task is where it is, and when it may start and end."""
        return self._line.run(self._service.explain(id))

    @overload
    def bulk(
        self,
        action: str,
        filter: Args,
        dry_run: Literal[False] = False,
        *,
        reason: str | None = None,
    ) -> Task[Any]: ...
    @overload
    def bulk(self, action: str, filter: Args, dry_run: Literal[True], *, reason: str | None = None) -> int: ...
    @overload
    def bulk(
        self,
        action: str,
        filter: Args,
        dry_run: bool,
        *,
        reason: str | None = None,
    ) -> Task[Any] | int: ...
    def bulk(
        self,
        action: str,
        filter: Args,
        dry_run: bool = False,
        *,
        reason: str | None = None,
    ) -> Task[Any] | int:
        """Cancel, retry or delete all tasks that fit a filter, by a task, which this returns. `dry_run`: only how many
        they are. `reason`: for the audit log."""
        return self._line.run(self._service.bulk(action, filter, dry_run, reason))
