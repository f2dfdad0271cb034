"""A crowd in `/ws/chat`: clients that stand still, flood, come and go do nothing to the others."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.acceptance.chatters import Chatter
from tests.acceptance.conftest import MakeServer
from tests.acceptance.followers import open_websocket
from tests.acceptance.harness import Command, Server, until
from tests.acceptance.test_streams import every_command

HONEST, STALLED, FLOODING, PASSING = 80, 40, 40, 40
ROUNDS = 12
SPEAKERS = 20

# A client that takes nothing is given up sooner, so that less has to be said: the system would keep 2.5 MB for it.
IMPATIENT = """
import runpy, socket, sys
from quart_app.web.examples import chat
chat.MAX_UNHEARD = 20
listen = socket.socket.listen
def listen_with_little_room(self, *backlog):
    self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    listen(self, *backlog)
socket.socket.listen = listen_with_little_room
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


async def flood(port: int) -> int:
    """Say far too much as fast as it goes; the code of the close."""
    one = await Chatter(port).join()
    try:
        for _ in range(500):
            await one.say("spam " * 40)
    except OSError:
        pass
    code = await one.dropped()
    await one.go()
    return code


async def come_and_go(port: int, stop: asyncio.Event) -> None:
    while not stop.is_set():
        one = await Chatter(port).join()
        await one.say("hello")
        await one.hears("Message: hello")
        await one.go()


async def crowd(server: Server) -> list[Chatter]:
    """What the honest ones heard, while all others did their worst. Each speaks when all have heard the one before."""
    honest = await asyncio.gather(*(Chatter(server.port).join() for _ in range(HONEST)))
    stalled = await asyncio.gather(*(Chatter(server.port, small=True).join(reads=False) for _ in range(STALLED)))
    floods = [asyncio.create_task(flood(server.port)) for _ in range(FLOODING)]
    stop = asyncio.Event()
    passing = [asyncio.create_task(come_and_go(server.port, stop)) for _ in range(PASSING)]
    for number in range(ROUNDS):
        await honest[number].say(f"{number}")
        await asyncio.gather(*(one.hears(f"Message: {number}") for one in honest))
    assert set(await asyncio.gather(*floods)) <= {1008, 1006}  # 1006: cut while it was still sending
    stop.set()
    await asyncio.gather(*passing)
    await honest[0].say("the end")
    await asyncio.gather(*(one.hears("Message: the end") for one in honest))
    assert [one.code for one in honest] == [None] * HONEST, "nobody was dropped with them"
    for one in (*honest, *stalled):
        await one.go()
    return honest


def test_200_clients_that_stall_flood_come_and_go_do_nothing_to_the_others(server: Server) -> None:
    server.start().wait_ready()
    idle, before = memory(server), descriptors(server)
    honest = asyncio.run(crowd(server))
    said = [f"Message: {number}" for number in range(ROUNDS)]
    for one in honest:
        assert one.heard == honest[0].heard
        assert [text for text in one.heard if text in said] == said
    spam = [text for text in honest[0].heard if "spam" in text]
    assert len(spam) <= FLOODING * 40
    assert memory(server) - idle < 60, "MiB"
    until(lambda: server.client.get("/chat").json()["active_connections"] == 0, "an empty room")
    until(lambda: descriptors(server) <= before + 2, "the end of all connections")  # but those of the test's own client
    assert server.sigterm() == 0
    assert "stopped after" not in server.stderr, "the watchdog had to end it"
    assert "Traceback" not in server.stderr + server.log


@pytest.mark.parametrize("command", ["serve", "uvicorn"])
def test_who_does_not_read_is_dropped_and_who_does_hears_everything(server: Server, command: Command) -> None:
    more = ("--loop", "asyncio") if command == "uvicorn" else ()  # uvloop would not hear of the little room
    server.start(command, *more, prefix=("-c", IMPATIENT)).wait_ready()

    async def talk() -> None:
        deaf = await Chatter(server.port, small=True).join(reads=False)
        listening = [await Chatter(server.port).join() for _ in range(SPEAKERS)]
        number = 0
        while (await active(server)) == SPEAKERS + 1:
            text = f"{number} {'x' * 4000}"
            await listening[number // 15].say(text)  # 15 of these are what one may say in two seconds
            await asyncio.gather(*(one.hears(f"Message: {text}") for one in listening))
            number += 1
        assert [one.code for one in listening] == [None] * SPEAKERS
        assert all(len(one.heard) == number for one in listening)
        for one in (deaf, *listening):
            await one.go()

    asyncio.run(talk())
    assert server.sigterm() == 0
    assert "Traceback" not in server.stderr + server.log


async def active(server: Server) -> int:
    answer = await asyncio.to_thread(server.client.get, "/chat")
    count: int = answer.json()["active_connections"]
    return count


@every_command
def test_a_stop_sends_everybody_away_for_a_while(make_server: MakeServer, command: Command) -> None:
    server = make_server(drain_seconds=2)
    server.start(command).wait_ready()

    async def talk() -> list[int]:
        present = [await Chatter(server.port).join() for _ in range(20)]
        stalled = [await Chatter(server.port, small=True).join(reads=False) for _ in range(5)]
        await present[0].say("hi")
        await asyncio.gather(*(one.hears("Message: hi") for one in present))
        assert server.process is not None
        server.process.terminate()
        codes = [await one.dropped() for one in present]
        for one in stalled:
            await one.go()
        return codes

    assert asyncio.run(talk()) == [1012] * 20
    assert server.wait_exit() == 0
    assert "stopped after" not in server.stderr, "the watchdog had to end it"
    assert "Traceback" not in server.stderr + server.log


def test_clients_that_vanish_after_the_handshake_leave_nothing_behind(server: Server) -> None:
    server.start().wait_ready()
    before = descriptors(server)
    for _ in range(20):
        with open_websocket(server.port, "/ws/chat") as opened:
            opened.recv(1)  # the rest is unread, so closing resets the connection
    until(lambda: descriptors(server) <= before + 2, "the end of all connections")
    assert server.sigterm() == 0
    assert "stopped after" not in server.stderr, "the watchdog had to end it"
    assert "Traceback" not in server.stderr + server.log


def memory(server: Server) -> float:
    """MiB that are in use."""
    pages = int(Path(f"/proc/{server.pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def descriptors(server: Server) -> int:
    return len(list(Path(f"/proc/{server.pid}/fd").iterdir()))
