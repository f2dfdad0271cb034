"""How connections end, under every server: what follows the last request, and an answer before the body."""

from __future__ import annotations

import socket
from typing import Final

import pytest

from tests.acceptance.harness import Command, Server

REFUSED: Final = (b"400", b"405")  # the first is the word of uvicorn's own parser
every_command = pytest.mark.parametrize("command", ["serve", "hypercorn", "uvicorn"])
POST = b"POST /tasks/quick HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


def answers(server: Server, raw: bytes) -> bytes:
    """All that comes until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as opened:
        opened.sendall(raw)
        found = b""
        while piece := opened.recv(65_536):
            found += piece
        return found


@every_command
def test_what_follows_the_last_request_is_passed_over(server: Server, command: Command) -> None:
    server.start(command).wait_ready()
    last = POST + b'Connection: close\r\nContent-Length: 8\r\n\r\n{"x": 1}'
    old = last.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"Connection: close\r\n", b"")
    for raw in (last, old):
        for behind in (b"\r\n", raw, b"\x00garbage"):
            found = answers(server, raw + behind)
            assert found.startswith(b"HTTP/1.1 202"), found
            assert found.count(b"HTTP/1.1 ") == 1, found
    listing = answers(server, b"GET /tasks?kind=quick HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    assert listing.count(b'"task_id"') == 6, listing
    assert server.sigterm() == 0
    assert "Traceback" not in server.stderr + server.log


@every_command
def test_an_answer_before_the_body_ends_the_connection_and_says_so(server: Server, command: Command) -> None:
    server.start(command).wait_ready()
    for line in (b"POST /nowhere", b"PUT /tasks", b"GET /health", b"post /tasks/quick"):
        raw = POST.replace(b"POST /tasks/quick", line) + b"Content-Length: 8\r\n\r\n"
        head = answers(server, raw).partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
        assert head[0].split(b" ")[1] in (b"200", b"404", *REFUSED), head
        assert b"connection: close" in head, head
    assert server.sigterm() == 0


@every_command
def test_methods_and_paths_are_taken_to_the_letter(server: Server, command: Command) -> None:
    server.start(command).wait_ready()
    for line, status in {
        b"post /tasks/quick": REFUSED if command == "uvicorn" else (b"405",),
        b"get /metrics": REFUSED if command == "uvicorn" else (b"405",),
        b"GET //metrics": (b"404",),
        b"GET /%2fmetrics": (b"404",),
        b"POST /tasks%2Fquick": (b"404",),
    }.items():
        raw = line + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        assert answers(server, raw).split(b" ")[1] in status, line
    assert server.sigterm() == 0
