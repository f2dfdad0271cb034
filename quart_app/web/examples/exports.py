"""`/stream` and `/export/users.csv`: answers that are sent while they are made. They end when the client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from quart import Blueprint, Response

from quart_app.core import csv_cells
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import parse
from quart_app.web.routes.events import enter, event_stream

if TYPE_CHECKING:
    from quart_app.service.streams import OpenStream

NUMBERS: Final = 100
PAUSE: Final = 0.1  # seconds between two numbers
ROWS: Final = 1000
AT_ONCE: Final = 100  # rows that are made before they are sent

_CSV: Final = {
    "Content-Type": "text/csv; charset=utf-8",
    "Content-Disposition": "attachment; filename=users.csv",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Connection": "close",  # a client that does not read the rest is cut, and a next request would be cut with it
}


class ExportViews:
    def __init__(self, state: AppState) -> None:
        self._state = state

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
        return event_stream(self._numbers(enter(self._state, request)))

    async def _numbers(self, stream: OpenStream) -> AsyncIterator[bytes]:
        """Yield the numbers, the first one at once. A client that leaves cancels this while it sleeps. A stop of the
        server ends it, and so does the revocation of the client's key."""
        draining, revoked = self._state.started.draining, asyncio.Event()
        stream.ends_by(revoked.set)
        for number in range(NUMBERS):
            if number:
                await asyncio.sleep(PAUSE)
            if draining.is_set() or revoked.is_set():
                return
            frame = b"data: %d\n\n" % number
            stream.hands(len(frame))  # until `resumes` the client is slow, not the server
            yield frame
            stream.resumes()

    async def users(self) -> Response:
        request = this_request()
        parse.query(request, {})
        response = Response([] if request.method == "HEAD" else _rows(enter(self._state, request)), headers=_CSV)
        response.timeout = None  # a client may read slowly; one that does not read is cut
        return response


async def _rows(stream: OpenStream) -> AsyncIterator[bytes]:
    """Yield AT_ONCE lines at a time, so that a table of any size takes no more memory than those."""
    text = _line("id", "name", "email")
    for first in range(0, ROWS, AT_ONCE):
        stream.hands(len(text))
        yield text.encode()
        stream.resumes()
        await asyncio.sleep(0)  # other clients are served between two pieces, however fast this one reads
        numbers = range(first, first + AT_ONCE)
        text = "".join([_line(number, f"User{number}", f"user{number}@example.com") for number in numbers])
    yield text.encode()


def _line(*row: str | int) -> str:
    """A line of CSV; it ends with LF alone."""
    return csv_cells.line(row).removesuffix("\r\n") + "\n"
