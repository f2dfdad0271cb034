"""Files that come slowly, not to their end, or faster than they are written."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from werkzeug.datastructures import Headers

from quart_app.web.protection import quart_patches as web_site
from quart_app.web.protection.quart_patches import Pace
from tests.web.forms import FORM, form, send, stored
from tests.web.site import DEADLINE, Site

BODY = form(("file", "a", b"x" * 1000))


def connection(site: Site) -> Any:
    headers = Headers({"Content-Type": FORM, "Content-Length": str(len(BODY))})
    return site.app.test_client().request("/uploads", method="POST", headers=headers)


async def test_a_file_that_comes_too_slowly_is_cut_off(site: Site) -> None:
    site.app.config["BODY_TIMEOUT"] = 0.05
    async with connection(site) as sending:
        await sending.send(BODY[:200])
        assert b"did not arrive in time" in await asyncio.wait_for(sending.receive(), DEADLINE)
        assert sending.status_code == 408
    assert stored(site) == []


async def test_a_client_that_hangs_up_leaves_nothing(site: Site) -> None:
    async with asyncio.timeout(DEADLINE):
        async with connection(site) as sending:
            await sending.send(BODY[:-20])
            while not stored(site):  # noqa: ASYNC110 - a folder rings no bell
                await asyncio.sleep(0.005)
            await sending.disconnect()
        while stored(site):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert site.sql("SELECT * FROM uploads") == []


async def test_an_answer_that_comes_before_the_end_of_a_file_can_be_sent(site: Site) -> None:
    """Hypercorn keeps ten messages for a handler, and its last `send` waits for room for one more."""
    messages: asyncio.Queue[Any] = asyncio.Queue(10)
    answered: list[Any] = []

    async def client() -> None:
        await messages.put({"type": "http.request", "body": BODY.replace(b"file", b"none", 1), "more_body": True})
        while True:
            await messages.put({"type": "http.request", "body": b"x" * web_site.WINDOW, "more_body": True})
            await asyncio.sleep(0)

    async def take(message: Any) -> None:
        answered.append(message)
        for _ in range(20):  # the client goes on
            await asyncio.sleep(0)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            await messages.put({"type": "http.disconnect"})

    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "http_version": "1.1",
        "path": "/uploads",
        "raw_path": b"/uploads",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-type", FORM.encode())],
        "client": ("127.0.0.1", 4000),
        "server": ("127.0.0.1", 80),
        "extensions": {},
    }
    sending = asyncio.create_task(client())
    try:
        await asyncio.wait_for(site.app(scope, messages.get, take), DEADLINE)  # type: ignore[arg-type]
    finally:
        sending.cancel()
    assert answered[0]["status"] == 422
    assert (b"connection", b"close") in answered[0]["headers"]


async def test_a_file_that_was_taken_keeps_its_connection(site: Site) -> None:
    assert "Connection" not in (await send(site, BODY)).headers


async def test_no_more_is_let_in_than_a_window_until_it_is_taken() -> None:
    pace = Pace()
    pace.came(web_site.WINDOW + 1)
    waiting = asyncio.create_task(pace.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    pace.taken(web_site.WINDOW)
    await asyncio.wait_for(waiting, DEADLINE)


@pytest.mark.parametrize("after", [False, True])
async def test_a_body_that_nobody_reads_does_not_hold_its_connection(after: bool) -> None:
    pace = Pace()
    if after:
        pace.end()
    pace.came(web_site.WINDOW * 9)
    pace.end()
    await asyncio.wait_for(pace.room(), DEADLINE)
