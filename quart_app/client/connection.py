"""What Client and AsyncClient have in common on their way to httpx."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from quart_app.client.steps import Answer, Lost, Send
from quart_app.core.version import __version__

CONNECTING: Final = 5.0  # seconds

_KEY: Final = re.compile(r"[\x21-\x7e]+", re.ASCII)


def settings(url: str, key: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an httpx client. `given`: those of the caller. Raises ValueError."""
    where(url)
    if key is not None and not _KEY.fullmatch(key):
        raise ValueError("a key has only visible ASCII characters")  # the message does not show it
    headers = httpx.Headers({"User-Agent": f"quart_app/{__version__}"})
    headers.update(given.get("headers"))
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    return {**given, "base_url": url, "headers": headers}


def where(url: str) -> str:
    """The URL for messages. Raises ValueError; its message does not show a password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"cannot use this URL: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("cannot use this URL: it must begin with http:// or https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("cannot use this URL: it has a name or a password; a key is given as `key`")
    if parts.query or parts.fragment:
        raise ValueError("cannot use this URL: it has a query or a fragment")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{f':{port}' if port is not None else ''}{parts.path.rstrip('/')}"


def request_of(http: httpx.Client | httpx.AsyncClient, send: Send) -> httpx.Request:
    limits = httpx.Timeout(send.timeout, connect=min(CONNECTING, send.timeout))
    return http.build_request(
        send.method, send.path, params=send.query or None, headers=send.headers, content=send.body, timeout=limits
    )


def answer_of(response: httpx.Response, body: bytes) -> Answer:
    return Answer(response.status_code, {name.lower(): value for name, value in response.headers.items()}, body)


def lost(error: httpx.TransportError, url: str) -> Lost:
    why = f"{url} does not answer ({str(error) or type(error).__name__})"
    return Lost(
        why,
        unsent=isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout),
        timed_out=isinstance(error, httpx.ReadTimeout),
        busy=isinstance(error, httpx.PoolTimeout),
        hopeless=isinstance(error, httpx.UnsupportedProtocol) or _is_of_a_certificate(error),
    )


def _is_of_a_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
