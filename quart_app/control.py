"""The operator's door: the same app on a Unix socket beside the data, for the command line.

Whoever may open the socket (mode 0600) is the operator and needs no key. It works under any ASGI server, because the
app itself serves it, with Hypercorn's own parts. It never keeps the server from starting or from stopping.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any, Final

from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config

log = logging.getLogger("quart_app.control")

NAME: Final = "control.sock"
MAX_ADDRESS: Final = 100  # bytes; the kernel takes 107, macOS 103
GRACE: Final = 0.3  # seconds for the connections that the stop cuts

App = Callable[..., Awaitable[None]]


def operator(app: App, prefix: str = "") -> App:
    """The app as its operator reaches it: no key asked, the routes at the root whatever `url_prefix` they have."""

    async def called(scope: MutableMapping[str, Any], *channels: Any) -> None:
        path = prefix + scope["path"]
        await app({**scope, "path": path, "raw_path": path.encode(), "quart_app.operator": True}, *channels)

    return called


@contextlib.contextmanager
def address(folder: Path) -> Iterator[str]:
    """A name of the socket in this folder that fits a socket address, good while the context lasts. Raises OSError."""
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
    """`open` it only while holding the database's lock: it removes what a dead server left behind."""

    def __init__(self, app: App, folder: Path, prefix: str = "") -> None:
        self._app = ASGIWrapper(operator(app, prefix))
        self._folder = folder
        self._config = Config()
        self._config.errorlog = logging.getLogger("quart_app.server")
        self._context = WorkerContext(None)
        self._server: asyncio.Server | None = None
        self._inode = 0
        self._connections: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

    async def open(self) -> None:
        """Listen, or say in the log why not."""
        try:
            with address(self._folder) as path:
                listening, self._inode = _bind(path)
                self._server = await asyncio.start_unix_server(self._connected, sock=listening)
        except (OSError, AttributeError, NotImplementedError) as error:  # the last two: Windows
            log.warning("no control socket in %s: %s; the command line needs --url", self._folder, error)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            loop = asyncio.get_running_loop()
            await TCPServer(self._app, loop, self._config, self._context, {}, reader, writer)
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
        await self._context.terminated.set()  # idle connections close themselves
        for writer in self._connections.values():
            writer.transport.abort()
        if self._connections:
            await asyncio.wait(self._connections, timeout=GRACE)


def _bind(path: str) -> tuple[socket.socket, int]:
    """A socket at this path, and the file's number. What a dead server left there is removed; one that answers is left
    alone."""
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
