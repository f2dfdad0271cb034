"""The HTTP clients. That for URLs that somebody else chose connects to public addresses only.

A name is resolved once, every address is checked, and the connection goes to one that was: a second answer of the name
server (DNS rebinding) finds nobody who asks. Host and the TLS name stay those of the URL.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpcore
import httpx

from quart_app.core import targets
from quart_app.core.targets import TargetRefused
from quart_app.runner.threads import in_thread

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 10.0  # between two pieces of an answer
MAX_CONNECTIONS: Final = 50


def trusting_client() -> httpx.AsyncClient:
    """For URLs of the operator's."""
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=20)
    return _client(httpx.AsyncHTTPTransport(trust_env=False, limits=limits))


def client(allow_private: bool) -> httpx.AsyncClient:
    """For URLs that somebody else chose."""
    return _client(_Transport(allow_private))


def _client(transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    """No redirects, no proxies of the environment, no cookies (one jar would be shared by everybody's tasks)."""
    return httpx.AsyncClient(
        transport=transport,
        timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
        follow_redirects=False,
        trust_env=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


class _Transport(httpx.AsyncHTTPTransport):
    """Checks the URL of each request, and the address of each connection."""

    def __init__(self, allow_private: bool) -> None:
        super().__init__(trust_env=False)
        self._allow_private = allow_private
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_CONNECTIONS,
            keepalive_expiry=5.0,
            network_backend=_Backend(allow_private),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        targets.check(str(request.url), self._allow_private)
        return await super().handle_async_request(request)


class _Backend(httpcore.AsyncNetworkBackend):
    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._resolve(host, port, timeout)
        for address in addresses[:-1]:
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                pass  # the last address says what is wrong
        return await self._network.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None
    ) -> httpcore.AsyncNetworkStream:
        raise TargetRefused("a Unix socket is no public address")

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)

    async def _resolve(self, host: str, port: int, timeout: float | None) -> list[str]:
        """At most three addresses, all of them public. Raises TargetRefused, and httpcore's ConnectError when there is
        none."""
        try:
            # A thread of its own: the end of the process waits for those of the default executor, and a name server
            # may take half a minute to say nothing.
            async with asyncio.timeout(timeout):
                found = await in_thread(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), "resolve")
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} has no address: {error}") from error
        except TimeoutError:
            raise httpcore.ConnectTimeout(f"no name server says where {host} is") from None
        addresses = [str(entry[4][0]) for entry in found]
        if not self._allow_private:
            for address in addresses:
                if not targets.is_public(address):
                    raise TargetRefused(f"{host} has the address {address}, which is not public")
        return list(dict.fromkeys(addresses))[:3]
