"""Clients that ask and do not read, under every server: they are let go, and no stop waits for them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.followers import open_stream, open_websocket, read_all
from tests.acceptance.harness import Command, Server, sockets_of, until

pytestmark = pytest.mark.once

every_command = pytest.mark.parametrize("command", ["serve", "serve-uvicorn", "hypercorn", "uvicorn"])

# The servers' own commands, with less patience.
IMPATIENT = """
import runpy, sys
from quart_app.web.protection import slow_clients
slow_clients.PATIENCE = 1.0
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
LIST = "/tasks?fields=args,result&limit=200"


@contextmanager
def unread(server: Server) -> Iterator[set[str]]:
    """Connections with a large answer, and with many small ones, of which nobody reads more than a byte; the server's
    ends of them."""
    for _ in range(8):
        server.post("quick", {"x": "x" * 250_000})
    before = sockets_of(server)
    with ExitStack() as opened:
        clients = [opened.enter_context(open_stream(server.port, LIST, small=True)) for _ in range(3)]
        clients += [opened.enter_context(pipeline(server.port, "/openapi.json", 400)) for _ in range(3)]
        for one in clients:
            one.recv(1)
        theirs = sockets_of(server) - before
        assert len(theirs) >= 6
        yield theirs


def pipeline(port: int, path: str, count: int) -> socket.socket:
    opened = open_stream(port, path, small=True)
    opened.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode() * count)
    return opened


@every_command
def test_answers_that_nobody_takes_are_thrown_away_with_their_connections(server: Server, command: Command) -> None:
    server.start(command, prefix=("-c", IMPATIENT)).wait_ready()
    with unread(server) as theirs:
        until(lambda: not theirs & sockets_of(server), "the end of the connections")
    assert server.sigterm() == 0
    assert "Traceback" not in server.stderr + server.log


@every_command
def test_a_stop_does_not_wait_for_clients_that_read_nothing(make_server: MakeServer, command: Command) -> None:
    server = make_server(drain_seconds=20)
    server.start(command).wait_ready()
    with unread(server):
        assert server.sigterm() == 0
    assert "stopped after" not in server.stderr, "the watchdog had to end it"
    assert "Traceback" not in server.stderr + server.log


@pytest.mark.parametrize("command", ["serve", "hypercorn"])
def test_there_is_no_http_2_without_tls(server: Server, command: Command) -> None:
    server.start(command).wait_ready()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as opened:
        opened.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
        assert read_all(opened).startswith(b"HTTP/1.1 400 ")
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as opened:
        opened.sendall(
            b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
            b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        )
        assert opened.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("command", "more"),
    [("serve", ()), ("serve-uvicorn", ()), ("hypercorn", ()), ("uvicorn", ("--ws", "wsproto"))],
    ids=str,
)
def test_a_flood_of_pongs_ends_its_websocket(server: Server, command: Command, more: tuple[str, ...]) -> None:
    server.start(command, *more).wait_ready()
    later = server.post("quick", delay="3600")
    with open_websocket(server.port, f"/ws/tasks/{later}") as opened:
        data = b""
        while b"seq" not in data:
            data += opened.recv(65536)
        opened.sendall(b"\x8a\x80\x00\x00\x00\x00" * 200)
        assert b"\x03\xf0too many frames" in read_all(opened)
    assert "Traceback" not in server.stderr + server.log
