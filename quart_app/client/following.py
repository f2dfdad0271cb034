"""Following a stream of events over the ends of its connections: each event once, in order."""

from __future__ import annotations

import time
from typing import Any, Final

from quart_app.client.calls import Service
from quart_app.client.errors import NotFound, TaskServiceError
from quart_app.client.frames import Frame, Frames
from quart_app.client.requests import Query, path_of
from quart_app.client.steps import Close, Give, Lost, Patience, Pause, Read, Send, Steps, ask
from quart_app.client.task import Event, Task
from quart_app.core import codec
from quart_app.core.task import TERMINAL

QUIET: Final = 40.0  # seconds without a byte after which a connection is lost: the server sends a comment every 15 s
SHORTEST: Final = 0.05  # seconds of one read when the caller's time is nearly over
BRIEF: Final = 1.0  # seconds: a connection that ends within them and brings nothing is followed by a pause
AGAIN: Final = 0.5  # seconds of this pause


class Follower:
    """One stream, which goes on after the last event that came when its connection has ended. `query` may be set as
    long as it is closed."""

    def __init__(self, service: Service, path: str, patience: Patience, after: int | None = None) -> None:
        """`after`: the number of an event; None: from now on."""
        self.query: Query = ()
        self.broke = False
        """Whether a connection has ended. The reader may set it back."""
        self._service = service
        self._path = path
        self._patience = patience
        self._after = after
        self._frames = Frames()
        self._open = False
        self._brought = False
        self._began = 0.0
        self._timeout = QUIET

    def to_now(self) -> Steps[None]:
        """Learn the number of the newest event, which the stream of all tasks begins with, and close."""
        while not self._frames.last_id:
            yield from self.read()
        yield from self._close()

    def read(self) -> Steps[list[Frame] | None]:
        """The events that came next, maybe none of them; None when no more will come. Raises NotFound, Refused,
        Unavailable, TaskServiceError, TimeoutError."""
        self._patience.check()
        left = self._patience.left
        # The timeout of a read cannot be changed while a connection is open.
        if self._open and left is not None and self._timeout > max(left, SHORTEST):
            yield from self._close()
        if not self._open and not (yield from self._connect()):
            return None
        came: bytes | Lost = yield Read()
        if isinstance(came, Lost):
            yield from self._close()
            if not came.timed_out or self._timeout == QUIET:
                self.broke = True
                yield self._patience.pause(came.why)
            return []
        if not came:
            yield from self._close()
            self.broke = True
            if not self._brought and time.monotonic() - self._began < BRIEF:
                yield Pause(AGAIN)
            return []
        self._patience.answered()
        found = self._frames.take(came)
        self._brought = self._brought or bool(found)
        return found

    def _connect(self) -> Steps[bool]:
        left = self._patience.left
        # Half of the time that is left, so that it is not overrun by much and few connections are needed.
        self._timeout = QUIET if left is None else min(QUIET, max(left / 2, SHORTEST))
        query, headers = self.query, {"Accept": "text/event-stream"}
        if self._frames.last_id:
            headers["Last-Event-ID"] = self._frames.last_id
        elif self._after is not None:
            query = (*query, ("after", str(self._after)))
        send = Send("GET", self._path, query, headers, timeout=self._timeout, stream=True)
        answer = yield from ask(send, self._patience)
        if answer.status == 204:
            return False
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            raise TaskServiceError("the answer is no stream of events: is the URL that of a task service?")
        self._frames.begin()
        self._open, self._brought, self._began = True, False, time.monotonic()
        return True

    def _close(self) -> Steps[None]:
        if self._open:
            self._open = False
            yield Close()


def events(service: Service, task: str | Task[Any], after: int) -> Steps[None]:
    """Gives the events of a task after the number `after`, until it has ended. Raises as Follower.read."""
    follower = Follower(service, path_of(task, "events"), service.patience(), after)
    ended = False
    while True:
        try:
            frames = yield from follower.read()
        except NotFound:
            if ended:  # and was deleted before the server could say that there is nothing more
                return
            raise
        if frames is None:
            return
        for frame in frames:
            event = event_of(frame)
            ended = event.event == "status" and event.data.get("status") in TERMINAL
            yield Give(event)


def event_of(frame: Frame) -> Event:
    """Raises TaskServiceError."""
    try:
        return Event(id=int(frame.id), event=frame.event, data=codec.loads(frame.data))
    except ValueError:
        raise TaskServiceError(f"this is no event of a task service: {frame!r:.200}") from None
