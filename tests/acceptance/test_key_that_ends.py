"""A request whose key ends while its body is on the way does nothing any more."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.followers import open_stream, read_all
from tests.acceptance.harness import Command, Server, need
from tests.acceptance.test_keys import new_key, with_key


class Slow:
    """A request of which all but the end of its body has been sent, and read."""

    def __init__(self, server: Server, method: str, path: str, key: str, body: Any) -> None:
        self._body = json.dumps(body).encode()
        self._socket = socket.create_connection(("127.0.0.1", server.port))
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(self._body)}\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n"
        )
        self._socket.sendall(head.encode())
        assert self._socket.recv(100).startswith(b"HTTP/1.1 100"), "the view waits for the body now"
        self._socket.sendall(self._body[:1])

    def finish(self) -> int:
        """The status of the answer."""
        with self._socket:
            self._socket.sendall(self._body[1:])
            return int(self._socket.makefile("rb").readline().split()[1])


@pytest.mark.parametrize("command", ["serve", "serve-uvicorn"])
def test_a_key_that_is_revoked_while_a_body_comes_opens_nothing(make_server: MakeServer, command: Command) -> None:
    need(command)
    server = make_server().start(command).wait_ready()
    chief = new_key(server, "chief", "read", "write", "admin")
    thief = new_key(server, "thief", "read", "write", "admin", key=chief)
    waiting = server.client.post("/tasks/quick?delay=3600", json={}, headers=with_key(chief)).json()["task_id"]
    schedule = {"kind": "quick", "cron": "0 0 1 1 *"}
    assert server.client.post("/schedules", json={"name": "s", **schedule}, headers=with_key(chief)).status_code in (
        200,
        201,
    )
    asked = [
        Slow(server, "POST", "/keys", thief, {"name": "again", "scopes": ["admin"]}),
        Slow(server, "POST", "/tasks/quick", thief, {}),
        Slow(server, "POST", "/tasks", thief, [{"kind": "quick"}]),
        Slow(server, "POST", f"/tasks/{waiting}/cancel", thief, {}),
        Slow(server, "PATCH", "/schedules/s?owner=chief", thief, {"paused": True}),
    ]
    kept = Slow(server, "POST", "/tasks/quick", chief, {})
    assert server.client.delete("/keys/thief", headers=with_key(chief)).status_code == 204
    assert [one.finish() for one in asked] == [401] * 5
    assert kept.finish() == 202
    assert server.rows("SELECT name FROM api_keys WHERE revoked_at IS NULL") == [("chief",)]
    assert server.rows("SELECT count(*) FROM tasks WHERE owner = 'thief' OR status = 'cancelled'") == [(0,)]
    assert server.rows("SELECT paused FROM schedules WHERE source = 'api'") == [(0,)]
    assert server.sigterm() == 0


@pytest.mark.parametrize("command", ["serve", "serve-uvicorn"])
def test_a_download_ends_with_its_key(server: Server, command: Command) -> None:
    need(command)
    server.start(command).wait_ready()
    chief = new_key(server, "chief", "admin")
    guest = {"X-API-Key": new_key(server, "guest", "read", "write", key=chief)}
    args = {"report_type": "tasks", "filters": {}, "format": "csv"}
    made = server.client.post("/tasks/generate-report", json=args, headers=guest).json()["task_id"]
    done = server.client.get(f"/tasks/{made}?wait=20", headers=guest).json()
    url = done["result"]["file_url"]
    size = 16 * 2**20
    (server.data / url.strip("/")).write_bytes(b"x" * size)
    with open_stream(server.port, url, small=True, headers=f"X-API-Key: {guest['X-API-Key']}\r\n") as slow:
        assert slow.recv(12) == b"HTTP/1.1 200"
        assert server.client.delete("/keys/guest", headers=with_key(chief)).status_code == 204
        assert len(read_all(slow)) < size
    assert server.sigterm() == 0
    assert "Traceback" not in server.stderr + server.log
