"""SIGKILL right before the writes of a task that sleeps, has children and waits for a signal: it goes on, each child is
made once, each signal taken once, and no wake-up is lost.

QUART_APP_KILL_POINTS=all tries every place where something lasting is written.
"""

from __future__ import annotations

import contextlib
import shutil

import httpx
import pytest

from quart_app.store.audit import audit
from tests.acceptance.harness import DEADLINE, Server, until
from tests.acceptance.kill_points import KILLED, Point, killing, points_of, watching
from tests.acceptance.test_kill_points import ALL

pytestmark = pytest.mark.once

SOME = 6
KEY = {"Idempotency-Key": "the-one"}
RESULT = [0, 1, 2, 3, 7]


def live(server: Server, prefix: list[str]) -> bool:
    """One journey; a server that dies on the way is started again. Whether it died."""
    shutil.rmtree(server.data, ignore_errors=True)
    server.prefix = prefix
    server.start()
    server.prefix = []
    deaths = 0
    ended: dict[str, object] = {}

    def step() -> bool:
        nonlocal deaths
        if not server.running:
            deaths += 1
            server.start().wait_ready()
        with contextlib.suppress(httpx.TransportError):
            made = server.client.post("/tasks/journey", json={}, headers=KEY)
            if made.status_code != 202:  # still starting
                return False
            path = f"/tasks/{made.json()['task_id']}"
            server.client.post(f"{path}/signals/go", json=7, headers=KEY)
            ended.update(server.client.get(path, params={"wait": "1"}).json())
        return ended.get("status") in ("completed", "failed", "cancelled")

    until(step, "the end of the journey", 3 * DEADLINE)
    assert (ended["status"], ended["result"]) == ("completed", RESULT), ended
    assert ended["children"] == {"total": 5, "ended": 5, "failed": 0}
    assert server.rows("SELECT count(*) FROM tasks") == [(6,)]
    stopped = server.sigterm()
    assert stopped in (0, *KILLED), "the last places are those of the stop"
    assert audit(server.database).findings == []
    assert deaths <= 1
    return deaths == 1 or stopped != 0


def test_a_journey_may_be_killed_at_any_write(server: Server) -> None:
    trace = server.folder / "trace"
    assert not live(server, watching(trace))
    points = [point for point in points_of(trace, server.pid, threads=True) if point.call == "fdatasync"]
    print(f"{len(points)} places")
    chosen: list[Point] = points if ALL else points[:: max(len(points) // SOME, 1)]
    killed = [live(server, [*killing(point)[:1], "-D", *killing(point)[1:]]) for point in chosen]
    assert sum(killed) >= len(killed) // 2, "a commit that holds two writes makes the last places unreached"
