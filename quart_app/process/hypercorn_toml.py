"""The keys of hypercorn.toml and the type of each. Hypercorn itself accepts any value: a wrong type ends the server
with a traceback, or a connection, much later."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from quart_app.core.errors import ConfigError

Seconds = Annotated[float, msgspec.Meta(ge=0, le=10**9)]
Number = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Size = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Id = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 2)]
Addresses = str | list[str]

KEYS: Final[dict[str, Any]] = {
    **dict.fromkeys(("bind", "insecure_bind", "quic_bind"), Addresses),
    **dict.fromkeys(("alpn_protocols", "alt_svc_headers", "server_names"), list[str]),
    **dict.fromkeys(("access_log_format", "accesslog", "errorlog", "logconfig", "pid_path", "root_path"), str),
    **dict.fromkeys(("ca_certs", "certfile", "ciphers", "keyfile", "keyfile_password"), str),
    **dict.fromkeys(("dogstatsd_tags", "statsd_host", "statsd_prefix", "application_path", "worker_class"), str),
    "loglevel": Annotated[str, msgspec.Meta(pattern="^(?i:debug|info|warning|error|critical)$")],
    "logconfig_dict": dict[str, Any],
    **dict.fromkeys(("daemon", "debug", "use_reloader", "h11_pass_raw_headers"), bool),
    **dict.fromkeys(("include_date_header", "include_server_header"), bool),
    **dict.fromkeys(("graceful_timeout", "shutdown_timeout", "startup_timeout", "ssl_handshake_timeout"), Seconds),
    **dict.fromkeys(("keep_alive_timeout", "read_timeout"), Seconds),
    "websocket_ping_interval": Annotated[float, msgspec.Meta(gt=0, le=10**9)],
    **dict.fromkeys(("backlog", "workers", "max_requests_jitter", "max_app_queue_size"), Number),
    **dict.fromkeys(("keep_alive_max_requests", "max_requests"), Size),
    **dict.fromkeys(("h11_max_incomplete_size", "websocket_max_message_size", "wsgi_max_body_size"), Size),
    **dict.fromkeys(("h2_max_concurrent_streams", "h2_max_header_list_size"), Number),
    "h2_max_inbound_frame_size": Annotated[int, msgspec.Meta(ge=2**14, le=2**24 - 1)],  # RFC 9113, 6.5.2
    "umask": Annotated[int, msgspec.Meta(ge=0, le=0o777)],
    **dict.fromkeys(("user", "group"), Id),
    **dict.fromkeys(("cert_reqs", "verify_mode"), Annotated[int, msgspec.Meta(ge=0, le=2)]),
    "verify_flags": Number,
}
_ADDRESSES: Final = ("bind", "insecure_bind", "quic_bind")


def read(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The settings of the file, and its keys that Hypercorn does not have. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from None
    given = {key: value for key, value in found.items() if key in KEYS}
    for key, value in given.items():
        try:
            _check(key, value)
        except ValueError as error:
            raise ConfigError(f"{path}: {key}: {error}") from None
    return given, [key for key in found if key not in KEYS]


def _check(key: str, value: Any) -> None:
    """Raises ValueError that says what is expected."""
    msgspec.convert(value, KEYS[key])
    if value != value:
        raise ValueError("expected a number, got nan")
    if key in _ADDRESSES:
        for address in [value] if isinstance(value, str) else value:
            _check_address(address)


def _check_address(address: str) -> None:
    if address.startswith("unix:"):
        wrong = "\0" in address or address == "unix:"
    elif address.startswith("fd://"):
        wrong = re.fullmatch("fd://[0-9]{1,9}", address) is None
    else:
        _, colon, port = address.rpartition(":")
        # Without a port Hypercorn takes 8000. `::1` has no port either, but Hypercorn takes its 1 for one.
        wrong = not address or bool(colon and re.fullmatch("-?[0-9]+", port) and not 0 <= int(port[:9]) < 65_536)
    if wrong:
        raise ValueError(f"expected HOST:PORT, unix:PATH or fd://NUMBER, got {address[:80]!r}")
