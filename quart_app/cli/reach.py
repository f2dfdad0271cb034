"""How a command reaches the HTTP API: over a URL, over the control socket of the running server, or, when none runs,
through the app in this very process, which then holds the database as a server would."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx

from quart_app.cli.errors import CommandError, Held, NoAnswer, Refused
from quart_app.core.errors import StoreBusy
from quart_app.logs import escape
from quart_app.settings import Settings
from quart_app.store import lock

PATIENCE: Final = 5.0  # seconds for a server that starts or stops: it holds the database and has no socket
SLOW: Final = 15.0  # seconds for an answer, beside what the request itself asks to wait
BASE: Final = "http://localhost"


class Api:
    """The HTTP API; `offline`: in this process, where nothing runs. `held`: what to say of a server that hangs."""

    def __init__(
        self, client: httpx.AsyncClient, where: str, offline: bool = False, held: CommandError | None = None
    ) -> None:
        self.client = client
        self.offline = offline
        self._where = where
        self._held = held

    async def call(self, method: str, path: str, wait: float = 0, **more: Any) -> httpx.Response:
        """The answer, when it is a good one. `wait`: how long the request asks the server to wait. Raises Refused,
        NoAnswer, Held."""
        try:
            answer = await self.client.request(method, path, timeout=SLOW + wait, **more)
        except httpx.HTTPError as error:
            raise self.no_answer(error) from error
        self.check(answer)
        return answer

    def check(self, answer: httpx.Response) -> None:
        """Raises Refused with what the problem document says."""
        if answer.status_code >= 400:
            raise Refused(_problem(answer), answer.status_code)

    def no_answer(self, error: httpx.HTTPError) -> CommandError:
        if isinstance(error, httpx.TimeoutException) and self._held is not None:
            return self._held
        return NoAnswer(escape(f"{self._where} does not answer ({str(error) or type(error).__name__})"))


def task_path(task_id: str) -> str:
    """Raises Refused for a text that can be no id and might be another address."""
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
    if answer.status_code == 404 and kind == "about:blank":  # no such route, rather than no such task
        line += f": there is no {answer.request.url.path}; --url takes the url_prefix of the service, too"
    if answer.status_code == 401:
        line += " (--key or QUART_APP_KEY names one)"
    return escape(line)


@contextlib.asynccontextmanager
async def reach(settings: Settings, url: str | None, key: str | None) -> AsyncIterator[Api]:
    """Raises NoAnswer, Held, StartupError, CommandError."""
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
        raise CommandError("a key has only visible ASCII characters")  # and is shown in no message
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        client = httpx.AsyncClient(base_url=url, headers=headers)
        if client.base_url.scheme not in ("http", "https") or not client.base_url.host:
            raise ValueError("it must begin with http:// or https:// and name a host")
    except (httpx.InvalidURL, ValueError) as error:
        raise CommandError(escape(f"cannot use --url: {error}")) from None
    async with client:
        yield Api(client, url)


@contextlib.asynccontextmanager
async def over_socket(settings: Settings) -> AsyncIterator[Api | None]:
    """The running server of this data folder; None when nothing listens there."""
    async with contextlib.AsyncExitStack() as stack:
        yield await _socket(settings, stack)


async def _socket(settings: Settings, stack: contextlib.AsyncExitStack) -> Api | None:
    from quart_app import control

    try:
        path = stack.enter_context(control.address(settings.data_path))
        _, writer = await asyncio.open_unix_connection(path)
    except (OSError, AttributeError, NotImplementedError):  # the last two: Windows
        return None
    writer.close()
    transport = httpx.AsyncHTTPTransport(uds=path)
    client = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url=BASE))
    return Api(client, f"the server of {settings.data_path}", held=_held(settings))


async def _offline(settings: Settings, stack: contextlib.AsyncExitStack, ends: float) -> Api | None:
    """The app in this process; None when a server holds the database and there is time to look for its socket again."""
    from quart_app import control
    from quart_app.app import idle_app

    try:
        app = await stack.enter_async_context(idle_app(settings))
    except StoreBusy:
        if time.monotonic() < ends:
            return None
        raise _held(settings) from None
    transport = httpx.ASGITransport(control.operator(app), raise_app_exceptions=False)
    client = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url=BASE))
    return Api(client, "the app", offline=True)


def _held(settings: Settings) -> Held:
    from quart_app import control

    who = lock.holder(settings.database_path)
    return Held(f"{who} holds {settings.database_path} and does not answer at {settings.data_path / control.NAME}")
