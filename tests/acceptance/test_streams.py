"""Streams over real servers: nothing lost and nothing twice over deaths and stops, and no stream holds a server up."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.followers import Follower, open_stream, open_websocket, read_all
from tests.acceptance.harness import Command, Server, sockets_of, until

STREAMS = 100
TASKS = 20

every_command = pytest.mark.parametrize("command", ["serve", "serve-uvicorn", "hypercorn", "uvicorn"])


@contextmanager
def following(followers: list[Follower]) -> Iterator[None]:
    """The followers run in a thread of their own; each ends with a 204, or with this block."""

    async def run() -> None:
        await asyncio.gather(*(one.run() for one in followers))

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    try:
        yield
    finally:
        for one in followers:
            one.done = True
        thread.join(10)


def test_every_stream_has_every_event_once_and_in_order_over_kills_and_stops(server: Server, journal: Path) -> None:
    server.start().wait_ready()
    args = {"path": str(journal), "count": 6, "pause": 0.4}
    ids = [server.post("steps", args) for _ in range(TASKS)]
    of_task = [Follower(server.port, f"/tasks/{ids[number % TASKS]}/events") for number in range(STREAMS - 10)]
    of_all = [Follower(server.port, "/events?after=0") for _ in range(10)]
    with following(of_task + of_all):
        until(lambda: all(one.events for one in of_task + of_all), "the first event of every stream")
        server.kill9()
        server.start().wait_ready()
        until(lambda: all(one.connections == 2 for one in of_task + of_all), "every stream again")
        assert server.sigterm() == 0
        server.start().wait_ready()
        for task_id in ids:
            assert server.ended(task_id)["status"] == "completed"
        until(lambda: all(one.done for one in of_task), "the end of every stream")
        rows = server.rows("SELECT e.seq, t.id, e.name, e.status, e.cause FROM events e JOIN tasks t ON t.seq = e.task")
        until(lambda: all(len(one.events) >= len(rows) for one in of_all), "the events of all tasks")
    assert [problem for one in of_task + of_all for problem in one.problems] == []
    for number, one in enumerate(of_task + of_all):
        told = [(e["id"], e["task_id"], e["event"], e["status"], e["cause"]) for e in one.events]
        assert told == [row for row in rows if one in of_all or row[1] == ids[number % TASKS]]
    assert "Traceback" not in server.log


@every_command
def test_a_stop_with_500_open_streams_takes_no_longer(
    make_server: MakeServer, journal: Path, flag: Path, command: Command
) -> None:
    """Half of them WebSockets, and some that read nothing."""
    server = make_server(drain_seconds=2)
    server.start(command).wait_ready()
    task_id = server.post("sleeper", {"path": str(journal), "flag": str(flag)})
    until(lambda: lines(journal), "the task")
    with ExitStack() as opened:
        streams = [opened.enter_context(open_stream(server.port, f"/tasks/{task_id}/events")) for _ in range(200)]
        sockets = [opened.enter_context(open_websocket(server.port, f"/ws/tasks/{task_id}")) for _ in range(200)]
        chatter = server.post("chatter", {"lines": 300})
        assert server.ended(chatter)["status"] == "completed"
        stalled = [opened.enter_context(open_stream(server.port, f"/tasks/{chatter}/events", True)) for _ in range(50)]
        stalled += [opened.enter_context(open_websocket(server.port, f"/ws/tasks/{chatter}", True)) for _ in range(50)]
        for one in streams + sockets + stalled:
            one.recv(1)  # it was answered: uvicorn writes a traceback for a handshake that it cuts short itself
        assert server.sigterm() == 0
        assert "stopped after" not in server.stderr, "the watchdog had to end it"
        assert all(b"\nretry: " in read_all(one) for one in streams)
        assert all(b"\x88\x02\x03\xf4" in read_all(one) for one in sockets), "closed with 1012"
    assert "Traceback" not in server.stderr + server.log


# The servers' own commands, with less patience.
IMPATIENT = """
import runpy, sys
from quart_app.service import streams
streams.STALL = 1.0
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@every_command
def test_a_client_that_reads_nothing_is_cut_and_leaves_nothing_behind(server: Server, command: Command) -> None:
    server.start(command, prefix=("-c", IMPATIENT)).wait_ready()
    chatter = server.post("chatter", {"lines": 400})
    assert server.ended(chatter)["status"] == "completed"
    before = sockets_of(server)
    with ExitStack() as opened:
        paths = [f"/tasks/{chatter}/events", "/events?after=0"]
        stalled = [opened.enter_context(open_stream(server.port, path, small=True)) for path in paths]
        stalled.append(opened.enter_context(open_websocket(server.port, f"/ws/tasks/{chatter}", small=True)))
        for one in stalled:
            one.recv(1)
        theirs = sockets_of(server) - before
        assert len(theirs) >= 3
        until(lambda: not theirs & sockets_of(server), "the end of the three connections")
        assert all(is_reset(one) for one in stalled)
    assert "Traceback" not in server.stderr + server.log


def is_reset(one: socket.socket) -> bool:
    try:
        while one.recv(65536):
            pass
    except ConnectionError:
        return True
    return False


def lines(journal: Path) -> bool:
    return journal.exists() and journal.stat().st_size > 0
