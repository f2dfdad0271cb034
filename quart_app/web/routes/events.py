"""Server-Sent Events from the event rows: of one task until it has ended, or of all tasks of the caller."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final

from quart import Blueprint, Request, Response
from quart.wrappers.base import BaseRequestWebsocket

from quart_app.core.errors import Draining, KeyGone, StoreUnavailable
from quart_app.core.task import STATUSES
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import parse, render
from quart_app.web.protection.auth import caller
from quart_app.web.protection.request_checks import field

if TYPE_CHECKING:
    from quart_app.service.event_feed import Tail
    from quart_app.service.streams import OpenStream

HEARTBEAT: Final = 15.0  # seconds without an event after which a comment shows that the stream is alive
MAX_LIFE: Final = 300.0  # seconds; then the client connects again, and unused connections end
JITTER: Final = 30.0

AFTER: Final[dict[str, parse.Reader]] = {"after": parse.sequence}
EVENT_FILTERS: Final[dict[str, parse.Reader]] = {
    **AFTER,
    "kind": parse.name_text,
    "status": parse.one_of(*STATUSES),
}
_HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would keep the events back
    "Connection": "close",  # nothing follows a stream
}


class StreamViews:
    def __init__(self, state: AppState) -> None:
        self._state = state

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_streams", __name__)
        made.add_url_rule("/tasks/<task_id>/events", "of_task", self.of_task, methods=["GET"])
        made.add_url_rule("/events", "of_all", self.of_all, methods=["GET"])
        return made

    async def of_task(self, task_id: str) -> Response:
        request = this_request()
        after = _after(request, parse.query(request, AFTER).get("after"))
        task = await self._state.service.get(task_id, caller(request).sees)
        if request.method == "HEAD":
            return event_stream(None)
        stream = enter(self._state, request)
        tail = await self._state.started.feed.follow(task_id, after or 0)
        at_end(tail.close)
        stream.ends_by(tail.stop)
        if task.ended and await tail.over():
            return render.empty(204, {"Cache-Control": "no-store"})  # HTML, 9.2.3: the client stops asking
        return event_stream(_frames(tail, stream))

    async def of_all(self) -> Response:
        request = this_request()
        query = parse.query(request, EVENT_FILTERS)
        after = _after(request, query.get("after"))
        engine = self._state.started
        if request.method == "HEAD":
            return event_stream(None)
        stream = enter(self._state, request)
        tail = await engine.feed.follow_all(after, query.get("kind"), query.get("status"), caller(request).sees)
        at_end(tail.close)
        stream.ends_by(tail.stop)
        return event_stream(_frames(tail, stream, mark=True))


def enter(state: AppState, request: BaseRequestWebsocket) -> OpenStream:
    """Count this stream until the task that serves it has ended. Raises TooManyStreams, Draining, KeyGone."""
    engine = state.started
    name = caller(request).name
    if name and engine.keys.of(name) is None:
        raise KeyGone("the key opens nothing any more")
    if engine.draining.is_set():
        raise Draining("the server is stopping")
    scope: Any = request.scope
    client: Any = scope.get("quart_app.peer") or scope.get("client") or ()
    peer = (client[0], client[1]) if len(client) >= 2 else None
    stream = engine.streams.enter(name, peer)
    at_end(lambda: engine.streams.leave(stream))
    if (until := caller(request).until) is not None:
        left = max(until - engine.clock.now(), 0) / 1000
        at_end(asyncio.get_running_loop().call_later(left, stream.dismiss).cancel)
    return stream


def at_end(call: Callable[[], object]) -> None:
    """Have `call` called when the asyncio task that serves the request has ended, however it ends. A client may hang up
    before the first byte of an answer, and then its generator never runs."""
    task = asyncio.current_task()
    assert task is not None
    task.add_done_callback(lambda _: call())


def life() -> float:
    """Seconds that a stream lives. It differs, so that clients that connected together do not return together."""
    return MAX_LIFE + random.random() * JITTER


def _after(request: Request, asked: int | None) -> int | None:
    """The number of the event after which to begin. The header counts more than the query (`asked`), because a client
    that reconnects keeps its first address. Raises InvalidInput."""
    header = field(request, b"last-event-id")
    return asked if header is None else parse.sequence("Last-Event-ID", header)


def event_stream(frames: AsyncIterator[bytes] | None) -> Response:
    """The answer of an event stream; None: the answer to a HEAD."""
    response = Response([] if frames is None else frames, headers=_HEADERS)
    response.timeout = None  # else Quart would end it after a minute
    return response


async def _frames(tail: Tail, stream: OpenStream, mark: bool = False) -> AsyncIterator[bytes]:
    """Yield the frames of the events. `mark`: without an event for the client, also send the number up to which the log
    was read, so that the client continues there (HTML, 9.2.6: a frame without data sets the id and is no event)."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + life()
    chunk = _retry() + (_mark(tail) if mark else b"")
    while True:
        stream.hands(len(chunk))
        yield chunk
        stream.resumes()
        left = ends - loop.time()
        if tail.stopped or tail.ended or left <= 0:
            return
        try:
            events = await tail.next(min(HEARTBEAT, left))
            if not events and not tail.stopped and await tail.over():
                return
        except StoreUnavailable:
            return  # the client connects again, and gets the error as an answer
        chunk = b"".join([render.sse(one) for one in events])
        if tail.stopped or ends <= loop.time():
            chunk += _retry()
        elif not events:
            chunk = b":\n\n" + (_mark(tail) if mark else b"")


def _retry() -> bytes:
    """The time in ms after which to reconnect. It is random, so that not all clients return at once after a restart."""
    return b"retry: %d\n\n" % random.randrange(500, 2500)


def _mark(tail: Tail) -> bytes:
    return b"id: %d\n\n" % tail.position
