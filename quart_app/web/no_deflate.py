"""No compression of WebSocket messages.

Hypercorn always offers permessage-deflate, has no setting for it, and looks at the size of a message only when it is
inflated: a frame of 194 KB became 229 MB of memory (measured). Clients of this service send nothing worth compressing.
So the negotiation is replaced, for every server that uses wsproto, when the routes are made: that is before any server
accepts a connection, also under the bare `hypercorn` command.
"""

from __future__ import annotations

import hypercorn.protocol.ws_stream
import wsproto.handshake


def install() -> None:
    for module in (hypercorn.protocol.ws_stream, wsproto.handshake):
        setattr(module, "server_extensions_handshake", _accept_none)  # noqa: B010 - mypy sees no such name there


def _accept_none(requested: object, supported: object) -> None:
    """In place of wsproto's: the client asks for extensions and gets none (RFC 6455, 9.1)."""
