"""The HTTP clients. The client for URLs that callers or pages chose connects to public addresses only.

A name is resolved once, every address is checked, and the connection goes to a checked address. The name is not
resolved again, so a second answer of the name server (DNS rebinding) has no effect. Host and the TLS name stay those
of the URL.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextvars import ContextVar
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpcore
import httpx

from quart_app.core import outbound_targets
from quart_app.core.outbound_targets import TargetRefused
from quart_app.engine.threads import in_thread

log = logging.getLogger("quart_app.outbound")

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 10.0  # between two pieces of an answer
POOL_SECONDS: Final = 4.0  # for a connection to come free; shorter than what any caller waits for an answer
MAX_CONNECTIONS: Final = 50  # to one target that callers or pages chose
MAX_TRUSTED: Final = 100  # to one target that the operator chose
KEEP_ALIVE: Final = 5.0  # seconds that an idle connection stays open
MAX_TARGETS: Final = 200  # pools; above that, unused ones are closed


def trusting_client() -> httpx.AsyncClient:
    """The client for URLs that the operator chose."""
    context = httpx.create_ssl_context(trust_env=False)
    return _client(_Pools(lambda: _Transport(context, _Network(), MAX_TRUSTED)))


def client(allow_private: bool) -> httpx.AsyncClient:
    """The client for URLs that callers or pages chose."""
    context = httpx.create_ssl_context(trust_env=False)
    return _client(_Pools(lambda: _CheckedTransport(allow_private, context)))


def _client(transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    """A client without redirects, proxies of the environment, and cookies (the tasks of all owners would share a
    jar)."""
    return httpx.AsyncClient(
        transport=transport,
        timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS, pool=POOL_SECONDS),
        follow_redirects=False,
        trust_env=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


class _Pools(httpx.AsyncBaseTransport):
    """A pool of connections for each target, so that a slow target does not delay requests to another."""

    def __init__(self, make: Callable[[], httpx.AsyncHTTPTransport]) -> None:
        self._make = make
        self._pools: dict[tuple[str, str, int | None], _Pool] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        target = (url.scheme, url.host, url.port)
        pool = self._pools.pop(target, None) or _Pool(self._make())
        self._pools[target] = pool  # the most recently used is the last
        pool.users += 1
        try:
            await self._drop_unused()
            response = await pool.transport.handle_async_request(request)
        except BaseException:
            pool.users -= 1
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Used(response.stream, pool)
        return response

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.transport.aclose()

    async def _drop_unused(self) -> None:
        surplus = len(self._pools) - MAX_TARGETS
        unused = [target for target, pool in self._pools.items() if not pool.users] if surplus > 0 else []
        for transport in [self._pools.pop(target).transport for target in unused[:surplus]]:
            await transport.aclose()


class _Pool:
    def __init__(self, transport: httpx.AsyncHTTPTransport) -> None:
        self.transport = transport
        self.users = 0


class _Used(httpx.AsyncByteStream):
    """The stream of an answer; the pool is in use until it is closed."""

    def __init__(self, stream: httpx.AsyncByteStream, pool: _Pool) -> None:
        self._stream = stream
        self._pool: _Pool | None = pool

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            yield piece

    async def aclose(self) -> None:
        pool, self._pool = self._pool, None
        try:
            await self._stream.aclose()
        finally:
            if pool is not None:
                pool.users -= 1


class _Transport(httpx.AsyncHTTPTransport):
    def __init__(self, context: ssl.SSLContext, network: _Network, most: int) -> None:
        """`most`: connections."""
        super().__init__(trust_env=False, verify=context)
        self._pool = _ConnectionPool(context, network, most)


class _CheckedTransport(_Transport):
    """Checks the URL of each request, and the address of each connection."""

    def __init__(self, allow_private: bool, context: ssl.SSLContext) -> None:
        super().__init__(context, _CheckedNetwork(allow_private), MAX_CONNECTIONS)
        self._allow_private = allow_private

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        outbound_targets.check(str(request.url), self._allow_private)
        return await super().handle_async_request(request)


class _ConnectionPool(httpcore.AsyncConnectionPool):
    def __init__(self, context: ssl.SSLContext, network: _Network, most: int) -> None:
        super().__init__(
            ssl_context=context,
            max_connections=most,
            max_keepalive_connections=most,
            keepalive_expiry=KEEP_ALIVE,
            network_backend=network,
        )
        self._context = context
        self._network = network

    def create_connection(self, origin: httpcore.Origin) -> httpcore.AsyncConnectionInterface:
        return _Connection(origin, self._context, KEEP_ALIVE, network_backend=self._network)


class _Connection(httpcore.AsyncHTTPConnection):
    """Closes what its first request opened when that request fails or is cancelled. httpcore 1.0 leaves the socket
    open when the cancellation comes in the TLS handshake, or between the connection and the request; and in the second
    case the connection keeps its place in the pool for ever."""

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        if self.info() != "CONNECTING":
            return await super().handle_async_request(request)
        opened: list[httpcore.AsyncNetworkStream] = []
        before = _opened.set(opened)
        try:
            return await super().handle_async_request(request)
        except BaseException:
            await self.aclose()
            for stream in opened:
                await stream.aclose()
            raise
        finally:
            _opened.reset(before)


_opened: ContextVar[list[httpcore.AsyncNetworkStream] | None] = ContextVar("opened", default=None)


class _Network(httpcore.AnyIOBackend):
    """Tells the connection which sockets it opened."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await super().connect_tcp(host, port, timeout, local_address, socket_options)
        opened = _opened.get()
        if opened is not None:
            opened.append(stream)
        return stream


class _CheckedNetwork(_Network):
    """Connects to public addresses only, unless `allow_private`."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private

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
                return await super().connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                pass  # the error of the last address is raised
        return await super().connect_tcp(addresses[-1], port, timeout, local_address, socket_options)

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None
    ) -> httpcore.AsyncNetworkStream:
        raise TargetRefused("a Unix socket is no public address")

    async def _resolve(self, host: str, port: int, timeout: float | None) -> list[str]:
        """At most three addresses, all of them public. Raises TargetRefused, and httpcore's ConnectError when there is
        none."""
        try:
            # A thread of its own: the end of the process waits for threads of the default executor, and a lookup may
            # take half a minute to fail.
            async with asyncio.timeout(timeout):
                found = await in_thread(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), "resolve")
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} has no address: {error}") from error
        except TimeoutError:
            raise httpcore.ConnectTimeout(f"no name server says where {host} is") from None
        addresses = [str(entry[4][0]) for entry in found]
        if not self._allow_private:
            for address in addresses:
                if not outbound_targets.is_public(address):
                    # The caller must not learn the address of a name inside this network.
                    log.warning("refused to connect to %s: its address %s is not public", host, address)
                    raise TargetRefused(f"{host} is no public address")
        return list(dict.fromkeys(addresses))[:3]
