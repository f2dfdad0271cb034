"""Files of the service's own, kept in memory and sent in pieces."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from quart import Response

from quart_app.core.errors import TooManyStreams
from quart_app.web import render
from quart_app.web.door import Door, this_request
from quart_app.web.streams import at_end, enter
from quart_app.web.tasks import known_versions

PIECE: Final = 65_536  # bytes that wait for one client
AT_ONCE: Final = 32  # files on their way: a system's buffers take megabytes of each, and filling them is work
CACHE: Final = 3600  # seconds for which a browser keeps them


class FilesInMemory:
    def __init__(self, door: Door) -> None:
        self._door = door
        self._kept: dict[Path, tuple[bytes, str]] = {}
        self._under_way = 0

    async def answer(self, path: Path, media: str) -> Response:
        """The file, or 304 when the browser has it. One that is not sent at once is counted as a stream, for its client
        may take its time. Raises TooManyStreams."""
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
        stream = enter(self._door, request)
        self._under_way += 1
        at_end(self._arrived)

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(data), PIECE):
                piece = data[start : start + PIECE]
                stream.hands(len(piece))
                yield piece
                stream.resumes()

        response = Response(pieces(), headers={**headers, "Content-Length": str(len(data))})
        response.timeout = None  # who does not take it is cut like a stream
        return response

    def _arrived(self) -> None:
        self._under_way -= 1
