"""Document 004, the quick guide: its two addresses, before and after a kill -9."""

from __future__ import annotations

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.documents import answer, curl

pytestmark = pytest.mark.once


GUIDE = "http://localhost:5000"


def test_a_task_is_started_asked_for_and_done_over_a_kill(make_server: MakeServer) -> None:
    server = make_server(simulated_add_seconds=0.5).start().wait_ready()
    started = answer(server, f"{GUIDE}/start/10/5")
    assert (started.status, started.json["status"]) == (200, "started")
    task_id = started.json["task_id"]
    assert curl(server, f"{GUIDE}/status/{task_id}") == {"status": "running"}
    server.kill9()

    server.start().wait_ready()
    assert curl(server, f"{GUIDE}/status/{task_id}") in ({"status": "running"}, {"status": "done", "result": 15})
    other = curl(server, f"{GUIDE}/start/20/22")["task_id"]
    for one, result in ((task_id, 15), (other, 42)):
        server.ended(one)
        assert curl(server, f"{GUIDE}/status/{one}") == {"status": "done", "result": result}
    server.kill9()

    server.start().wait_ready()
    assert curl(server, f"{GUIDE}/status/{task_id}") == {"status": "done", "result": 15}
    unknown = answer(server, f"{GUIDE}/status/abc-123")
    assert (unknown.status, unknown.json["error"]) == (404, "Task not found")
