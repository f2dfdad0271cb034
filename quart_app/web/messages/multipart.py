"""Reads one file of a multipart/form-data body (RFC 7578) in pieces: neither file nor body is ever whole in memory."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final

from quart import Request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from quart_app.core import codec
from quart_app.core.errors import InvalidArgs
from quart_app.web.messages.problems import Problem
from quart_app.web.protection.request_checks import field
from quart_app.web.protection.requests_in_flight import share_of

MAX_HEAD: Final = 16_384  # bytes before a part's content: the preamble, the fields of its head
PIECE: Final = 65_536
IN_MEMORY: Final = 524_288  # bytes of a file at most: half of them wait to be read, half to be written
SLOWEST: Final = 8192  # bytes a second, on average: a slower body is cut off

_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]", re.ASCII)  # RFC 2046, 5.1.1
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def is_form(request: Request) -> bool:
    return (field(request, b"content-type") or "").partition(";")[0].strip().lower() == "multipart/form-data"


class FormFile:
    """The only file of a form, in the part called `part`, of at most `limit` bytes.

    `open` reads up to the first byte of the file, `pieces` to the end of the body. Both raise Problem 400 (no form),
    408 (too slow), 413, 415, 429, 503 (too many bytes in memory), and InvalidArgs (a form of other parts)."""

    def __init__(self, request: Request, part: str, limit: int) -> None:
        self._request = request
        self._part = part
        self._limit = limit
        self.name = ""

    async def open(self) -> FormFile:
        boundary = _boundary(self._request)
        share = share_of(self._request.scope)
        most = min(2 * (self._request.content_length or IN_MEMORY), IN_MEMORY)
        if share is not None and (refused := share.hold(most)) is not None:
            raise refused
        self._decoder = MultipartDecoder(boundary)
        self._body = _pieces(self._request)
        while True:
            event = await self._next()
            if isinstance(event, File | Field):
                self._check(event)
                return self
            if isinstance(event, Epilogue):
                raise self._refused(f"is missing: send the file as the part {self._part}")

    async def pieces(self) -> AsyncIterator[bytes]:
        size = 0
        try:
            while not isinstance(event := await self._next(), Epilogue):
                if not isinstance(event, Data):
                    raise self._refused(f"the form must hold one file, {self._part}, and nothing else")
                size += len(event.data)
                if size > self._limit:
                    detail = f"files are limited to {self._limit} bytes"
                    raise Problem(413, "upload-too-large", "Upload too large", detail, {"Connection": "close"})
                if event.data:
                    yield event.data
        finally:
            await self._body.aclose()

    def _check(self, event: File | Field) -> None:
        if event.name != self._part or not isinstance(event, File):
            raise self._refused(f"send one file, as the part {self._part}, with a filename")
        if str(event.headers.get("content-type", "")).lower().startswith("multipart/"):
            raise self._refused("a form within the form is not taken")
        name = re.split(r"[/\\]", event.filename)[-1]
        self.name = _CONTROL.sub("\ufffd", codec.clean(name, 255)) or "file"

    def _refused(self, detail: str) -> InvalidArgs:
        return InvalidArgs([(f"/{self._part}", detail)])

    async def _next(self) -> Event:
        """The next event other than NeedData. Raises Problem 400, 408."""
        while True:
            try:
                event = self._decoder.next_event()
            except (ValueError, RequestEntityTooLarge):
                raise _broken("the body is no multipart/form-data, or ends too early") from None
            if not isinstance(event, NeedData):
                return event
            if len(self._decoder.buffer) > MAX_HEAD + PIECE:
                raise _broken(f"more than {MAX_HEAD} bytes before the content of a part")
            self._decoder.receive_data(await anext(self._body, None))


def _boundary(request: Request) -> bytes:
    if not is_form(request):
        raise Problem(415, "not-a-form", "Unsupported Media Type", "send the file as multipart/form-data")
    if (field(request, b"content-encoding") or "identity").lower() != "identity":
        raise Problem(415, "encoded", "Unsupported Media Type", "bodies are taken without Content-Encoding")
    boundary = parse_options_header(field(request, b"content-type"))[1].get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise _broken("the Content-Type names no boundary")
    return boundary.encode()


def _broken(detail: str) -> Problem:
    return Problem(400, "bad-form", "Bad form", detail, {"Connection": "close"})


async def _pieces(request: Request) -> AsyncGenerator[bytes, None]:
    """Yield the body in pieces of at most PIECE bytes. Raises Problem 408 for a body that arrives too slowly."""
    pace: Any = getattr(request, "pace", None)
    patience = float(request.body_timeout or 15)
    loop = asyncio.get_running_loop()
    began = loop.time()
    body = aiter(request.body)
    arrived = 0
    while True:
        try:
            # The time that any body may take, and more for each byte that has arrived: a large file takes longer.
            async with asyncio.timeout_at(began + patience + arrived / SLOWEST):
                data = await anext(body, None)
        except TimeoutError:
            slow = {"Connection": "close"}
            raise Problem(408, "slow-body", "Request Timeout", "the body did not arrive in time", slow) from None
        if data is None:
            return
        arrived += len(data)
        if pace is not None:
            pace.taken(len(data))
        for start in range(0, len(data), PIECE):
            yield data[start : start + PIECE]
