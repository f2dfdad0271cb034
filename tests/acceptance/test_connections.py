"""More connections, requests and bytes than the server has room for: somebody else is answered all the same."""

from __future__ import annotations

import importlib.util
import json
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import httpx
import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.followers import open_stream, read_all
from tests.acceptance.harness import Command, Server, plain_client, sockets_of, until

WITH_HTTPTOOLS = pytest.mark.skipif(
    not importlib.util.find_spec("httptools"), reason="HTTPTOOLS IS NOT INSTALLED: requirements-dev.txt has it"
)
every_command = pytest.mark.parametrize(
    "command", ["serve", "serve-uvicorn", "hypercorn", pytest.param("uvicorn", marks=WITH_HTTPTOOLS)]
)
both = pytest.mark.parametrize("command", ["serve", "serve-uvicorn"])
HEAD = b"POST /tasks/quick HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
ALICE, BOB = "alice-0123456789abcdef0123456789", "bob-0123456789abcdef0123456789"


@contextmanager
def unused(server: Server, count: int) -> Iterator[list[socket.socket]]:
    """Connections without a whole head; every second one has begun one."""
    with ExitStack() as opened:
        made = []
        for number in range(count):
            one = opened.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            if number % 2:
                with suppress(OSError):  # it had to make room already
                    one.sendall(HEAD)
            made.append(one)
        yield made


def post(server: Server, key: str = "") -> httpx.Response:
    """On a connection of its own."""
    headers = {"X-API-Key": key} if key else {}
    with plain_client(server.url) as client:
        return client.post("/tasks/quick", json={}, headers=headers)


def as_before(server: Server, sockets: int) -> None:
    until(lambda: len(sockets_of(server)) <= sockets + 1, "the end of the connections")
    assert post(server).status_code == 202
    assert "Traceback" not in server.stderr + server.log
    assert server.sigterm() == 0


@every_command
def test_unused_connections_make_room_for_clients(make_server: MakeServer, command: Command) -> None:
    server = make_server(max_connections=20).start(command).wait_ready()
    server.client.close()
    before = len(sockets_of(server))
    with unused(server, 100):
        for _ in range(10):
            assert post(server).status_code == 202
        until(lambda: len(sockets_of(server)) <= before + 20, "no more connections than there may be")
    as_before(server, before)


@every_command
def test_connections_that_are_kept_make_room_for_clients(make_server: MakeServer, command: Command) -> None:
    server = make_server(max_connections=20).start(command).wait_ready()
    server.client.close()
    before = len(sockets_of(server))
    with ExitStack() as opened:
        kept = [opened.enter_context(answered_and_kept(server)) for _ in range(20)]
        for _ in range(10):
            assert post(server).status_code == 202
        assert read_all(kept[0]) == b"", "the oldest has made room"
    as_before(server, before)


def answered_and_kept(server: Server) -> socket.socket:
    one = open_stream(server.port, "/health")
    answer = b""
    while not answer.endswith(b"}"):
        piece = one.recv(4096)
        assert piece, answer
        answer += piece
    return one


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of descriptors")
@both
def test_more_unused_connections_than_descriptors_cost_nobody_an_answer(server: Server, command: Command) -> None:
    server.prefix = ["sh", "-c", 'ulimit -n 128; exec "$@"', "sh"]
    server.start(command).wait_ready()
    server.client.close()
    before, written = len(sockets_of(server)), len(server.log)
    with unused(server, 300):
        for _ in range(20):
            assert post(server).status_code == 202
    as_before(server, before)
    assert len(server.log) - written < 20_000


@every_command
def test_when_all_connections_have_a_request_the_next_is_told_so(make_server: MakeServer, command: Command) -> None:
    server = make_server(max_connections=4, max_requests_per_caller=4).start(command).wait_ready()
    later = server.post("quick", delay=3600)
    server.client.close()
    with ExitStack() as opened:
        for _ in range(4):
            opened.enter_context(open_stream(server.port, f"/tasks/{later}/events")).recv(1)
        assert_refused(server)
    until(lambda: answered(server, "127.0.0.1"), "room again")
    assert server.sigterm() == 0
    assert 1 <= server.log.count("a connection was refused") <= 2  # a second there may be, while the streams end


@both
def test_one_address_leaves_room_for_another(make_server: MakeServer, command: Command) -> None:
    server = make_server(max_connections_per_peer=3).start(command).wait_ready()
    later = server.post("quick", delay=3600)
    server.client.close()
    with ExitStack() as opened:
        for _ in range(3):
            opened.enter_context(open_stream(server.port, f"/tasks/{later}/events")).recv(1)
        assert_refused(server)
        assert answered(server, "127.0.0.2")
    until(lambda: answered(server, "127.0.0.1"), "room again")


def assert_refused(server: Server) -> None:
    """A connection more is told why, whether it has sent something or not."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as refused:
        head, _, body = read_all(refused).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: 2" in head
    assert json.loads(body)["type"] == "urn:quart-app:problem:too-many-connections"


def answered(server: Server, source: str) -> bool:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30, source_address=(source, 0)) as one:
        one.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return read_all(one).startswith(b"HTTP/1.1 200 ")


@both
def test_one_key_leaves_room_for_another(make_server: MakeServer, command: Command) -> None:
    keys = f"alice:{ALICE},bob:{BOB}"
    server = make_server(api_keys=keys, max_requests_per_caller=3).start(command).wait_ready()
    made = server.client.post("/tasks/quick?delay=3600", json={}, headers={"X-API-Key": ALICE}).json()["task_id"]
    with ExitStack() as opened:
        header = f"X-API-Key: {ALICE}\r\n"
        for _ in range(3):
            opened.enter_context(open_stream(server.port, f"/tasks/{made}/events", headers=header)).recv(1)
        refused = post(server, ALICE)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "2")
        assert refused.json()["type"] == "urn:quart-app:problem:too-many-requests"
        assert post(server, BOB).status_code == 202
        assert server.client.get("/health").status_code == 200
    until(lambda: post(server, ALICE).status_code == 202, "room again")


@both
def test_unfinished_bodies_are_kept_up_to_a_number_of_bytes(make_server: MakeServer, command: Command) -> None:
    keys = f"alice:{ALICE},bob:{BOB}"
    server = make_server(api_keys=keys, max_body_memory=2_000_000).start(command).wait_ready()
    with ExitStack() as opened:
        unfinished(opened, server, ALICE)
        refused = read_all(unfinished(opened, server, ALICE))
        assert refused.startswith(b"HTTP/1.1 429 ")
        assert b"\r\nretry-after: 2\r\n" in refused.lower()
        assert b"too-many-bytes" in refused
        unfinished(opened, server, BOB)
        assert read_all(unfinished(opened, server, BOB)).startswith(b"HTTP/1.1 429 ")
        assert post(server, ALICE).status_code == 202  # a small one costs nothing
    until(lambda: large(server) == 422, "room again")


@both
def test_unfinished_uploads_count_by_what_they_may_have_in_memory(make_server: MakeServer, command: Command) -> None:
    keys = f"alice:{ALICE},bob:{BOB}"
    server = make_server(api_keys=keys, max_body_memory=2_000_000).start(command).wait_ready()
    with ExitStack() as opened:
        unfinished_upload(opened, server, ALICE)
        until(lambda: list((server.data / "uploads").glob("*")), "the first one")
        refused = read_all(unfinished_upload(opened, server, ALICE))
        assert refused.startswith(b"HTTP/1.1 429 ")
        assert b"too-many-bytes" in refused
        unfinished_upload(opened, server, BOB)
    until(lambda: upload(server) == 201, "room again")


def unfinished_upload(opened: ExitStack, server: Server, key: str) -> socket.socket:
    one = opened.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
    one.sendall(
        f"POST /uploads HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\nContent-Length: 600000\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'.encode()
    )
    with suppress(OSError):  # it was refused already
        one.sendall(b"x" * 1000)
    return one


def upload(server: Server) -> int:
    return server.client.post(
        "/uploads", files={"file": ("a", b"x" * 300_000)}, headers={"X-API-Key": ALICE}
    ).status_code


def unfinished(opened: ExitStack, server: Server, key: str) -> socket.socket:
    one = opened.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
    one.sendall(
        f"POST /tasks/quick HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n"
        "Content-Length: 600000\r\n\r\n".encode()
    )
    with suppress(OSError):  # it was refused already
        one.sendall(b" " * 300_000)
    return one


def large(server: Server) -> int:
    """The status for a body of many bytes that is no arguments of the kind."""
    body = b" " * 600_000 + b'{"y": 1}'
    headers = {"X-API-Key": ALICE, "Content-Type": "application/json"}
    with plain_client(server.url) as client:
        return client.post("/tasks/quick", content=body, headers=headers).status_code


@every_command
def test_a_stream_before_another_request_ends_with_its_client(make_server: MakeServer, command: Command) -> None:
    """In a pipeline, whose last request alone used to hear of it."""
    server = make_server(max_streams=1).start(command).wait_ready()
    later = server.post("quick", delay=3600)
    path = f"/tasks/{later}/events"
    with open_stream(server.port, path) as stream:
        stream.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        stream.recv(1)
        assert server.client.get(path).status_code == 503

    def room() -> bool:
        with open_stream(server.port, path) as stream:
            return b" 200 " in stream.recv(4096)

    until(room, "room for another stream")
