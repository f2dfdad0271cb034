"""`/words`: a page that starts `stream-words` and shows its words as they come."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from quart import Blueprint, Response
from werkzeug.exceptions import NotFound

from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import parse
from quart_app.web.messages.static_files import FilesInMemory

FILES: Final = {"words.js": "text/javascript", "words.css": "text/css"}
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HERE: Final = Path(__file__).parent


class WordViews:
    def __init__(self, state: AppState) -> None:
        self._files = FilesInMemory(state)

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_words", __name__)
        made.add_url_rule("/words", "page", self.page)
        made.add_url_rule("/words/<asset>", "asset", self.asset)
        return made

    async def page(self) -> Response:
        parse.query(this_request(), {})
        response = await self._files.answer(_HERE / "words.html", "text/html")
        response.headers["Content-Security-Policy"] = POLICY
        return response

    async def asset(self, asset: str) -> Response:
        parse.query(this_request(), {})
        if asset not in FILES:
            raise NotFound
        return await self._files.answer(_HERE / asset, FILES[asset])
