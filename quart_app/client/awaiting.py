"""Does the steps of a call on an event loop; as blocking.py, with await."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import httpx

from quart_app.client import connection
from quart_app.client.steps import Answer, Close, Course, Give, Lost, Pause, Read, Send, Step, Steps, Tell

T = TypeVar("T")


class AsyncLine:
    """The way of one call to the service."""

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self._http = http
        self._url = url
        self._stream: httpx.Response | None = None
        self._pieces: AsyncIterator[bytes]

    async def run(self, steps: Steps[T]) -> T:
        """The result of the call. Raises what it raises."""
        course = Course(steps)
        try:
            while course.step is not None:
                course.go(await self._do(course.step))
            result: T = course.result
            return result
        finally:
            course.close()
            await self._close()

    async def each(self, steps: Steps[None]) -> AsyncIterator[Any]:
        """What the call gives."""
        course = Course(steps)
        try:
            while (step := course.step) is not None:
                if isinstance(step, Give):
                    yield step.value
                    course.go(None)
                else:
                    course.go(await self._do(step))
        finally:
            course.close()
            await self._close()

    async def _do(self, step: Step) -> Any:
        match step:
            case Send():
                return await self._send(step)
            case Read():
                return await self._read()
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Tell(function, value):
                if inspect.isawaitable(told := function(value)):
                    await told
            case Close():
                await self._close()
        return None

    async def _send(self, send: Send) -> Answer | Lost:
        try:
            response = await self._http.send(connection.request_of(self._http, send), stream=True)
            if send.stream and response.status_code == 200:
                self._stream, self._pieces = response, response.aiter_bytes()
                return connection.answer_of(response, b"")
            try:
                return connection.answer_of(response, await response.aread())
            finally:
                await response.aclose()
        except httpx.TransportError as error:
            return connection.lost(error, self._url)

    async def _read(self) -> bytes | Lost:
        try:
            return await anext(self._pieces, b"")
        except httpx.TransportError as error:
            return connection.lost(error, self._url)

    async def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.aclose()
