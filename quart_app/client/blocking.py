"""Does the steps of a call and blocks meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, TypeVar

import httpx

from quart_app.client import connection
from quart_app.client.steps import Answer, Close, Course, Give, Lost, Pause, Read, Send, Step, Steps, Tell

T = TypeVar("T")


class Line:
    """The way of one call to the service."""

    def __init__(self, http: httpx.Client, url: str) -> None:
        self._http = http
        self._url = url
        self._stream: httpx.Response | None = None
        self._pieces: Iterator[bytes] = iter(())

    def run(self, steps: Steps[T]) -> T:
        """The result of the call. Raises what it raises."""
        course = Course(steps)
        try:
            while course.step is not None:
                course.go(self._do(course.step))
            result: T = course.result
            return result
        finally:
            course.close()
            self._close()

    def each(self, steps: Steps[None]) -> Iterator[Any]:
        """What the call gives."""
        course = Course(steps)
        try:
            while (step := course.step) is not None:
                if isinstance(step, Give):
                    yield step.value
                    course.go(None)
                else:
                    course.go(self._do(step))
        finally:
            course.close()
            self._close()

    def _do(self, step: Step) -> Any:
        match step:
            case Send():
                return self._send(step)
            case Read():
                return self._read()
            case Pause(seconds):
                time.sleep(seconds)
            case Tell(function, value):
                function(value)
            case Close():
                self._close()
        return None

    def _send(self, send: Send) -> Answer | Lost:
        try:
            response = self._http.send(connection.request_of(self._http, send), stream=True)
            if send.stream and response.status_code == 200:
                self._stream, self._pieces = response, response.iter_bytes()
                return connection.answer_of(response, b"")
            try:
                return connection.answer_of(response, response.read())
            finally:
                response.close()
        except httpx.TransportError as error:
            return connection.lost(error, self._url)

    def _read(self) -> bytes | Lost:
        try:
            return next(self._pieces, b"")
        except httpx.TransportError as error:
            return connection.lost(error, self._url)

    def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
