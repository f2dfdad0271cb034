"""Schedules of a real server: killed at random instants, in nights on which clocks change, on the command line."""

from __future__ import annotations

import json
import os
import random
import threading
from typing import Any

import pytest

from tests.acceptance.conftest import Command, MakeServer
from tests.acceptance.harness import Server, until
from tests.acceptance.test_cli import good
from tests.acceptance.wall import CREDULOUS, Wall

pytestmark = pytest.mark.once

LIVES = 6
SCHEDULES = 12  # of one second each


def add(server: Server, name: str, **fields: Any) -> dict[str, Any]:
    answer = server.client.post("/schedules", json={"name": name, "kind": "quick", **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def fires(server: Server, name: str) -> int:
    ((number,),) = server.rows("SELECT count(*) FROM fires WHERE schedule = ?", name)
    return int(number)


def test_killed_at_random_instants_no_fire_is_made_twice(make_server: MakeServer) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")  # pytest shows it when the test fails
    chance = random.Random(seed)
    server = make_server(schedules=1)
    server.start().wait_ready()
    for number in range(SCHEDULES):
        rule = ("one", "all", "skip")[number % 3]
        add(server, f"s{number}", every=1 + number / 1000, overlap="queue", catch_up=rule)
    for life in range(LIVES):
        if life:
            server.start()
        # The schedules began within a moment of each other, so they are due within one: there the kill hits.
        before = server.rows("SELECT count(*) FROM fires")
        until(lambda before=before: server.rows("SELECT count(*) FROM fires") != before, "a fire")  # type: ignore[misc]
        threading.Event().wait(chance.uniform(0, 0.05))
        server.kill9()
        assert_each_fire_has_its_task(server)
    server.start().wait_ready()
    until(lambda: not server.client.get("/tasks", params={"status": "pending"}).json()["tasks"], "the end of all")
    assert server.sigterm() == 0
    assert_each_fire_has_its_task(server)
    assert fires(server, "s0") > 1


def assert_each_fire_has_its_task(server: Server) -> None:
    """As many tasks as fires, and each fire with one of its own."""
    paired = server.rows(
        "SELECT count(*), count(DISTINCT f.task_id), count(DISTINCT f.schedule || f.fire_at), "
        "sum(t.tags = json_array('schedule:' || f.schedule)) FROM fires f JOIN tasks t ON t.id = f.task_id"
    )
    ((tasks,),) = server.rows("SELECT count(*) FROM tasks")
    assert paired == [(tasks, tasks, tasks, tasks)]
    assert server.rows("SELECT count(*) FROM fires") == [(tasks,)]


def test_both_nights_on_which_new_york_changes_its_clocks(make_server: MakeServer) -> None:
    server = make_server(schedules=1, tasks=CREDULOUS)
    wall = Wall(server)
    wall.set("2026-03-08 06:50:00")
    server.start().wait_ready()
    plan = {"timezone": "America/New_York", "overlap": "queue"}
    add(server, "every", every=1, overlap="queue")
    assert add(server, "gap", cron="30 2 * * *", **plan)["next_at"] == "2026-03-08T07:00:00.000Z"
    wall.set("2026-03-08 06:59:59")
    until(lambda: fires(server, "gap") == 1, "the fire of the minute after the gap")
    at_work(server, wall, "2026-03-08 07:30:01")
    assert fires(server, "gap") == 1
    assert server.rows("SELECT count(*) FROM tags WHERE tag = 'schedule:gap'") == [(1,)]
    assert server.client.get("/schedules/gap").json()["next_at"] == "2026-03-09T06:30:00.000Z"

    at_work(server, wall, "2026-11-01 05:00:00")
    assert add(server, "overlap", cron="30 1 * * *", **plan)["next_at"] == "2026-11-01T05:30:00.000Z"
    at_work(server, wall, "2026-11-01 05:30:01")
    assert fires(server, "overlap") == 1
    at_work(server, wall, "2026-11-01 06:30:01")
    wall.set("2026-11-01 04:29:59")  # two hours back
    until(lambda: server.client.get("/health").json()["timestamp"] > "2026-11-01T04:30:01", "two seconds")
    at_work(server, wall, "2026-11-01 06:40:00")
    tomorrow = "2026-11-02T06:30:00.000Z"
    until(lambda: server.client.get("/schedules/overlap").json()["next_at"] == tomorrow, "the night to be over")
    assert fires(server, "overlap") == 1
    assert server.rows("SELECT count(*) FROM tags WHERE tag = 'schedule:overlap'") == [(1,)]


def test_the_built_in_ones_run_each_hour_and_each_five_minutes_also_after_a_kill(make_server: MakeServer) -> None:
    server = make_server(schedules=1, tasks=CREDULOUS)
    wall = Wall(server)
    wall.set("2026-11-21 08:30:00")
    server.start().wait_ready()
    wall.set("2026-11-21 09:00:01")
    until(lambda: ended(server, "cleanup") == ended(server, "stats-update") == 1, "both at nine")
    assert server.client.get("/health").json()["status"] == "healthy"
    shown = server.client.get("/status").json()["statistics"]
    assert shown["at"].startswith("2026-11-21T09:00:")
    server.kill9()
    wall.set("2026-11-21 09:05:01")
    server.start().wait_ready()
    until(lambda: ended(server, "stats-update") == 2, "the second of the day")
    assert ended(server, "cleanup") == 1
    assert server.client.get("/status").json()["statistics"]["kinds"]["cleanup"]["tasks"]["completed"] == 1


def ended(server: Server, kind: str) -> int:
    return len(server.client.get("/tasks", params={"kind": kind, "status": "completed"}).json()["tasks"])


def at_work(server: Server, wall: Wall, moment: str) -> None:
    """It is that late, and the scheduler has seen it."""
    wall.set(moment)
    after = f"SELECT count(*) FROM fires WHERE schedule = 'every' AND fire_at >= 1000 * unixepoch('{moment}')"
    until(lambda: server.rows(after) != [(0,)], "a fire of the schedule of each second")


@pytest.mark.parametrize("served", [True, False], ids=["beside a server", "without a server"])
def test_the_command_line_lists_them(server: Server, command: Command, served: bool) -> None:
    server.start().wait_ready()
    add(server, "mine", every=90)
    add(server, "daily", cron="30 2 * * *", timezone="Europe/Paris", paused=True)
    if not served:
        assert server.sigterm() == 0
    head, *lines = good(command("schedules")).splitlines()
    assert head.split() == ["name", "kind", "when", "next", "last"]
    shown = {line.split()[0]: line for line in lines}
    assert sorted(shown) == ["cleanup", "daily", "mine", "stats-update"]
    assert "every 90 s" in shown["mine"]
    assert "30 2 * * * Europe/Paris" in shown["daily"]
    assert "paused" in shown["daily"]
    document = json.loads(good(command("schedules", "--json")))
    assert [one["name"] for one in document["schedules"]] == sorted(shown)
    assert document["next"] is None
