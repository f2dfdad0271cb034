"""`python -m quart_app serve`: Hypercorn, or uvicorn, in this one process."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config, Sockets

from quart_app import logs
from quart_app.app import standalone_app
from quart_app.control import MAX_ADDRESS
from quart_app.core.errors import ConfigError
from quart_app.settings import Settings
from quart_app.web.accepting import listeners

if sys.platform != "win32":
    import resource

log = logging.getLogger("quart_app")

DEFAULT_BIND = "127.0.0.1:8000"


def run(settings: Settings, bind: str | None, config_file: str | None, server: str = "hypercorn") -> None:
    """Serve until a signal. Raises StartupError; ends the process with the exit codes of the README."""
    config = _config(settings, bind, config_file)
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if server == "uvicorn":
        from quart_app import uvicorn_server

        uvicorn_server.check(config)
        loop_factory = uvicorn_server.loop_factory()
    _raise_descriptor_limit()
    logs.setup(settings)
    listening = (*config.bind, *config.insecure_bind, *config.quic_bind)
    app = standalone_app(settings, [address for address in listening if not _is_loopback(address)])
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        loop = runner.get_loop()
        serving = loop.create_task(_serve(app, config, server))
        while not serving.done():
            try:
                loop.run_until_complete(serving)
            except (SystemExit, KeyboardInterrupt, RuntimeError) as error:
                # asyncio passes the first two on from any task or callback of a user, and raises the third when one
                # has stopped the loop; it can simply go on.
                if serving.done() or loop.is_closed():
                    raise
                what = "stopped the event loop" if isinstance(error, RuntimeError) else f"raised {type(error).__name__}"
                log.error("a task's code %s outside of its handler; the server goes on", what)


def _raise_descriptor_limit() -> None:
    """Each stream is an open descriptor, and 2,000 of them are more than most systems allow a process at first."""
    if sys.platform != "win32":
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:  # macOS has a hard limit that it does not grant
            log.debug("the limit of open files stays at %d: %s", soft, error)


async def _serve(app: Any, config: _Config, server: str) -> None:
    try:
        if server == "uvicorn":
            from quart_app import uvicorn_server

            await uvicorn_server.serve(app, config, config.plain_or_secure_sockets)
        else:
            await _serve_by_hypercorn(app, config)
    except OSError as error:
        logs.last_words(f"quart_app: cannot listen on {', '.join(config.bind)}: {error.strerror or error}")
        os._exit(ConfigError.exit_code)


async def _serve_by_hypercorn(app: Any, config: _Config) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Installed before the app's own handler, which calls this one after it has begun the drain.
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopping.set))
    await hypercorn_serve(app, config, shutdown_trigger=stopping.wait)


class _Config(Config):
    def create_sockets(self) -> Sockets:
        """Hypercorn's sockets, which programs that tasks start do not inherit: one of them would hold the port."""
        sockets = super().create_sockets()
        for listening in (*sockets.secure_sockets, *sockets.insecure_sockets, *sockets.quic_sockets):
            listening.set_inheritable(False)
        return Sockets(listeners(sockets.secure_sockets), listeners(sockets.insecure_sockets), sockets.quic_sockets)

    def plain_or_secure_sockets(self) -> list[socket.socket]:
        """Those of `bind`."""
        sockets = self.create_sockets()
        return sockets.secure_sockets if self.ssl_enabled else sockets.insecure_sockets


def _config(settings: Settings, bind: str | None, config_file: str | None) -> _Config:
    path = Path(config_file or "hypercorn.toml")
    try:
        config = _Config()
        if config_file or path.exists():
            config = cast(_Config, _Config.from_toml(str(path)))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    _make_absolute(config)
    config.errorlog = logging.getLogger("quart_app.server")  # Hypercorn's own lines, written by our handlers
    config.workers = 1  # Hypercorn's word for 0 when it is called from Python
    wanted = bind or settings.bind
    if wanted:
        config.bind = [_absolute(wanted)]
    elif not path.exists():
        config.bind = [DEFAULT_BIND]
    return config


def _make_absolute(config: Config) -> None:
    """The paths that Hypercorn uses after tasks' code may have changed the working directory: at the end of the start
    and, for a socket, at the stop."""
    for name in ("certfile", "keyfile", "ca_certs", "pid_path", "accesslog"):
        path = getattr(config, name)
        if isinstance(path, str) and path != "-":  # the console
            setattr(config, name, str(Path(path).absolute()))
    for name in ("bind", "insecure_bind", "quic_bind"):
        setattr(config, name, [_absolute(address) for address in getattr(config, name)])


def _absolute(address: str) -> str:
    if not address.startswith("unix:"):
        return address
    path = Path(address.removeprefix("unix:")).absolute()
    # A short name may lead to a folder whose whole name does not fit into a socket's address.
    return f"unix:{path}" if len(os.fsencode(path)) <= MAX_ADDRESS else address


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    if address.startswith("unix:") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
