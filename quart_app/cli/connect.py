"""How a command reaches the HTTP API: over a URL, over the control socket of the running server, or, when none runs,
through the app in this process, which then holds the database as a server would."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.request import getproxies

import httpx

from quart_app.cli.errors import CommandError, Held, NoAnswer, Refused
from quart_app.core.errors import StoreBusy
from quart_app.process.logs import escape
from quart_app.settings import Settings
from quart_app.store.sqlite import lock

PATIENCE: Final = 5.0  # seconds to wait for a server that starts or stops: it holds the database and has no socket
SLOW: Final = 15.0  # seconds for an answer, in addition to the time that the request asks the server to wait
BASE: Final = "http://localhost"


class Api:
    """The HTTP API. `offline`: the app is in this process and runs no tasks. `held`: the error for a server that
    hangs."""

    def __init__(
        self, client: httpx.AsyncClient, where: str, offline: bool = False, held: CommandError | None = None
    ) -> None:
        self.client = client
        self.offline = offline
        self._where = where
        self._held = held

    async def call(self, method: str, path: str, wait: float = 0, **more: Any) -> httpx.Response:
        """Send a request and return the answer, whose status is below 400. `wait`: seconds that the request asks the
        server to wait. Raises Refused, NoAnswer, Held."""
        try:
            answer = await self.client.request(method, path, timeout=SLOW + wait, **more)
        except httpx.HTTPError as error:
            raise self.no_answer(error) from error
        self.check(answer)
        return answer

    def check(self, answer: httpx.Response) -> None:
        """Raises Refused with the text of the problem document when the status is 400 or above."""
        if answer.status_code >= 400:
            raise Refused(_problem(answer), answer.status_code)

    def no_answer(self, error: httpx.HTTPError) -> CommandError:
        if isinstance(error, httpx.TimeoutException) and self._held is not None:
            return self._held
        return NoAnswer(escape(f"{self._where} does not answer ({str(error) or type(error).__name__})"))


def task_path(task_id: str) -> str:
    """The path of a task. Raises Refused for a text that is no id: it could lead to another address."""
    if not re.fullmatch(r"[0-9A-Za-z-]{1,100}", task_id):
        raise Refused("Task not found", 404)
    return f"/tasks/{task_id}"


def _problem(answer: httpx.Response) -> str:
    try:
        document = answer.json()
        title, detail = str(document["title"]), str(document.get("detail", ""))
        line, kind = title if detail in ("", title) else f"{title}: {detail}", document.get("type")
    except (ValueError, LookupError, TypeError, AttributeError):
        line, kind = f"the answer was {answer.status_code} {answer.reason_phrase}", "about:blank"
    if answer.status_code == 404 and kind == "about:blank":  # the route is missing, not the task
        line += f": there is no {answer.request.url.path}; --url takes the url_prefix of the service, too"
    if answer.status_code == 401:
        line += " (--key or QUART_APP_KEY names one)"
    return escape(line)


@contextlib.asynccontextmanager
async def reach(settings: Settings, url: str | None, key: str | None) -> AsyncIterator[Api]:
    """Yield the API over the URL, the control socket or the app in this process. Raises NoAnswer, Held, StartupError,
    CommandError."""
    if url is not None:
        async with over_url(url, key or settings.key) as api:
            yield api
        return
    ends = time.monotonic() + PATIENCE
    async with contextlib.AsyncExitStack() as stack:
        while True:
            found = await _socket(settings, stack) or await _offline(settings, stack, ends)
            if found is not None:
                yield found
                return
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def over_url(url: str, key: str) -> AsyncIterator[Api]:
    if not re.fullmatch(r"[\x21-\x7e]*", key):
        raise CommandError("a key has only visible ASCII characters")  # the message does not show it
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        client = httpx.AsyncClient(base_url=url, headers=headers)
        if client.base_url.scheme not in ("http", "https") or not client.base_url.host:
            raise ValueError("it must begin with http:// or https:// and name a host")
        _check_port(client.base_url)
        for scheme in ("http", "https", "all"):
            _check_port(httpx.URL(getproxies().get(scheme, "")))
    except (httpx.InvalidURL, ValueError) as error:
        raise CommandError(escape(f"cannot use --url: {error}")) from None
    except OSError as error:
        raise CommandError(f"cannot use SSL_CERT_FILE or SSL_CERT_DIR: {error.strerror or error}") from None
    async with client:
        yield Api(client, url)


def _check_port(url: httpx.URL) -> None:
    """httpx accepts any number as a port; the socket then raises an error that is not httpx's. Raises ValueError."""
    if url.port is not None and not 0 <= url.port < 65_536:
        raise ValueError(f"no port {url.port}")


@contextlib.asynccontextmanager
async def over_socket(settings: Settings) -> AsyncIterator[Api | None]:
    """Yield the API of the running server of this data folder; None when nothing listens there."""
    async with contextlib.AsyncExitStack() as stack:
        yield await _socket(settings, stack)


async def _socket(settings: Settings, stack: contextlib.AsyncExitStack) -> Api | None:
    from quart_app.process import control_socket

    try:
        path = stack.enter_context(control_socket.address(settings.data_path))
        _, writer = await asyncio.open_unix_connection(path)
    except (OSError, AttributeError, NotImplementedError):  # the last two: Windows
        return None
    writer.close()
    # There is no TLS on this socket. Without `verify=False` httpx would read all authorities, for 20 ms.
    transport = httpx.AsyncHTTPTransport(uds=path, verify=False)
    client = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url=BASE))
    return Api(client, f"the server of {settings.data_path}", held=_held(settings))


async def _offline(settings: Settings, stack: contextlib.AsyncExitStack, ends: float) -> Api | None:
    """The app in this process; None when a server holds the database and there is time to look for its socket again."""
    from quart_app.app import idle_app
    from quart_app.process import control_socket

    try:
        app = await stack.enter_async_context(idle_app(settings))
    except StoreBusy:
        if time.monotonic() < ends:
            return None
        raise _held(
            settings, "; --url http://HOST:PORT reaches a server whose log says that it has no socket"
        ) from None
    transport = httpx.ASGITransport(control_socket.operator(app), raise_app_exceptions=False)
    client = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url=BASE))
    return Api(client, "the app", offline=True)


def _held(settings: Settings, hint: str = "") -> Held:
    from quart_app.process import control_socket

    who, socket = lock.holder(settings.database_path), settings.data_path / control_socket.NAME
    return Held(f"{who} holds {settings.database_path} and does not answer at {socket}{hint}")
