"""The control socket: the same app on a Unix socket beside the data, for the command line.

A client that may open the socket (mode 0600) is the operator and needs no key. The socket works under any ASGI server,
because the app itself serves it, with Hypercorn's own parts. Under a version of Hypercorn that is not known there is no
socket, and commands need --url. It never keeps the server from starting or from stopping.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from quart_app.process import known_versions

if TYPE_CHECKING:
    from quart_app.process.hypercorn_connections import HypercornConnections

log = logging.getLogger("quart_app.control")

NAME: Final = "control.sock"
MAX_ADDRESS: Final = 100  # bytes; the kernel takes 107, macOS 103
GRACE: Final = 0.3  # seconds for the connections that the stop cuts

App = Callable[..., Awaitable[None]]


def operator(app: App, prefix: str = "") -> App:
    """The app for its operator: no request needs a key, and the routes are at the root whatever their `url_prefix`."""

    async def called(scope: MutableMapping[str, Any], *channels: Any) -> None:
        path = prefix + scope["path"]
        await app({**scope, "path": path, "raw_path": path.encode(), "quart_app.operator": True}, *channels)

    return called


@contextlib.contextmanager
def address(folder: Path) -> Iterator[str]:
    """Yield a path of the socket in this folder that fits a socket address. It is valid while the context lasts. Raises
    OSError."""
    path = folder.absolute() / NAME
    if len(os.fsencode(path)) <= MAX_ADDRESS:
        yield str(path)
        return
    # Linux gives an open folder a short name. Elsewhere the bind fails, and the log says so.
    descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        yield f"/proc/self/fd/{descriptor}/{NAME}"
    finally:
        os.close(descriptor)


class ControlSocket:
    """Call `open` only while holding the database's lock: it removes the socket that a dead server left."""

    def __init__(self, app: App, folder: Path, prefix: str = "") -> None:
        self._app = operator(app, prefix)
        self._folder = folder
        self._server: asyncio.Server | None = None
        self._hypercorn: HypercornConnections
        self._inode = 0
        self._connections: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

    async def open(self) -> None:
        """Listen, or log why that is not possible."""
        if not known_versions.is_known("hypercorn"):
            return  # the warning about unknown versions has said so
        try:
            from quart_app.process.hypercorn_connections import HypercornConnections

            self._hypercorn = HypercornConnections(self._app)
            with address(self._folder) as path:
                listening, self._inode = _bind(path)
                self._server = await asyncio.start_unix_server(self._connected, sock=listening)
        except (OSError, ImportError, AttributeError, NotImplementedError) as error:  # the last two: Windows
            log.warning("no control socket in %s: %s; the command line needs --url", self._folder, error)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            await self._hypercorn.serve(reader, writer)
        except asyncio.CancelledError:
            pass  # the loop ends; Python 3.11 would report the cancel as an error of the connection
        except Exception:
            log.debug("a connection of the control socket failed", exc_info=True)
        finally:
            del self._connections[task]

    async def close(self) -> None:
        """Remove the socket and cut what is still connected: waiting for clients could take for ever."""
        if self._server is None:
            return
        self._server.close()
        path = self._folder / NAME
        with contextlib.suppress(OSError):
            if path.stat().st_ino == self._inode:
                path.unlink()
        await self._hypercorn.end_idle()
        for writer in self._connections.values():
            writer.transport.abort()
        if self._connections:
            await asyncio.wait(self._connections, timeout=GRACE)


def _bind(path: str) -> tuple[socket.socket, int]:
    """A socket at this path, and the file's inode number. A socket that a dead server left there is removed. Raises
    OSError when a server answers there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
            raise OSError("another server listens there")
        except FileNotFoundError:
            pass
        except ConnectionRefusedError:
            if Path(path).is_socket():
                Path(path).unlink()
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o177)
    try:
        made.bind(path)
    except BaseException:
        made.close()
        raise
    finally:
        os.umask(umask)
    return made, Path(path).stat().st_ino
