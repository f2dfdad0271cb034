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
from quart_app.web import parse, render
from quart_app.web.auth import caller
from quart_app.web.door import Door, this_request
from quart_app.web.guard import field

if TYPE_CHECKING:
    from quart_app.services.feed import Tail
    from quart_app.services.streams import OpenStream

HEARTBEAT: Final = 15.0  # seconds without an event after which a comment says that the stream is alive
MAX_LIFE: Final = 300.0  # seconds; then the client connects again, and forgotten connections come to an end
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
    def __init__(self, door: Door) -> None:
        self._door = door

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_streams", __name__)
        made.add_url_rule("/tasks/<task_id>/events", "of_task", self.of_task, methods=["GET"])
        made.add_url_rule("/events", "of_all", self.of_all, methods=["GET"])
        return made

    async def of_task(self, task_id: str) -> Response:
        request = this_request()
        after = _after(request, parse.query(request, AFTER).get("after"))
        task = await self._door.service.get(task_id, caller(request).sees)
        if request.method == "HEAD":
            return event_stream(None)
        stream = enter(self._door, request)
        tail = await self._door.started.feed.follow(task_id, after or 0)
        at_end(tail.close)
        stream.ends_by(tail.stop)
        if task.ended and await tail.over():
            return render.empty(204, {"Cache-Control": "no-store"})  # HTML, 9.2.3: the client stops asking
        return event_stream(_frames(tail, stream))

    async def of_all(self) -> Response:
        request = this_request()
        query = parse.query(request, EVENT_FILTERS)
        after = _after(request, query.get("after"))
        engine = self._door.started
        if request.method == "HEAD":
            return event_stream(None)
        stream = enter(self._door, request)
        tail = await engine.feed.follow_all(after, query.get("kind"), query.get("status"), caller(request).sees)
        at_end(tail.close)
        stream.ends_by(tail.stop)
        return event_stream(_frames(tail, stream, mark=True))


def enter(door: Door, request: BaseRequestWebsocket) -> OpenStream:
    """Count this stream until the task that serves it has ended. Raises TooManyStreams, Draining, KeyGone."""
    engine = door.started
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
    """Call this when the task that serves the request has ended, however it ends: a client may hang up before the
    first byte of an answer, and then nothing of its generator ever runs."""
    task = asyncio.current_task()
    assert task is not None
    task.add_done_callback(lambda _: call())


def life() -> float:
    """Seconds that a stream lives. Not all the same, so that what began together does not come back together."""
    return MAX_LIFE + random.random() * JITTER


def _after(request: Request, asked: int | None) -> int | None:
    """After which event. The header is younger than the address, which a client that reconnects keeps."""
    header = field(request, b"last-event-id")
    return asked if header is None else parse.sequence("Last-Event-ID", header)


def event_stream(frames: AsyncIterator[bytes] | None) -> Response:
    """The answer of an event stream; None: the answer to a HEAD."""
    response = Response([] if frames is None else frames, headers=_HEADERS)
    response.timeout = None  # else Quart would end it after a minute
    return response


async def _frames(tail: Tail, stream: OpenStream, mark: bool = False) -> AsyncIterator[bytes]:
    """`mark`: also tell the client how far the log was read when there is no event for it, so that it comes back to
    there (HTML, 9.2.6: a frame without data sets the id and is no event)."""
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
            return  # it connects again, and is told why there is nothing
        chunk = b"".join([render.sse(one) for one in events])
        if tail.stopped or ends <= loop.time():
            chunk += _retry()
        elif not events:
            chunk = b":\n\n" + (_mark(tail) if mark else b"")


def _retry() -> bytes:
    """When to come back, in ms: spread, so that a server that starts again does not meet everybody at once."""
    return b"retry: %d\n\n" % random.randrange(500, 2500)


def _mark(tail: Tail) -> bytes:
    return b"id: %d\n\n" % tail.position
