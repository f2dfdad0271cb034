"""Ports for servers of tests and benchmarks, many of which run at the same time."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from collections import deque
from pathlib import Path
from typing import Final

PORTS: Final = range(10_000, 32_000)  # below those that systems give to outgoing connections
_FOLDER: Final = Path(tempfile.gettempdir()) / "quart_app-ports"
_AT_MOST: Final = 64  # descriptors are few, and the server of the port before these has ended
_held: deque[int] = deque()  # descriptors, which the end of the process closes


def free_port() -> int:
    """A port on which nobody listens, and which no other process gets from here before this one has ended. One that
    was only looked at is taken by another in one of some thousand starts, and a test then speaks to a stranger."""
    _FOLDER.mkdir(exist_ok=True)
    while True:
        port = random.choice(PORTS)
        held = os.open(_FOLDER / str(port), os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(held)
            continue
        _held.append(held)
        if len(_held) > _AT_MOST:
            os.close(_held.popleft())
        return port
