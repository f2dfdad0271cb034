"""Serves connections with parts of Hypercorn that are not its public API.

Hypercorn's public `serve` waits at the stop for connections that their clients keep open, and cannot cut them. Imported
by control_socket.py alone, and under a known version only: under another one even the import may fail.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config

# `tests/web/test_patching.py` has a hash of the source of each.
USED: Final = (ASGIWrapper, TCPServer, WorkerContext)


class HypercornConnections:
    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = ASGIWrapper(app)
        self._config = Config()
        self._config.errorlog = logging.getLogger("quart_app.server")
        self._context = WorkerContext(None)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        await TCPServer(self._app, asyncio.get_running_loop(), self._config, self._context, {}, reader, writer)

    async def end_idle(self) -> None:
        """From now on connections without a request close themselves."""
        await self._context.terminated.set()
