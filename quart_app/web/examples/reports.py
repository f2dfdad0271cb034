"""`/reports/<file>`: a file that a task made, for the owner of the task alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, BinaryIO, Final

from quart import Blueprint, Response

from quart_app.core import artifacts, codec
from quart_app.core.errors import TaskNotFound
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import parse
from quart_app.web.messages.problems import Problem
from quart_app.web.protection.auth import caller
from quart_app.web.routes.events import at_end, enter

if TYPE_CHECKING:
    from quart_app.service.streams import OpenStream

CHUNK: Final = 262_144  # bytes read and sent at once


class ReportViews:
    def __init__(self, state: AppState) -> None:
        self._state = state

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_reports", __name__)
        made.add_url_rule("/reports/<report>", "report", self.report)
        return made

    async def report(self, report: str) -> Response:
        request = this_request()
        parse.query(request, {})
        await self._check_owner(report, caller(request).sees)
        return await send(self._state, report, {"Content-Disposition": f'attachment; filename="{report}"'})

    async def _check_owner(self, report: str, owner: str | None) -> None:
        """Check that the file belongs to a task of this owner. Its name gives the task, and the task's result says that
        the file is complete. Raises the same Problem 404 for another owner's file and for none."""
        task_id = artifacts.task_of(report)
        if task_id is None:
            raise _not_found()
        try:
            task = await self._state.service.get(task_id, owner)
        except TaskNotFound:
            raise _not_found() from None
        result = codec.loads(task.result) if task.result is not None else None
        if type(result) is not dict or result.get("file_url") != artifacts.file_url(report):
            raise _not_found()


async def send(state: AppState, report: str, headers: dict[str, str]) -> Response:
    """Answer this request with the file, piece by piece. The caller has checked that it may have the file. Raises
    Problem 404 when there is no file."""
    request = this_request()
    try:
        opened, size = await asyncio.to_thread(state.started.files.open, artifacts.FOLDER, report)
    except OSError:  # there is no file, or a symbolic link
        raise _not_found() from None
    at_end(opened.close)
    headers = {
        "Content-Type": artifacts.media_of(report),
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-store",
        "Connection": "close",  # a client that does not read the rest is cut, and a next request would be cut with it
        **headers,
    }
    read = request.method != "HEAD"
    response = Response(_chunks(opened, enter(state, request)) if read else b"", headers=headers)
    response.content_length = size
    response.timeout = None  # a client may read slowly; one that does not read is cut as on any stream
    return response


def _not_found() -> Problem:
    return Problem(404, "file-not-found", "File not found")


async def _chunks(file: BinaryIO, stream: OpenStream) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(file.read, CHUNK):
        stream.hands(len(chunk))
        yield chunk
        stream.resumes()
