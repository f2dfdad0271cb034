"""Closing connections from outside of the server that owns them.

No ASGI server offers a way to abort a connection whose reader has stopped reading, and cancelling the handler leaves
the unsent bytes, and the descriptor, waiting for that reader. So the socket is found among the process's own
descriptors by the address of its other end. It is shut down, not closed: the server notices that and closes it.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Collection
from pathlib import Path
from typing import Final

Address = tuple[str, int]

_FOLDERS: Final = (Path("/proc/self/fd"), Path("/dev/fd"))
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: what is unsent at the close is thrown away


def cut(peers: Collection[Address | None]) -> int:
    """End the connections to these addresses, and return how many there were. Costs some 3 µs for each open descriptor.

    Must run in the event loop's thread. That thread owns the sockets, so no socket is closed meanwhile and its number
    used again. Where the system does not list descriptors (Windows) nothing is cut.
    """
    return sum(_cut(number, peers) for number in _descriptors())


def _cut(number: int, peers: Collection[Address | None]) -> bool:
    try:
        # The family only sizes the buffer for the address; an IPv6 one has room for both.
        probe = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, 0, fileno=number)
    except OSError:  # a file, or a descriptor that is closed by now
        return False
    try:
        if probe.getpeername()[:2] not in peers:  # the peer of a Unix socket is a text, never in `peers`
            return False
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        probe.shutdown(socket.SHUT_RDWR)
        return True
    except OSError:  # it listens, or the other end is gone already
        return False
    finally:
        probe.detach()


def _descriptors() -> list[int]:
    for folder in _FOLDERS:
        if folder.is_dir():
            return [int(name) for name in os.listdir(folder)]  # noqa: PTH208 - the names are wanted, not the paths
    return []
