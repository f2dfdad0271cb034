"""The control socket: made by the app under any server, for the operator alone, in nobody's way."""

from __future__ import annotations

import json
import signal
import socket
import stat
from pathlib import Path

import httpx
import pytest

from tests.acceptance.conftest import Command, MakeServer
from tests.acceptance.harness import Command as ServerCommand
from tests.acceptance.harness import Server, lines_of, until
from tests.acceptance.test_cli import good, one_line

EVERY: list[ServerCommand] = ["serve", "serve-uvicorn", "hypercorn", "uvicorn"]


def control(server: Server) -> Path:
    return server.data / "control.sock"


@pytest.mark.parametrize("how", EVERY)
def test_every_server_has_it_and_takes_it_away(server: Server, command: Command, how: ServerCommand) -> None:
    server.start(how).wait_ready()
    mode = control(server).stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    document = json.loads(good(command("status", "--json")))
    assert document["worker_info"]["pid"] == server.pid
    assert server.sigterm() == 0
    assert not control(server).exists()


def test_what_a_killed_server_left_is_replaced(server: Server, command: Command) -> None:
    server.start().wait_ready()
    server.kill9()
    assert control(server).exists()
    assert json.loads(good(command("status", "--json")))["status"] == "idle"
    server.start().wait_ready()
    assert json.loads(good(command("status", "--json")))["worker_info"]["pid"] == server.pid


def test_a_path_too_long_for_a_socket_works_too(make_server: MakeServer, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120) / "data"
    server = make_server(data_dir=deep).start().wait_ready()
    assert (deep / "control.sock").is_socket()
    assert str(server.pid) in good(server.command("status"))
    assert server.sigterm() == 0
    assert not (deep / "control.sock").exists()


def test_a_folder_where_no_socket_can_be_made_costs_a_line_and_no_server(server: Server) -> None:
    control(server).mkdir(parents=True)
    server.start().wait_ready()
    assert "no control socket" in server.stderr
    assert server.ended(server.post("quick"))["status"] == "completed"
    done = server.command("status")
    assert done.returncode == 75
    assert f"process {server.pid} holds" in one_line(done)
    assert "control.sock" in done.stderr
    assert server.sigterm() == 0


def test_a_server_with_another_database_may_not_have_the_folder_of_one_that_runs(
    make_server: MakeServer, tmp_path: Path
) -> None:
    """It would take the files of the other's tasks for those of tasks that are gone."""
    first = make_server().start().wait_ready()
    second = make_server(database_url=f"sqlite:///{tmp_path}/other.db").start()
    assert second.wait_exit() == 75
    assert f"process {first.pid} already serves" in second.stderr
    assert first.sigterm() == 0
    assert second.start().wait_ready().sigterm() == 0


def test_a_server_that_hangs_is_75_with_its_pid(
    server: Server, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quart_app.cli.connect.SLOW", 0.5)
    server.start().wait_ready()
    server.signal(signal.SIGSTOP)
    try:
        done = command("status")
    finally:
        server.signal(signal.SIGCONT)
    assert done.returncode == 75
    assert str(server.pid) in one_line(done)


def test_open_connections_keep_no_server(server: Server, journal: Path, flag: Path) -> None:
    """One that says nothing, one in the middle of a request, one that waits, one that does not read its answer."""
    server.start().wait_ready()
    task_id = server.post("sleeper", {"path": str(journal), "flag": str(flag)})
    until(lambda: lines_of(journal), "the start of the task")
    requests = (
        b"",
        b"GET /status HTTP/1.1\r\nHost: x\r\n",
        f"GET /tasks/{task_id}?wait=60 HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
        b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n" * 2000,
    )
    peers = []
    for request in requests:
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(str(control(server)))
        peer.setblocking(False)
        peer.send(request)  # as much of it as fits
        peers.append(peer)
    try:
        assert server.sigterm(6) == 0
    finally:
        for peer in peers:
            peer.close()
    assert "Traceback" not in server.stderr
    assert "Traceback" not in server.log


def test_a_service_inside_another_app_answers_at_its_own_root(server: Server) -> None:
    (server.folder / "shop.py").write_text(
        "from quart import Quart\n"
        "from quart_app import QuartTasks, task\n"
        "@task('invoice')\n"
        "async def invoice(order: int) -> int:\n"
        "    return order\n"
        "app = Quart(__name__)\n"
        "QuartTasks(app, url_prefix='/background')\n"
        "@app.get('/ready')\n"
        "async def ready():\n"
        "    return 'shop'\n"
    )
    server.run("-m", "hypercorn", "-w", "0", "-b", f"127.0.0.1:{server.port}", "shop:app").wait_ready()
    task_id = good(server.command("tasks", "create", "invoice", '{"order": 3}')).strip()
    done = server.command("tasks", "watch", task_id)
    assert done.stdout.endswith("completed: 3\n")
    for _ in range(3):
        good(server.command("tasks", "create", "invoice", '{"order": 3}'))
    listed = json.loads(good(server.command("tasks", "list", "--limit", "3", "--json")))
    assert listed["next"].startswith("/background/tasks?")
    over_url = server.command("tasks", "list", "--limit", "4", "--json", "--url", f"{server.url}/background")
    assert len(json.loads(good(over_url))["tasks"]) == 4
    assert server.sigterm() == 0
    assert not control(server).exists()


def test_a_socket_is_no_http_client_of_the_port(server: Server) -> None:
    """The operator's requests are not another site's: they carry no Origin, and pass the same checks."""
    server.start().wait_ready()
    transport = httpx.HTTPTransport(uds=str(control(server)))
    with httpx.Client(transport=transport, base_url="http://localhost") as client:
        assert client.post("/tasks/quick", json={}, headers={"Origin": "http://evil"}).status_code == 403
        assert client.post("/tasks/quick", json={}).status_code == 202
