"""`/health`, `/ready`, `/status`."""

from __future__ import annotations

import os
import re

import pytest

from quart_app.core.errors import Draining
from quart_app.core.task import STATUSES
from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem


async def test_a_living_server_is_healthy(site: Site) -> None:
    answer = await site.get("/health")
    assert (answer.status, answer.json["status"]) == (200, "healthy")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", answer.json["timestamp"])


async def test_a_server_that_takes_tasks_is_ready(site: Site) -> None:
    assert (await site.get("/ready")).status == 200


async def test_a_draining_server_lives_but_is_not_ready_and_takes_nothing(serve: Serve) -> None:
    async with serve(drain_seconds=5.0) as site:
        done = (await site.run("echo"))["task_id"]
        waiting = await site.make("hold", query="?delay=3600")
        runtime = site.app.extensions["quart_app"].runtime
        runtime.begin_drain()
        assert (await site.get("/health")).status == 200
        for answer in (await site.get("/ready"), await site.post("/tasks/echo", {}), await site.get("/start/1/2")):
            assert_problem(answer, 503)
            assert int(answer.headers["Retry-After"]) >= 1
        assert (await site.get(f"/tasks/{done}")).json["status"] == "completed"
        # Nobody is kept waiting by a server that is about to go.
        assert (await site.get(f"/tasks/{waiting}?wait=60")).json["status"] == "pending"
        assert (await site.get("/status")).json["status"] == "draining"
        with pytest.raises(Draining):
            await runtime.service.accept([])


async def test_a_server_that_has_not_started_is_alive_and_not_ready(serve: Serve) -> None:
    async with serve() as site:
        pass
    assert (await site.get("/health")).status == 200
    for answer in (await site.get("/ready"), await site.get("/status"), await site.post("/tasks/echo", {})):
        assert_problem(answer, 503)
        assert int(answer.headers["Retry-After"]) >= 1


async def test_status_counts_the_tasks(site: Site) -> None:
    running = await site.held()
    for _ in range(2):
        await site.make("echo", query="?delay=3600&queue=later")
    await site.run("echo")
    await site.run("fail")
    cancelled = await site.make("echo", query="?delay=3600")
    await site.post(f"/tasks/{cancelled}/cancel")
    status = (await site.get("/status")).json
    assert status["tasks"] == {"pending": 2, "processing": 1, "completed": 1, "failed": 1, "cancelled": 1}
    assert status["tasks"].keys() == set(STATUSES)
    assert status["queues"]["later"]["delayed"] == 2
    assert status["queues"]["default"]["processing"] == 1
    assert status["slots"] == {"running": 1, "total": site.settings.concurrency}
    assert (await site.task(running))["status"] == "processing"


async def test_status_shows_how_many_wait_for_a_slot(serve: Serve) -> None:
    async with serve(concurrency=1) as site:
        await site.held()
        for _ in range(3):
            await site.make("echo")
        status = (await site.get("/status")).json
        assert status["waiting"] == status["queues"]["default"]["waiting"] == 3


async def test_status_tells_about_the_process(site: Site) -> None:
    status = (await site.get("/status")).json
    assert status["worker_info"]["pid"] == os.getpid()
    assert status["uptime_seconds"] >= 0
    assert status["versions"].keys() >= {"quart_app", "quart", "python", "sqlite"}


@pytest.mark.parametrize("path", ["/health", "/ready", "/status"])
async def test_looking_starts_nothing(site: Site, path: str) -> None:
    for method in ("GET", "HEAD"):
        assert (await site.request(method, path)).status == 200
    assert await site.total() == 0


async def test_deleted_tasks_are_no_longer_counted(site: Site) -> None:
    task_id = (await site.run("echo"))["task_id"]
    await site.delete(f"/tasks/{task_id}")
    assert sum((await site.get("/status")).json["tasks"].values()) == 0


async def test_status_names_the_busiest_queues_and_counts_the_others_together(site: Site) -> None:
    names = [f"q{number:02}" for number in range(60) for _ in range(1 + (number < 50))]
    await site.post("/tasks", [{"kind": "echo", "delay": 3600, "queue": name} for name in names])
    ended = (await site.run("echo", query="?queue=ended"))["task_id"]
    assert (await site.task(ended))["queue"] == "ended"
    queues = (await site.get("/status")).json["queues"]
    assert queues.keys() == {f"q{number:02}" for number in range(50)} | {"other"}
    assert queues["q07"] == {"waiting": 0, "delayed": 2, "processing": 0}
    assert queues["other"] == {"waiting": 0, "delayed": 10, "processing": 0}
