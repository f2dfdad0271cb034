"""Document 000, request tasks: its start commands, its three addresses and its log, before and after a kill -9."""

from __future__ import annotations

import json
import socket
import uuid
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.documents import LOCAL, curl
from tests.acceptance.harness import Server, until
from tests.checkout import Checkout

pytestmark = pytest.mark.once

EVENTS = ("audit started", "step 1 of 2 done", "step 2 of 2 done", "audit completed")


def visit(server: Server) -> list[str]:
    """The UUIDs of the two addresses that start a task."""
    welcome, hello = curl(server, f"{LOCAL}/"), curl(server, f"{LOCAL}/hello")
    assert {"/", "/hello", "/status"} <= set(welcome["endpoints"])
    assert hello["status"] == "success"
    for answer in (welcome, hello):
        assert answer["message"]
        assert answer["note"]
        assert answer["worker_info"] == {"pid": server.pid, "worker_class": "asyncio"}
    return [str(uuid.UUID(answer["request_uuid"])) for answer in (welcome, hello)]


def test_each_visit_is_answered_at_once_and_its_task_ends_over_a_kill(make_server: MakeServer) -> None:
    server = make_server(simulated_steps="0.4,0.2").start().wait_ready()
    audits = visit(server)
    first_step = "SELECT count(*) FROM steps WHERE name = 'work-1'"
    until(lambda: server.rows(first_step) == [(2,)], "the first step of both audits")
    server.kill9()

    server.start("hypercorn").wait_ready()
    audits += visit(server)
    assert len(set(audits)) == 4
    for audit in audits:
        done = server.ended(audit)
        assert (done["kind"], done["queue"], done["status"]) == ("request-audit", "audit", "completed")
        assert (done["attempt"], done["crashes"]) == (1, 0)
    counted = curl(server, f"{LOCAL}/status")
    assert counted["tasks"]["completed"] == 4, "asking for the status starts nothing"
    assert counted["worker_info"]["pid"] == server.pid
    assert server.sigterm() == 0
    logged = [json.loads(line) for line in server.log.splitlines()]
    for audit in audits:
        told = [line["event"] for line in logged if line.get("task_id") == audit]
        for event in EVENTS:
            assert [line for line in told if audit in line and event in line], (event, told)


def test_what_is_known_of_the_visitor_goes_to_the_task_whose_error_touches_no_answer(make_server: MakeServer) -> None:
    server = make_server(simulated_steps="0.2,0", simulated_error_rate=1).start().wait_ready()
    audit = curl(server, f"{LOCAL}/hello?name=me")["request_uuid"]
    server.kill9()

    server.start().wait_ready()
    failed = server.ended(audit)
    assert (failed["status"], failed["error"]["type"]) == ("failed", "SimulatedError")
    args = failed["args"]
    assert (args["endpoint"], args["ip"], args["query"]) == ("/hello", "127.0.0.1", "name=me")
    assert args["user_agent"].startswith("curl/")
    assert curl(server, f"{LOCAL}/hello")["status"] == "success"
    assert server.sigterm() == 0
    assert [line for line in server.log.splitlines() if audit in line and "simulated error" in line]


def test_about_one_task_in_ten_fails(make_server: MakeServer) -> None:
    server = make_server(simulated_steps="0,0")
    del server.environment["QUART_APP_SIMULATED_ERROR_RATE"]
    server.start().wait_ready()
    for _ in range(150):
        assert server.client.get("/hello").json()["status"] == "success"
    server.kill9()

    server.start().wait_ready()
    for _ in range(150):
        assert server.client.get("/hello").json()["status"] == "success"

    def counts() -> dict[str, int]:
        found: dict[str, int] = server.client.get("/status").json()["tasks"]
        return found

    until(lambda: counts()["completed"] + counts()["failed"] == 300, "the end of all")
    assert 5 < counts()["failed"] < 75  # of 300: less than one run in ten million is outside


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("flag", ["", "--prod", "--dev"])
def test_startup_goes_on_where_a_kill_has_cut_it_off(tmp_path: Path, flag: str) -> None:
    checkout = Checkout(tmp_path)
    assert "ready; start with ./startup.sh" in checkout.shell("./startup.sh --setup 2>&1")
    url = f"http://127.0.0.1:{checkout.port}"
    settings = "QUART_APP_SIMULATED_STEPS=0.3,0 QUART_APP_SIMULATED_ERROR_RATE=0"
    command = f"{settings} QUART_APP_BIND=127.0.0.1:{checkout.port} ./startup.sh {flag}"
    killed = checkout.start(command, tmp_path / "first")
    try:
        audit = curl(url, f"{LOCAL}/hello")["request_uuid"]
        serving = json.loads((tmp_path / "instance" / "tasks.db.lock").read_text())["pid"]
        assert (serving == killed.pid) is (flag != "--dev")
    finally:
        killed.kill()
        killed.wait()
    until(lambda: not listens(checkout.port), "the end of the server, whose parent it was that was killed")

    server = checkout.start(command, tmp_path / "second")
    try:
        done = curl(url, f"{LOCAL}/tasks/{audit}?wait=30")
        assert (done["status"], done["attempt"]) == ("completed", 1)
        assert curl(url, f"{LOCAL}/hello")["status"] == "success"
        log = tmp_path / "instance" / "async_tasks.log"
        until(lambda: f"{audit}: audit completed" in log.read_text(), "the last line of the task")
        assert ('"DEBUG"' in log.read_text()) is (flag == "--dev")
    finally:
        server.terminate()
        assert server.wait(30) == 0
