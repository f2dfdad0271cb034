"""Who takes nothing is cut, who takes little by little is not."""

from __future__ import annotations

import asyncio
import socket

import pytest

from quart_app.web.protection import slow_clients
from quart_app.web.protection.slow_clients import SlowClient

SIZE = 4 * 2**20


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_clients, "PATIENCE", 0.2)
    monkeypatch.setattr(slow_clients, "PIECE", 1)
    monkeypatch.setattr(slow_clients, "TICK", 0.01)


async def sent(size: int = SIZE) -> tuple[SlowClient, asyncio.StreamWriter, socket.socket]:
    """`size` bytes on their way over a connection that takes some KB at once."""
    server_end, client_end = socket.socketpair()
    for one in (server_end, client_end):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        one.setblocking(False)
    _, writer = await asyncio.open_connection(sock=server_end)
    writer.write(bytes(size))
    return SlowClient(writer.transport), writer, client_end


async def test_a_reader_that_takes_nothing_is_cut() -> None:
    watch, writer, client = await sent()
    with client:
        await asyncio.wait_for(writer.wait_closed(), 20)
    assert watch.over


async def test_a_slow_reader_gets_everything() -> None:
    """It takes many times what PATIENCE is."""
    _, writer, client = await sent()
    loop = asyncio.get_running_loop()
    got = 0
    with client:
        while got < SIZE:
            piece = await asyncio.wait_for(loop.sock_recv(client, 65_536), 20)
            assert piece, f"cut after {got} bytes"
            got += len(piece)
            await asyncio.sleep(0.001)
    writer.close()
    await asyncio.wait_for(writer.wait_closed(), 20)


async def test_a_slow_reader_of_a_stream_gets_everything() -> None:
    """What waits is never less for long: there is always more."""
    watch, writer, client = await sent(65_536)
    loop = asyncio.get_running_loop()
    got = 0
    with client:
        while got < SIZE:
            watch.more(32_768)
            writer.write(bytes(32_768))
            for _ in range(2):
                piece = await asyncio.wait_for(loop.sock_recv(client, 16_384), 20)
                assert piece, f"cut after {got} bytes"
                got += len(piece)
            await asyncio.sleep(0.002)
    assert not watch.over
    watch.stop()
    writer.transport.abort()
