"""`python -m quart_app serve --server uvicorn`: the same addresses, certificates and limits from hypercorn.toml."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any

from quart_app.core.errors import ConfigError

try:
    import uvicorn
    import uvicorn.protocols.http.httptools_impl
except ImportError:
    raise ConfigError(
        "--server uvicorn needs what is not installed: pip install uvicorn httptools uvloop (or quart-app[uvicorn])"
    ) from None

log = logging.getLogger("quart_app.server")


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The loop factory of uvloop; None when uvloop is not installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


class Server(uvicorn.Server):
    """`listen` makes the sockets once the app has started: before that no client can connect."""

    listen: Callable[[], list[socket.socket]]

    async def startup(self, sockets: Any = None) -> None:
        begin = self.lifespan.startup

        async def begin_and_listen() -> None:
            await begin()
            if not self.lifespan.should_exit:
                sockets.extend(self.listen())

        self.lifespan.startup = begin_and_listen
        await super().startup(sockets)
        for one in sockets:
            log.info("Running on %s (CTRL + C to quit)", _shown(one, self.config.is_ssl))


async def serve(app: Any, config: Any, listen: Callable[[], list[socket.socket]]) -> None:
    """Serve until a signal comes. `config`: Hypercorn's. Raises OSError when it cannot listen."""
    server = _server(app, config)
    server.listen = listen
    await server.serve(sockets=[])


def check(config: Any) -> None:
    """Raises ConfigError for settings that uvicorn does not support."""
    if config.quic_bind or (config.ssl_enabled and config.insecure_bind):
        raise ConfigError("--server uvicorn listens on `bind` alone: leave insecure_bind and quic_bind out")


def _server(app: Any, config: Any) -> Server:
    for name in ("uvicorn.error", "uvicorn.asgi"):
        logging.getLogger(name).setLevel(logging.WARNING)  # it writes a line for each WebSocket and each stop
    return Server(
        uvicorn.Config(
            app,
            interface="asgi3",
            http="httptools",
            ws="wsproto",
            lifespan="on",
            log_config=None,
            access_log=bool(config.accesslog),
            proxy_headers=False,
            server_header=config.include_server_header,
            date_header=config.include_date_header,
            root_path=config.root_path,
            backlog=config.backlog,
            ws_max_size=config.websocket_max_message_size,
            ws_ping_interval=config.websocket_ping_interval,
            timeout_keep_alive=int(config.keep_alive_timeout),
            timeout_graceful_shutdown=int(config.graceful_timeout),
            ssl_context_factory=(lambda *_: _tls(config)) if config.ssl_enabled else None,
        )
    )


def _tls(config: Any) -> ssl.SSLContext:
    context: ssl.SSLContext = config.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _shown(listening: socket.socket, tls: bool) -> str:
    name = listening.getsockname()
    if not isinstance(name, tuple):
        return f"unix:{name}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"{'https' if tls else 'http'}://{host}:{name[1]}"
