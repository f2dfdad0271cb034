"""The service's own files, kept in memory and sent in pieces."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from quart import Response

from quart_app.core.errors import TooManyStreams
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import render
from quart_app.web.routes.events import at_end, enter
from quart_app.web.routes.tasks import known_versions

PIECE: Final = 65_536  # bytes that wait for one client
AT_ONCE: Final = 32  # files being sent: the system's buffers take megabytes of each, and filling them takes time
CACHE: Final = 3600  # seconds for which a browser keeps them


class FilesInMemory:
    def __init__(self, state: AppState) -> None:
        self._state = state
        self._kept: dict[Path, tuple[bytes, str]] = {}
        self._under_way = 0

    async def answer(self, path: Path, media: str) -> Response:
        """The file, or 304 when the browser has it. A file larger than PIECE is counted as a stream, because its client
        may be slow. Raises TooManyStreams."""
        if path not in self._kept:
            data = await asyncio.to_thread(path.read_bytes)
            self._kept[path] = data, hashlib.sha256(data).hexdigest()[:16]
        data, etag = self._kept[path]
        request = this_request()
        headers = {
            "ETag": f'"{etag}"',
            "Cache-Control": f"public, max-age={CACHE}",
            "X-Content-Type-Options": "nosniff",
        }
        known = known_versions(request)
        if known is not None and ("*" in known or etag in known):
            return render.empty(304, headers)
        headers |= {"Content-Type": f"{media}; charset=utf-8" if media.startswith("text/") else media}
        if len(data) <= PIECE or request.method == "HEAD":
            return Response(data, headers=headers)
        if self._under_way >= AT_ONCE:
            raise TooManyStreams(f"{AT_ONCE} files are being sent; that is the limit")
        stream = enter(self._state, request)
        self._under_way += 1
        at_end(self._arrived)

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(data), PIECE):
                piece = data[start : start + PIECE]
                stream.hands(len(piece))
                yield piece
                stream.resumes()

        response = Response(pieces(), headers={**headers, "Content-Length": str(len(data))})
        response.timeout = None  # a client that does not read is cut as on a stream
        return response

    def _arrived(self) -> None:
        self._under_way -= 1
