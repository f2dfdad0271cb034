"""`/dashboard/changes`: tells an open page that something has changed, so that it asks for itself again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from quart import Blueprint, Response

from quart_app.dashboard.frame import Frame
from quart_app.web.app_state import this_request
from quart_app.web.routes.events import HEARTBEAT, at_end, enter, event_stream, life

if TYPE_CHECKING:
    from quart_app.service.event_feed import EventFeed, Tail
    from quart_app.service.streams import OpenStream

PERIOD: Final = 1.0  # seconds between two looks: many open pages must cost little
_CHANGED: Final = b"event: changed\ndata: \n\n"
_RETRY: Final = b"retry: 1000\n\n"


class LiveViews:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._state = frame.state

    def register(self, made: Blueprint) -> None:
        self._frame.add(made, "/dashboard/changes", self.changes)

    async def changes(self) -> Response:
        """It says that something has happened, at most once a period, and not what: no event is read or sent for it."""
        request = this_request()
        stream = enter(self._state, request)
        feed = self._state.started.feed
        tail = await feed.follow_all(None, None, None, None)  # so that the feed reads on; what it gives is not taken
        at_end(tail.close)
        stream.ends_by(tail.stop)
        return event_stream(_frames(feed, tail, stream))


async def _frames(feed: EventFeed, tail: Tail, stream: OpenStream) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    ends, seen, quiet = loop.time() + life(), feed.position, 0.0
    chunk = _RETRY
    while True:
        stream.hands(len(chunk))
        yield chunk
        stream.resumes()
        chunk = b""
        while not chunk:
            if tail.stopped or loop.time() >= ends:
                return
            await asyncio.sleep(PERIOD)
            quiet += PERIOD
            if feed.position != seen:
                seen, chunk = feed.position, _CHANGED
            elif quiet >= HEARTBEAT:
                chunk = b":\n\n"
        quiet = 0.0
