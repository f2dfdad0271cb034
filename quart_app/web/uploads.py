"""`POST /uploads`: a file, streamed to disk; tasks take its id."""

from __future__ import annotations

from quart import Blueprint, Request, Response

from quart_app import Upload
from quart_app.web import parse, render
from quart_app.web.auth import caller
from quart_app.web.door import Door, this_request
from quart_app.web.multipart import FormFile


class UploadViews:
    def __init__(self, door: Door) -> None:
        self._door = door

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_uploads", __name__)
        made.add_url_rule("/uploads", "add", self.add, methods=["POST"])
        return made

    async def add(self) -> Response:
        request = this_request()
        parse.query(request, {})
        upload = await receive(self._door, request, "file")
        return render.answer({"upload_id": upload.id, "size": upload.size, "sha256": upload.sha256}, 201)


async def receive(door: Door, request: Request, part: str, key: str | None = None) -> Upload:
    """Take in the file of this part of a form; it is on disk when this returns. With a `key` the same bytes are the
    same upload. Raises Problem, InvalidArgs, UploadsFull, Draining, StoreUnavailable."""
    uploads = door.started.uploads
    file = await FormFile(request, part, door.settings.max_upload).open()
    receiving = uploads.receive(caller(request).name, file.name, file.pieces(), key)
    return await door.keys.during(caller(request), receiving)
