"""`/stream` and `/export/users.csv`: answers that are sent while they are made, and end when the client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from quart import Blueprint, Response

from quart_app.core import cells
from quart_app.web import parse
from quart_app.web.door import Door, this_request
from quart_app.web.streams import enter, event_stream

if TYPE_CHECKING:
    from quart_app.services.streams import OpenStream

NUMBERS: Final = 100
PAUSE: Final = 0.1  # seconds between two numbers
ROWS: Final = 1000
AT_ONCE: Final = 100  # rows that are made before they are sent

_CSV: Final = {
    "Content-Type": "text/csv; charset=utf-8",
    "Content-Disposition": "attachment; filename=users.csv",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Connection": "close",  # whoever does not read the rest is cut, and a next request would be cut with it
}


class ExportViews:
    def __init__(self, door: Door) -> None:
        self._door = door

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_exports", __name__)
        made.add_url_rule("/stream", "stream", self.stream)
        made.add_url_rule("/export/users.csv", "users", self.users)
        return made

    async def stream(self) -> Response:
        request = this_request()
        parse.query(request, {})
        if request.method == "HEAD":
            return event_stream(None)
        return event_stream(self._numbers(enter(self._door, request)))

    async def _numbers(self, stream: OpenStream) -> AsyncIterator[bytes]:
        """The first at once. A client that leaves cancels this while it sleeps; a server that stops ends it, and so
        does whoever revokes the client's key."""
        draining, revoked = self._door.started.draining, asyncio.Event()
        stream.ends_by(revoked.set)
        for number in range(NUMBERS):
            if number:
                await asyncio.sleep(PAUSE)
            if draining.is_set() or revoked.is_set():
                return
            frame = b"data: %d\n\n" % number
            stream.hands(len(frame))  # from here until `resumes` the client is slow, not we
            yield frame
            stream.resumes()

    async def users(self) -> Response:
        request = this_request()
        parse.query(request, {})
        response = Response([] if request.method == "HEAD" else _rows(enter(self._door, request)), headers=_CSV)
        response.timeout = None  # a reader may be slow; one that stands still is cut
        return response


async def _rows(stream: OpenStream) -> AsyncIterator[bytes]:
    """A few lines at a time, so that a table of any size takes no more memory than those."""
    text = _line("id", "name", "email")
    for first in range(0, ROWS, AT_ONCE):
        stream.hands(len(text))
        yield text.encode()
        stream.resumes()
        await asyncio.sleep(0)  # others are served between two pieces, however fast the client reads
        numbers = range(first, first + AT_ONCE)
        text = "".join([_line(number, f"User{number}", f"user{number}@example.com") for number in numbers])
    yield text.encode()


def _line(*row: str | int) -> str:
    """Ends as those of the document do."""
    return cells.line(row).removesuffix("\r\n") + "\n"
