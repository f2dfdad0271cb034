"""`POST /tasks/detect-faces` with a photo in a form: an upload and a task in one request."""

from __future__ import annotations

import importlib.util

from quart import Blueprint, Response

from quart_app.core.errors import QuartAppError
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import parse
from quart_app.web.messages.multipart import is_form
from quart_app.web.messages.problems import Problem
from quart_app.web.routes.tasks import TaskViews
from quart_app.web.routes.uploads import receive

KIND = "detect-faces"


class PhotoViews:
    def __init__(self, state: AppState) -> None:
        self._state = state
        self._tasks = TaskViews(state)

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_photos", __name__)
        made.add_url_rule(f"/tasks/{KIND}", "detect_faces", self.detect_faces, methods=["POST"])
        return made

    async def detect_faces(self) -> Response:
        request = this_request()
        if importlib.util.find_spec("cv2") is None:
            detail = 'faces are found by OpenCV: pip install "quart-app[faces]", or "opencv-python-headless>=4.12,<5"'
            raise Problem(501, "no-opencv", "Not Implemented", detail)
        if not is_form(request):  # {"upload_id": …}, as any other kind takes its args
            return await self._tasks.create(KIND)
        upload = await receive(self._state, request, "photo", parse.idempotency_key(request))
        try:
            return await self._tasks.create(KIND, {"upload_id": upload.id})
        except QuartAppError:
            await self._state.started.uploads.drop(upload.id)
            raise
