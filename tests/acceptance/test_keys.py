"""Keys of a real server: what it refuses to start without, what it answers, and what it never writes down."""

from __future__ import annotations

import hashlib
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.followers import open_stream, open_websocket, read_all
from tests.acceptance.harness import ROOT, Command, Server, need, until
from tests.acceptance.test_exit_codes import one_line

KEY = "correct-horse-battery-staple"


def with_key(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def start_on(server: Server, host: str) -> Server:
    address, config = f"{host}:{server.port}", str(ROOT / "hypercorn.toml")
    return server.run("-m", "quart_app", "serve", "--bind", address, "--config", config)


def new_key(server: Server, name: str, *scopes: str, key: str = "") -> str:
    made = server.client.post("/keys", json={"name": name, "scopes": scopes}, headers=with_key(key) if key else {})
    assert made.status_code == 201, made.text
    found: str = made.json()["key"]
    return found


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"])
def test_an_address_that_others_reach_is_refused_without_keys(server: Server, host: str) -> None:
    assert start_on(server, host).wait_exit() == 78
    (line,) = [line for line in server.stderr.splitlines() if line.startswith("quart_app: ")]
    assert host in line
    assert "QUART_APP_API_KEYS" in line
    assert "Traceback" not in server.stderr
    assert server.start().wait_ready().sigterm() == 0  # nothing is left behind, and loopback is served


def test_behind_a_proxy_everybody_is_somebody_else_so_it_is_refused_without_keys(make_server: MakeServer) -> None:
    server = make_server(trusted_proxies=1).start()
    assert server.wait_exit() == 78
    (line,) = [line for line in server.stderr.splitlines() if line.startswith("quart_app: ")]
    assert "QUART_APP_API_KEYS" in line


@pytest.mark.parametrize("settings", [{"api_keys": f"shop:{KEY}"}, {"allow_anonymous": 1}])
def test_it_is_served_with_a_key_of_the_settings_or_when_that_is_asked_for(
    make_server: MakeServer, settings: dict[str, object]
) -> None:
    server = start_on(make_server(**settings), "0.0.0.0").wait_ready()
    assert server.client.get("/tasks").status_code == (200 if "allow_anonymous" in settings else 401)
    assert server.client.get("/tasks", headers=with_key(KEY)).status_code == 200


def test_it_is_served_with_a_stored_key_until_that_is_revoked(server: Server) -> None:
    server.start().wait_ready()
    key = new_key(server, "chief", "admin")
    assert server.sigterm() == 0
    start_on(server, "0.0.0.0").wait_ready()
    assert server.client.get("/tasks").status_code == 401
    assert server.client.get("/tasks", headers=with_key(key)).status_code == 200
    assert server.client.delete("/keys/chief", headers=with_key(key)).status_code == 204
    assert server.sigterm() == 0
    # The end of the last key locks, and opens nothing: its tasks go on, and nobody comes in.
    start_on(server, "0.0.0.0").wait_ready()
    assert [server.client.get("/tasks", headers=headers).status_code for headers in ({}, with_key(key))] == [401, 401]
    assert server.client.post("/keys", json={"name": "mallory", "scopes": ["admin"]}).status_code == 401
    again = server.command("keys", "add", "chief").stdout.strip()
    assert server.client.get("/tasks", headers=with_key(again)).status_code == 200


@pytest.mark.parametrize("command", ["hypercorn", "uvicorn"])
def test_the_same_keys_hold_under_other_servers(make_server: MakeServer, command: Command) -> None:
    server = make_server(api_keys=f"shop:{KEY}").start(command).wait_ready()
    assert server.client.get("/tasks").status_code == 401
    assert server.client.get("/tasks", headers=with_key(KEY)).status_code == 200


@pytest.mark.parametrize("command", ["serve", "serve-uvicorn", "hypercorn", "uvicorn"])
def test_over_a_unix_socket_no_key_is_needed_while_there_are_none(server: Server, command: Command) -> None:
    path = f"/tmp/quart_app-{server.port}.sock"
    config = str(ROOT / "hypercorn.toml")
    arguments = {
        "serve": ["quart_app", "serve", "--bind", f"unix:{path}", "--config", config],
        "serve-uvicorn": ["quart_app", "--server", "uvicorn", "--bind", f"unix:{path}", "--config", config],
        "hypercorn": ["hypercorn", "-c", config, "-b", f"unix:{path}", "quart_app.asgi:app"],
        "uvicorn": ["uvicorn", "--uds", path, "quart_app.asgi:app"],
    }[command]
    need(command)
    server.client.close()
    server.client = httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://localhost", timeout=30)
    try:
        server.run("-m", *arguments)
        until(lambda: listens(path), "the socket")
        server.wait_ready()
        assert server.client.get("/tasks").status_code == 200
    finally:
        server.close()
        Path(path).unlink(missing_ok=True)


def listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


@pytest.mark.parametrize("command", ["hypercorn", "uvicorn"])
def test_a_server_that_others_reach_answers_them_nothing_without_keys(server: Server, command: Command) -> None:
    address = own_address()
    if address is None:
        pytest.skip("THIS MACHINE HAS NO ADDRESS BUT LOOPBACK")
    config = str(ROOT / "hypercorn.toml")
    arguments = {
        "hypercorn": ["hypercorn", "-c", config, "-b", f"{address}:{server.port}", "quart_app.asgi:app"],
        "uvicorn": ["uvicorn", "--host", address, "--port", str(server.port), "quart_app.asgi:app"],
    }[command]
    need(command)
    server.client.base_url = httpx.URL(f"http://{address}:{server.port}")
    server.run("-m", *arguments).wait_ready()
    for forwarded in ({}, {"X-Forwarded-For": "127.0.0.1", "Host": "127.0.0.1"}):
        answer = server.client.get("/tasks", headers=forwarded)
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:quart-app:problem:no-keys")


def own_address() -> str | None:
    """An address of this machine that is not loopback; asking sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        found: str = probe.getsockname()[0]
    return None if found.startswith(("127.", "0.")) else found


def test_no_key_is_ever_written_down(make_server: MakeServer) -> None:
    server = make_server(api_keys=f"shop:{KEY}", log_level="DEBUG", smtp_url="smtp://u:hidden-word@127.0.0.1:1")
    server.start().wait_ready()
    made = server.client.post("/tasks/quick", json={}, headers=with_key(KEY)).json()["task_id"]
    for headers in (with_key(KEY + "x"), {"X-API-Key": KEY + "y", **with_key(KEY)}, {"X-API-Key": "é".encode()}):
        assert 400 <= server.client.get("/tasks", headers=headers).status_code <= 401
    task = server.client.get(f"/tasks/{made}?wait=20", headers=with_key(KEY))
    status = server.client.get("/status", headers=with_key(KEY))
    assert (task.json()["owner"], status.status_code) == ("shop", 200)
    listing = subprocess.run(
        ["ps", "-o", "args=", "-p", str(server.pid)], capture_output=True, text=True, check=True
    ).stdout
    assert server.sigterm() == 0
    files = [path for path in server.folder.rglob("*") if path.is_file()]
    assert {"tasks.db", "async_tasks.log"} <= {path.name for path in files}
    written = b"".join(path.read_bytes() for path in files) + task.content + status.content + listing.encode()
    for secret in (KEY, "hidden-word", hashlib.sha256(KEY.encode()).hexdigest()):
        assert secret.encode() not in written


@pytest.mark.parametrize("value", [KEY, f"shop:{KEY},shop:{KEY}x", f"a b:{KEY}", f"shop:{KEY}\x01"])
def test_a_bad_list_of_keys_is_78_and_shows_no_key(make_server: MakeServer, value: str) -> None:
    server = make_server(api_keys=value).start()
    assert server.wait_exit() == 78
    line = one_line(server)
    assert "QUART_APP_API_KEYS" in line
    assert KEY not in line


def test_keys_survive_a_kill(server: Server) -> None:
    server.start().wait_ready()
    chief = new_key(server, "chief", "admin")
    ann, bob = (new_key(server, name, "read", key=chief) for name in ("ann", "bob"))
    assert server.client.delete("/keys/bob", headers=with_key(chief)).status_code == 204
    server.kill9()
    server.start().wait_ready()
    statuses = [server.client.get("/tasks", headers=with_key(key)).status_code for key in (chief, ann, bob)]
    assert statuses == [200, 200, 401]


@pytest.mark.parametrize("command", ["serve", "serve-uvicorn", "uvicorn"])
def test_the_streams_of_a_revoked_key_end(server: Server, command: Command) -> None:
    server.start(command).wait_ready()
    chief = new_key(server, "chief", "admin")
    header = f"X-API-Key: {new_key(server, 'guest', 'read', 'write', key=chief)}\r\n"
    made = server.client.post("/tasks/quick?delay=3600", json={}, headers=with_key(chief))
    guests = server.client.post("/tasks/quick?delay=3600", json={}, headers={"X-API-Key": header[11:-2]})
    own = guests.json()["task_id"]
    with (
        open_stream(server.port, "/events", headers=header) as everything,
        open_stream(server.port, f"/tasks/{own}/events", headers=header) as of_task,
        open_websocket(server.port, f"/ws/tasks/{own}", headers=header) as websocket,
        open_stream(server.port, "/events", headers=f"X-API-Key: {chief}\r\n") as others,
    ):
        for one in (everything, of_task, websocket, others):
            one.recv(1)
        assert server.client.delete("/keys/guest", headers=with_key(chief)).status_code == 204
        assert all(b"\nretry: " in read_all(one) for one in (everything, of_task))
        data = b""
        while b"\x88\x02\x03\xf0" not in data:  # 1008: it would not be let in again
            data += (piece := websocket.recv(65536))
            assert piece, data
        websocket.sendall(b"\x88\x80\0\0\0\0")  # as clients answer; for one that does not the server waits ten seconds
        assert read_all(websocket) == b""
        server.client.post(f"/tasks/{made.json()['task_id']}/cancel", headers=with_key(chief))
        data = b""
        while b"cancelled" not in data:
            data += others.recv(65536)
