"""`POST /uploads`: a file, streamed to disk; tasks take its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quart import Blueprint, Request, Response

from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import parse, render
from quart_app.web.messages.multipart import FormFile
from quart_app.web.protection.auth import caller

if TYPE_CHECKING:
    from quart_app.engine.upload import Upload


class UploadViews:
    def __init__(self, state: AppState) -> None:
        self._state = state

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_uploads", __name__)
        made.add_url_rule("/uploads", "add", self.add, methods=["POST"])
        return made

    async def add(self) -> Response:
        request = this_request()
        parse.query(request, {})
        upload = await receive(self._state, request, "file")
        return render.answer({"upload_id": upload.id, "size": upload.size, "sha256": upload.sha256}, 201)


async def receive(state: AppState, request: Request, part: str, key: str | None = None) -> Upload:
    """Store the file in the part `part` of a form; it is on disk when this returns. With a `key` the same bytes are the
    same upload. Raises Problem, InvalidArgs, UploadsFull, Draining, StoreUnavailable."""
    uploads = state.started.uploads
    file = await FormFile(request, part, state.settings.max_upload).open()
    receiving = uploads.receive(caller(request).name, file.name, file.pieces(), key)
    return await state.keys.during(caller(request), receiving)
