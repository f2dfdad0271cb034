"""`python -m quart_app serve`: Hypercorn, or uvicorn, in this one process."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config

from quart_app.app import standalone_app
from quart_app.core.errors import ConfigError
from quart_app.process import hypercorn_toml, logs
from quart_app.process.control_socket import MAX_ADDRESS
from quart_app.settings import Settings
from quart_app.web.protection.listeners import listeners

if sys.platform != "win32":
    import resource

log = logging.getLogger("quart_app")

DEFAULT_BIND = "127.0.0.1:8000"


def run(settings: Settings, bind: str | None, config_file: str | None, server: str = "hypercorn") -> None:
    """Serve until a signal. Raises StartupError; the process ends with a code of docs/reference/command-line.md."""
    config = _config(settings, bind, config_file)
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if server == "uvicorn":
        from quart_app.process import uvicorn_server

        uvicorn_server.check(config)
        loop_factory = uvicorn_server.loop_factory()
    _raise_descriptor_limit()
    logs.setup(settings)
    _tell(config, server)
    listening = (*config.bind, *config.insecure_bind, *config.quic_bind)
    app = standalone_app(settings, [address for address in listening if not _is_loopback(address)])
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        loop = runner.get_loop()
        serving = loop.create_task(_serve(app, config, server))
        while not serving.done():
            try:
                loop.run_until_complete(serving)
            except (SystemExit, KeyboardInterrupt, RuntimeError) as error:
                # asyncio passes on the first two from any task or callback of a user, and raises the third when one of
                # them has stopped the loop. The loop can be run again.
                if serving.done() or loop.is_closed():
                    raise
                what = "stopped the event loop" if isinstance(error, RuntimeError) else f"raised {type(error).__name__}"
                log.error("a task's code %s outside of its handler; the server goes on", what)


def _tell(config: _Config, server: str) -> None:
    """Log the keys that Hypercorn does not have, and set up Hypercorn's log. Raises ConfigError."""
    if config.unknown:
        log.warning("%s: Hypercorn has no %s", config.path, ", ".join(key[:80] for key in config.unknown[:20]))
    if server == "hypercorn" and not config.statsd_host:  # with it Hypercorn uses another logger later
        try:
            _ = config.log  # made at the first access, and kept
        except Exception as error:  # a configuration of logging may raise any error
            why = " ".join(str(error).split())[:300]
            raise ConfigError(f"{config.path}: accesslog or logconfig: {why} ({type(error).__name__})") from None


def _raise_descriptor_limit() -> None:
    """Raise the limit of open descriptors as far as the system allows. Each stream is a descriptor, and 2,000 of them
    are more than most systems allow a process at first."""
    if sys.platform != "win32":
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:  # macOS has a hard limit that it does not grant
            log.debug("the limit of open files stays at %d: %s", soft, error)


async def _serve(app: Any, config: _Config, server: str) -> None:
    try:
        if server == "uvicorn":
            from quart_app.process import uvicorn_server

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
    path: Path
    unknown: Sequence[str] = ()  # keys of the file

    def create_ssl_context(self) -> ssl.SSLContext | None:
        try:
            return super().create_ssl_context()
        except (OSError, ValueError) as error:
            raise OSError(0, f"a key of TLS in {self.path}: {error.args[-1]}") from None

    def create_sockets(self) -> Any:
        """Hypercorn's sockets, made so that programs that tasks start do not inherit them: such a program would hold
        the port. Raises OSError."""
        try:
            sockets = super().create_sockets()
        except OSError:
            raise
        except Exception as error:  # such as a name that cannot be a host
            raise OSError(str(error)) from None
        for listening in (*sockets.secure_sockets, *sockets.insecure_sockets, *sockets.quic_sockets):
            listening.set_inheritable(False)
        ours = (listeners(sockets.secure_sockets), listeners(sockets.insecure_sockets), sockets.quic_sockets)
        return type(sockets)(*ours)

    def plain_or_secure_sockets(self) -> list[socket.socket]:
        """The sockets of `bind`. Raises OSError."""
        sockets = self.create_sockets()
        chosen: list[socket.socket] = sockets.secure_sockets if self.ssl_enabled else sockets.insecure_sockets
        return chosen


def _config(settings: Settings, bind: str | None, config_file: str | None) -> _Config:
    path = Path(config_file or "hypercorn.toml")
    given, unknown = hypercorn_toml.read(path) if config_file or path.exists() else ({}, [])
    config = cast(_Config, _Config.from_mapping(given))
    config.path, config.unknown = path, unknown
    _make_absolute(config)
    config.errorlog = logging.getLogger("quart_app.server")  # Hypercorn's own lines, written by our handlers
    config.workers = 1  # called from Python, Hypercorn takes 1 for what the file calls 0
    wanted = bind or settings.bind
    if wanted:
        config.bind = [_absolute(wanted)]
    elif not path.exists():
        config.bind = [DEFAULT_BIND]
    return config


def _make_absolute(config: Config) -> None:
    """Make the paths absolute that Hypercorn uses after tasks' code may have changed the working directory: at the end
    of the start and, for a socket, at the stop."""
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
    # A relative path may be short while its absolute path does not fit into a socket's address.
    return f"unix:{path}" if len(os.fsencode(path)) <= MAX_ADDRESS else address


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    if address.startswith("unix:") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
