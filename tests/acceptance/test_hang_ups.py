"""Clients that go away right after they have asked: a row that was made is run, whoever is left to hear of it; what was
done for them alone ends."""

from __future__ import annotations

import json
import select
import socket
import struct
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.documents import start_patient
from tests.acceptance.followers import open_stream
from tests.acceptance.harness import DEADLINE, Command, Server, sockets_of, until
from tests.places import Places
from tests.upstream import silent

HANG_UPS = 300
CLOSE_WAIT = "08"  # of the kernel: the client has closed, the server has not

# Asks for the listing on many connections at once, reads some bytes of each answer, and waits to be killed.
ASKS = """
import http.client, sys, time
port, connections, size = map(int, sys.argv[1:])
asking = [http.client.HTTPConnection("127.0.0.1", port) for _ in range(connections)]
for one in asking:
    one.request("GET", "/tasks?fields=args,result")
answers = [one.getresponse() for one in asking if size]
for one in answers:
    one.read(size)
print(flush=True)
time.sleep(3600)
"""


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


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/net/tcp has the states of sockets")
@pytest.mark.parametrize(("command", "option"), [("hypercorn", "--keep-alive"), ("uvicorn", "--timeout-keep-alive")])
def test_a_client_that_is_killed_leaves_no_socket_open(server: Server, command: Command, option: str) -> None:
    """An hour is the time for the next request of a connection: no socket is closed because that time is over."""
    server.start(command, option, "3600").wait_ready()
    document = {"x": "x" * 200_000}
    for _ in range(20):
        server.post("quick", document)
    until(lambda: server.rows("SELECT count(*) FROM tasks WHERE status = 'completed'") == [(20,)], "their results")
    page = len(server.client.get("/tasks", params={"fields": "args,result"}).content)
    assert page > 2_000_000
    before = len(sockets_of(server))
    for size in (0, 1, page // 2, page):  # killed before the answer, while it is sent, and after it
        for connections in (1, 10):
            _ask_and_be_killed(server, connections, size)
    until(lambda: CLOSE_WAIT not in _states(server), "the end of the connections")
    until(lambda: len(sockets_of(server)) <= before, "the end of their sockets")
    assert server.client.get("/ready").status_code == 200
    assert "Traceback" not in server.stderr + server.log
    assert server.sigterm() == 0


def _ask_and_be_killed(server: Server, connections: int, size: int) -> None:
    arguments = [str(number) for number in (server.port, connections, size)]
    with subprocess.Popen([sys.executable, "-S", "-c", ASKS, *arguments], stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        client.stdout.readline()
        client.kill()


def _states(server: Server) -> list[str]:
    """Of the server's end of its connections."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return [line[3] for line in lines if line[1].endswith(f":{server.port:04X}")]
