"""AsyncClient: the service for code that awaits. Each method does what that of Client of the same name does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, TypeVar, overload

import httpx

from quart_app.client import connection, following, waiting
from quart_app.client.awaiting import AsyncLine
from quart_app.client.calls import Service
from quart_app.client.task import AsyncKind, Event, Explanation, Kind, Task

R = TypeVar("R")
Tasks = list[Task[R]]  # within the class `list` is the method
AnyTask = str | Task[Any]
Args = Mapping[str, Any]


class AsyncClient:
    """A task service at a URL, from code that awaits: in each event loop one of its own. Everything is as in Client,
    with `await`, and with `async for` for `events` and `list`."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        key: str | None = None,
        *,
        unavailable_after: float = 60.0,
        **httpx_options: Any,
    ) -> None:
        """`url`: that of the service, with its prefix. `key`: an API key. `httpx_options`: further arguments of
        httpx.AsyncClient, such as `verify`, `limits` or `transport`. Raises ValueError."""
        self._url = connection.where(url)
        self._service = Service(self._url, unavailable_after)
        self._http = httpx.AsyncClient(**connection.settings(url, key, httpx_options))

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncClient {self._url}>"

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    @property
    def _line(self) -> AsyncLine:
        return AsyncLine(self._http, self._url)

    @overload
    async def create(self, kind: AsyncKind[R], args: Args | None = None, **options: Any) -> Task[R]: ...
    @overload
    async def create(self, kind: Kind[R], args: Args | None = None, **options: Any) -> Task[R]: ...
    @overload
    async def create(self, kind: str, args: Args | None = None, **options: Any) -> Task[Any]: ...
    async def create(self, kind: str | Kind[Any], args: Args | None = None, **options: Any) -> Task[Any]:
        """Make a task, once, however often it has to be sent; it is on disk when this returns."""
        return await self._line.run(self._service.create(kind, args, options))

    async def create_many(self, tasks: Sequence[Args]) -> Tasks[Any]:
        """Make up to 1,000 tasks, all or none, in one commit."""
        return await self._line.run(self._service.create_many(tasks))

    @overload
    async def get(self, id: Task[R]) -> Task[R]: ...
    @overload
    async def get(self, id: str) -> Task[Any]: ...
    async def get(self, id: AnyTask) -> Task[Any]:
        """The task as it is now."""
        return await self._line.run(self._service.get(id))

    @overload
    async def wait(
        self,
        id: Task[R],
        timeout: float | None = None,
        progress: Callable[[Task[R]], Any] | None = None,
    ) -> Task[R]: ...
    @overload
    async def wait(
        self,
        id: str,
        timeout: float | None = None,
        progress: Callable[[Task[Any]], Any] | None = None,
    ) -> Task[Any]: ...
    async def wait(
        self,
        id: AnyTask,
        timeout: float | None = None,
        progress: Callable[[Task[Any]], Any] | None = None,
    ) -> Task[Any]:
        """The task when it has ended. `progress` may be a coroutine function. Raises TimeoutError."""
        return await self._line.run(waiting.wait(self._service, id, timeout, progress))

    @overload
    async def wait_many(self, ids: Iterable[Task[R]], timeout: float | None = None) -> Tasks[R]: ...
    @overload
    async def wait_many(self, ids: Iterable[AnyTask], timeout: float | None = None) -> Tasks[Any]: ...
    async def wait_many(self, ids: Iterable[AnyTask], timeout: float | None = None) -> Tasks[Any]:
        """The tasks, in the order of `ids`, when all have ended. Raises TimeoutError."""
        return await self._line.run(waiting.wait_many(self._service, ids, timeout))

    def events(self, id: AnyTask, after: int = 0) -> AsyncIterator[Event]:
        """The events of a task as they happen, until it has ended: each once and in order."""
        return self._line.each(following.events(self._service, id, after))

    @overload
    async def cancel(self, id: Task[R]) -> Task[R]: ...
    @overload
    async def cancel(self, id: str) -> Task[Any]: ...
    async def cancel(self, id: AnyTask) -> Task[Any]:
        """Cancel a task; one that runs is asked to end."""
        return await self._line.run(self._service.cancel(id))

    @overload
    async def retry(self, id: Task[R], from_step: str | None = None, *, restart: bool = False) -> Task[R]: ...
    @overload
    async def retry(self, id: str, from_step: str | None = None, *, restart: bool = False) -> Task[Any]: ...
    async def retry(self, id: AnyTask, from_step: str | None = None, *, restart: bool = False) -> Task[Any]:
        """Run a failed or cancelled task again, from a step on if one is given."""
        return await self._line.run(self._service.retry(id, from_step, restart))

    @overload
    async def fork(self, id: Task[R], from_step: str | None = None, args: Args | None = None) -> Task[R]: ...
    @overload
    async def fork(self, id: str, from_step: str | None = None, args: Args | None = None) -> Task[Any]: ...
    async def fork(
        self,
        id: AnyTask,
        from_step: str | None = None,
        args: Args | None = None,
    ) -> Task[Any]:
        """Make a task that begins where this one was before a step. Not sent again when its answer is lost."""
        return await self._line.run(self._service.fork(id, from_step, args))

    @overload
    async def update(self, id: Task[R], *, if_version: int | None = None, **changes: Any) -> Task[R]: ...
    @overload
    async def update(self, id: str, *, if_version: int | None = None, **changes: Any) -> Task[Any]: ...
    async def update(self, id: AnyTask, *, if_version: int | None = None, **changes: Any) -> Task[Any]:
        """Change a pending task; with `if_version` only if it is still at this version."""
        return await self._line.run(self._service.update(id, if_version, changes))

    def list(self, **filters: Any) -> AsyncIterator[Task[Any]]:
        """The tasks that fit the filters of `GET /tasks`, newest first, page by page as they are taken."""
        return self._line.each(self._service.find(filters))

    async def signal(self, id: AnyTask, name: str, data: Any = None, *, idempotency_key: str | None = None) -> None:
        """Send a signal to a task."""
        await self._line.run(self._service.signal(id, name, data, idempotency_key))

    async def explain(self, id: AnyTask) -> Explanation:
        """Why a task is where it is, and when it may start and end."""
        return await self._line.run(self._service.explain(id))

    @overload
    async def bulk(
        self,
        action: str,
        filter: Args,
        dry_run: Literal[False] = False,
        *,
        reason: str | None = None,
    ) -> Task[Any]: ...
    @overload
    async def bulk(self, action: str, filter: Args, dry_run: Literal[True], *, reason: str | None = None) -> int: ...
    @overload
    async def bulk(
        self,
        action: str,
        filter: Args,
        dry_run: bool,
        *,
        reason: str | None = None,
    ) -> Task[Any] | int: ...
    async def bulk(
        self,
        action: str,
        filter: Args,
        dry_run: bool = False,
        *,
        reason: str | None = None,
    ) -> Task[Any] | int:
        """Cancel, retry or delete all tasks that fit a filter, by a task. `dry_run`: only how many they are."""
        return await self._line.run(self._service.bulk(action, filter, dry_run, reason))
