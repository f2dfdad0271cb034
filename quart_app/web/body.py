"""Parts of Quart made fit for this service: bodies that are counted as they arrive, and no sessions.

Quart 0.23 counts a body against MAX_CONTENT_LENGTH only when all of it is in memory; this counts as it arrives.
"""

from __future__ import annotations

from typing import Any

from quart import Quart, Request
from quart.sessions import NullSession, SessionInterface
from quart.wrappers.base import BaseRequestWebsocket
from quart.wrappers.request import Body
from werkzeug.exceptions import RequestEntityTooLarge


class BoundedBody(Body):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._arrived = 0

    @property
    def complete(self) -> bool:
        """All of it has arrived (or was refused): awaiting it will not wait."""
        return self._complete.is_set()

    async def put(self, data: bytes) -> None:
        """Called by Quart 0.23 for each piece; 0.22 has `append`, which counts by itself."""
        self._arrived += len(data)
        if self._max_content_length is None or self._arrived <= self._max_content_length:
            await super().put(data)  # type: ignore[misc, unused-ignore]
        elif self._must_raise is None:
            self._must_raise = RequestEntityTooLarge()
            self.set_complete()


class BoundedRequest(Request):
    body_class = BoundedBody
    # create_app has its hooks and error handlers on the app, none on a blueprint; Quart looks for the blueprints of a
    # request four times.
    blueprints: tuple[str, ...] = ()  # type: ignore[assignment]


class NoSessions(SessionInterface):
    """There are no sessions, so opening one for each request is work for nothing."""

    _none = NullSession()

    async def open_session(self, app: Quart, request: BaseRequestWebsocket) -> NullSession:
        return self._none

    def is_null_session(self, instance: object) -> bool:
        return True
