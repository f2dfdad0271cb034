"""Two things that servers do with WebSockets and have no setting for, done otherwise.

Both are replaced when the routes are made: that is before any server accepts a connection, also under the bare
`hypercorn` command. `tests/hostile` and `tests/acceptance` notice when a new version of a server makes them untrue.
"""

from __future__ import annotations

import asyncio
from typing import Any

import hypercorn.protocol.h11
import hypercorn.protocol.ws_stream
import wsproto.handshake
from hypercorn.protocol.events import Event


def install() -> None:
    for module in (hypercorn.protocol.ws_stream, wsproto.handshake):
        setattr(module, "server_extensions_handshake", _accept_none)  # noqa: B010 - mypy sees no such name there
    hypercorn.protocol.h11.WSStream = _Stream  # type: ignore[attr-defined]


def _accept_none(requested: object, supported: object) -> None:
    """No compression: a client asks for extensions and gets none (RFC 6455, 9.1). Hypercorn always offers
    permessage-deflate and looks at the size of a message when it is inflated: a frame of 194 KB became 229 MB of memory
    (measured). Clients of this service send nothing worth compressing."""


class _Stream(hypercorn.protocol.ws_stream.WSStream):
    """Hypercorn's own goes on sleeping between two pings when its connection has ended. Until it wakes the descriptor
    stays open, and a server that stops waits for it: 20 and 5 seconds (measured)."""

    _pinger: asyncio.Task[Any] | None = None

    async def handle(self, event: Event) -> None:
        await super().handle(event)
        if self.closed and self._pinger is not None and self._pinger is not asyncio.current_task():
            self._pinger.cancel()

    async def _send_pings(self) -> None:
        self._pinger = asyncio.current_task()
        await super()._send_pings()
