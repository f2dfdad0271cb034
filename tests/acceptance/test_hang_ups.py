"""Clients that go away right after they have asked: a row that was made is run, whoever is left to hear of it; what was
done for them alone ends."""

from __future__ import annotations

import json
import select
import socket
import struct
from functools import partial

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.documents import start_patient
from tests.acceptance.followers import open_stream
from tests.acceptance.harness import DEADLINE, Server, until
from tests.places import Places
from tests.upstream import silent

HANG_UPS = 300


@pytest.mark.parametrize("goodbye", ["close", "reset"])
def test_every_task_of_a_client_that_hangs_up_ends(server: Server, goodbye: str) -> None:
    server.start().wait_ready()
    body = json.dumps({"x": "anybody there?"}).encode()
    head = f"POST /tasks/quick HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: application/json\r\n"
    request = head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
    for number in range(HANG_UPS):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            client.sendall(request)
            # 0 to 3 ms into the request, and now and then when the answer is on its way.
            select.select([client], [], [], number % 5 / 1000 if number % 5 < 4 else DEADLINE)
            if goodbye == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    last = server.ended(server.post("quick", {"x": "the last one"}))
    assert last["status"] == "completed"
    unfinished = "SELECT count(*) FROM tasks WHERE status IN ('pending', 'processing')"
    until(lambda: server.rows(unfinished) == [(0,)], "the end of every task")
    ends = server.rows("SELECT status, attempt, count(*) FROM tasks GROUP BY status, attempt")
    ((status, attempt, made),) = ends
    assert (status, attempt) == ("completed", 1)
    # Who hangs up before the server has read the request asked for nothing; who was answered has a task.
    assert HANG_UPS // 5 < made <= HANG_UPS + 1
    assert "Traceback" not in server.stderr + server.log
    slots = server.client.get("/status").json()["slots"]
    assert slots["running"] == 0


def test_a_client_that_hangs_up_while_it_waits_for_the_result_changes_nothing(server: Server) -> None:
    server.start().wait_ready()
    body = b'{"x": 1}'
    request = (
        f"POST /tasks/quick?delay=1 HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nPrefer: wait=30\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    for number in range(20):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            client.sendall(request)
            until(partial(_has_made, server, number + 1), "the row")
    until(
        lambda: server.rows("SELECT count(*) FROM tasks WHERE status = 'completed'") == [(20,)], "the end of every task"
    )
    assert "Traceback" not in server.stderr + server.log


def _has_made(server: Server, tasks: int) -> bool:
    return server.rows("SELECT count(*) FROM tasks") == [(tasks,)]


def test_who_hangs_up_ends_what_was_done_for_him(make_server: MakeServer) -> None:
    with Places(dict.fromkeys(("/users/1", "/users/1/posts", "/users/1/comments"), silent)) as upstream:
        server = start_patient(make_server(profile_url=upstream.base), pause=3600)
        asking = open_stream(server.port, "/users/1/profile")
        until(lambda: upstream.open == 3, "the three calls")
        asking.close()
        until(lambda: upstream.open == 0, "the end of the calls")
    streams = [open_stream(server.port, path) for path in ("/stream", "/export/users.csv") * 20]
    until(lambda: _open_streams(server) >= 20, "the streams")
    for one in streams:
        one.close()
    until(lambda: _open_streams(server) == 0, "the end of the streams")
    assert "Traceback" not in server.stderr + server.log


def _open_streams(server: Server) -> int:
    text = server.client.get("/metrics").text
    return int(float(text.partition("\nquart_app_streams ")[2].split()[0]))
