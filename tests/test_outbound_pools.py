"""Calls to one target do not hold up calls to another, and what was not asked is not said to be silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from quart_app.process import http_clients
from tests.engine.engine import until
from tests.tasks.sites import WebSite


@pytest.fixture
async def tarpit() -> AsyncIterator[str]:
    """Takes connections and says nothing."""
    writers: list[asyncio.StreamWriter] = []

    async def take(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    server.close()
    for writer in writers:
        writer.close()


@pytest.mark.parametrize("make", [http_clients.trusting_client, lambda: http_clients.client(True)])
async def test_a_target_that_is_silent_holds_up_no_other(
    tarpit: str, make: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_clients, "POOL_SECONDS", 0.2)
    client: httpx.AsyncClient = make()
    waiting = [asyncio.create_task(client.get(tarpit)) for _ in range(150)]
    with WebSite({"/": "here"}).served() as web:
        assert (await client.get(web.url)).text == "here"
    with pytest.raises(httpx.PoolTimeout):
        await client.get(tarpit)
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await client.aclose()


async def test_pools_that_nobody_uses_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_clients, "MAX_TARGETS", 2)
    client = http_clients.trusting_client()
    pools = client._transport._pools  # type: ignore[attr-defined]
    sites = [WebSite({"/": "here"}) for _ in range(4)]
    for site in sites:
        with site.served():
            assert (await client.get(site.url)).text == "here"
    assert len(pools) == 2
    assert [pool.users for pool in pools.values()] == [0, 0]
    await client.aclose()


async def test_where_a_name_leads_is_told_to_the_log_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(http_clients.socket, "getaddrinfo", lambda *_args, **_rest: [(2, 1, 6, "", ("10.9.8.7", 80))])
    async with http_clients.client(False) as client:
        with pytest.raises(http_clients.TargetRefused) as caught:
            await client.get("http://db.corp.example/")
    assert str(caught.value) == "db.corp.example is no public address"
    assert "10.9.8.7" in caplog.text


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("make", [http_clients.trusting_client, lambda: http_clients.client(True)])
async def test_a_request_that_is_cancelled_while_it_connects_leaves_nothing(scheme: str, make: type) -> None:
    """Cancelled in each turn of the event loop until the request is sent; with TLS, which the target does not speak,
    the last cancellations come in the middle of the handshake."""
    connected = 0

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connected
        connected += 1
        await reader.read()  # the first bytes, or the end
        await reader.read()
        connected -= 1
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    client: httpx.AsyncClient = make()
    url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    for turns in range(60):
        asking = asyncio.create_task(client.get(url))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        pools = client._transport._pools.values()  # type: ignore[attr-defined]
        assert [one for pool in pools for one in pool.transport._pool.connections] == []
    await until(lambda: not connected, "the end of the connections")
    await client.aclose()
    server.close()
