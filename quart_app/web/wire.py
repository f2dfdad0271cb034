"""Two things that servers do with WebSockets and have no setting for, done otherwise.

Both are replaced when the routes are made: that is before any server accepts a connection, also under the bare
`hypercorn` command. `tests/hostile` and `tests/acceptance` notice when a new version of a server makes them untrue.
"""

from __future__ import annotations

import asyncio
from typing import Any

import hypercorn.protocol.ws_stream
import wsproto.handshake
from wsproto.events import Ping


def install() -> None:
    for module in (hypercorn.protocol.ws_stream, wsproto.handshake):
        setattr(module, "server_extensions_handshake", _accept_none)  # noqa: B010 - mypy sees no such name there
    setattr(hypercorn.protocol.ws_stream.WSStream, "_send_pings", _send_pings)  # noqa: B010 - it is a method


def _accept_none(requested: object, supported: object) -> None:
    """No compression: a client asks for extensions and gets none (RFC 6455, 9.1). Hypercorn always offers
    permessage-deflate and looks at the size of a message when it is inflated: a frame of 194 KB became 229 MB of memory
    (measured). Clients of this service send nothing worth compressing."""


async def _send_pings(stream: Any) -> None:
    """Hypercorn's own sleeps on after its connection has ended, and a server that stops waits for it: five seconds,
    and then a traceback for each (measured on Python 3.11)."""
    while not stream.closed:
        await stream._send_wsproto_event(Ping())
        try:
            await asyncio.wait_for(stream.context.terminated.wait(), stream.config.websocket_ping_interval)
            return
        except TimeoutError:
            pass
