"""Changes what uvicorn 0.54 does, also without httptools."""

from __future__ import annotations

from typing import Any, Final

import h11
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol

from quart_app.web.protection.connections import Connections
from quart_app.web.protection.h11_reading import Http1
from quart_app.web.protection.patching import Patch
from quart_app.web.protection.slow_clients import SlowClient

_drains: Final = FlowControl.drain
_opens: Final = H11Protocol.connection_made


def patches(_: Connections) -> list[Patch]:
    return [
        Patch(FlowControl, "drain", _drain, "waits for ever for a client that takes nothing"),
        Patch(H11Protocol, "connection_made", _open, "answers 400 to what follows the last request"),
    ]


def _open(protocol: Any, transport: Any) -> None:
    """Make uvicorn's connection ignore bytes after a request that closes it."""
    protocol.conn = Http1(h11.SERVER, protocol.config.h11_max_incomplete_event_size or 16_384)
    _opens(protocol, transport)


async def _drain(flow: Any) -> None:
    """End the connection of a client that reads nothing."""
    stall = SlowClient(flow._transport)
    try:
        await _drains(flow)
    finally:
        stall.stop()
