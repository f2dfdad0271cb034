"""`/queues`: what waits in them, their limits, and pauses of queues and kinds."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from quart_app.store.sqlite.transaction import Call
from tests.web.conftest import Serve
from tests.web.site import KINDS, Answer, Site, assert_problem
from tests.web.test_audit_log import acts
from tests.web.test_keys import bearer

TASKS = f"{KINDS},{KINDS.with_name('limited_kinds.py')}"
KEYS = {"api_keys": "ann:ann-opens-sesame,bob:bob-opens-sesame"}
OWN = {
    "name": "queue:mine",
    **dict.fromkeys(("own_concurrency", "own_rate", "own_window_ms")),
    "sets_concurrency": True,
    "sets_rate": False,
}
OPERATOR = {"quart_app.operator": True}


@pytest.fixture
async def site(serve: Serve) -> AsyncIterator[Site]:
    async with serve(tasks=TASKS) as served:
        yield served


async def queue(site: Site, name: str) -> Any:
    answer = await site.get(f"/queues/{name}")
    assert answer.status == 200, answer.body
    return answer.json


async def patch(site: Site, name: str, body: Any) -> Answer:
    return await site.request("PATCH", f"/queues/{name}", body)


async def order(site: Site, path: str) -> Any:
    answer = await site.post(path)
    assert answer.status == 200, answer.body
    return answer.json


async def test_a_queue_shows_what_is_in_it(site: Site) -> None:
    held = await site.make("hold", query="?queue=mine")
    await site.until(held, "processing")
    await site.make("echo", query="?queue=mine&delay=900")
    found = await queue(site, "mine")
    assert found == {
        "name": "mine",
        "paused": False,
        "waiting": 0,
        "ready": 0,
        "delayed": 1,
        "processing": 1,
        "oldest_age": 0,
        "slots_wanted": 1,
        "concurrency": None,
        "rate_limit": None,
    }


async def test_what_is_held_back_wants_no_slot(site: Site) -> None:
    for _ in range(2):
        await site.until(await site.make("two-at-once", query="?queue=mine"), "processing")
    for _ in range(3):
        await site.make("two-at-once", query="?queue=mine")
    await site.run("echo", query="?queue=mine")  # claimed after they were looked at
    found = await queue(site, "mine")
    assert (found["waiting"], found["ready"], found["processing"], found["slots_wanted"]) == (3, 0, 2, 2)
    assert found["oldest_age"] > 0


async def test_a_limit_of_a_queue_holds_at_once(site: Site) -> None:
    changed = await patch(site, "mine", {"concurrency": 1, "rate_limit": "100/60"})
    assert (changed.json["concurrency"], changed.json["rate_limit"]) == (1, "100/60")
    first, second = [await site.make("hold", {"name": str(number)}, "?queue=mine") for number in range(2)]
    await site.until(first, "processing")
    await site.run("echo")
    found = await queue(site, "mine")
    assert (found["waiting"], found["ready"], found["slots_wanted"]) == (1, 0, 1)
    (limit,) = (one for one in (await site.get("/limits?limit=200")).json["limits"] if one["name"] == "queue:mine")
    assert (limit["running"], limit["started_in_window"], limit["waiting"]) == (1, 1, 1)
    assert (await patch(site, "mine", {"concurrency": None})).json["rate_limit"] == "100/60"
    await site.until(second, "processing")
    assert (await patch(site, "mine", {"rate_limit": None})).json["rate_limit"] is None
    assert "queue:mine" not in [one["name"] for one in (await site.get("/limits?limit=200")).json["limits"]]


async def test_the_limit_of_a_queue_is_a_limit_like_any_other(site: Site) -> None:
    await site.run("echo", query="?queue=mine")
    changed = await site.request("PATCH", "/limits/queue:mine", {"concurrency": 7})
    assert (changed.status, changed.json["concurrency"]) == (200, 7)
    assert (await queue(site, "mine"))["concurrency"] == 7
    back = await site.request("PATCH", "/limits/queue:mine", {"concurrency": None})
    assert (back.status, back.json["concurrency"]) == (200, None)


async def test_a_queue_comes_into_being_by_a_change_or_its_first_task(serve: Serve) -> None:
    async with serve(tasks=TASKS) as site:
        assert_problem(await site.get("/queues/new"), 404)
        assert (await patch(site, "new", {})).status == 200
        await site.make("echo", query="?queue=used&delay=900")
    async with serve(tasks=TASKS) as site:
        assert (await queue(site, "new"))["waiting"] == 0
        names = [one["name"] for one in (await site.get("/queues")).json["queues"]]
        assert names == sorted(names)
        assert {"new", "used", "audit"} <= set(names)


async def test_queues_come_page_by_page(site: Site) -> None:
    for number in range(5):
        await site.make("echo", query=f"?queue=q{number}&delay=900")
    whole = (await site.get("/queues?limit=200")).json["queues"]
    found, path = [], "/queues?limit=2"
    while path:
        answer = await site.get(path)
        found += answer.json["queues"]
        assert (answer.headers.get("Link") is None) == (answer.json["next"] is None)
        path = answer.json["next"]
    assert [one["name"] for one in found] == [one["name"] for one in whole]
    assert [one["name"] for one in whole if one["name"].startswith("q")] == [f"q{number}" for number in range(5)]


# --- pauses


async def test_a_paused_queue_starts_nothing_and_what_runs_goes_on(site: Site) -> None:
    running = await site.make("hold", {"name": "runs"}, "?queue=mine")
    await site.until(running, "processing")
    paused = await order(site, "/queues/mine/pause")
    assert (paused["paused"], paused["processing"]) == (True, 1)
    waiting = await site.make("echo", query="?queue=mine")
    await site.run("echo")
    found = await queue(site, "mine")
    assert (found["waiting"], found["ready"], found["slots_wanted"]) == (1, 0, 1)
    site.open_gate("runs")
    await site.ended(running)
    await site.run("echo")
    assert (await site.task(waiting))["attempt"] == 0
    assert (await order(site, "/queues/mine/resume"))["paused"] is False
    assert (await site.ended(waiting))["status"] == "completed"


async def test_a_queue_is_paused_before_its_first_task(site: Site) -> None:
    assert (await order(site, "/queues/new/pause"))["paused"] is True
    task_id = await site.make("echo", query="?queue=new")
    await site.run("echo")
    assert (await site.task(task_id))["attempt"] == 0
    await order(site, "/queues/new/resume")
    await site.ended(task_id)
    assert_problem(await site.post("/queues/none/resume"), 404)


async def test_a_paused_kind_starts_nothing_in_any_queue(site: Site) -> None:
    paused = await order(site, "/kinds/echo/pause")
    assert (paused["kind"], paused["paused"]) == ("echo", True)
    assert (await site.get("/kinds/echo")).json == paused
    held = [await site.make("echo", query=query) for query in ("", "?queue=mine")]
    await site.run("strict", {"x": 1})
    await site.run("strict", {"x": 1}, "?queue=mine")
    for task_id in held:
        assert (await site.task(task_id))["attempt"] == 0
    assert (await order(site, "/kinds/echo/resume"))["paused"] is False
    for task_id in held:
        assert (await site.ended(task_id))["status"] == "completed"
    assert (await site.run("echo", {"value": 5}))["result"] == 5


async def test_a_kind_with_limits_is_paused_and_keeps_them(site: Site) -> None:
    await order(site, "/kinds/two-at-once/pause")
    held = [await site.make("two-at-once") for _ in range(3)]
    await site.run("echo")
    assert [(await site.task(one))["attempt"] for one in held] == [0, 0, 0]
    await order(site, "/kinds/two-at-once/resume")
    for task_id in held[:2]:
        await site.until(task_id, "processing")
    await site.run("echo")
    assert (await site.task(held[2]))["status"] == "pending"


async def test_tasks_that_were_there_before_the_pause_of_their_kind_are_held_back_too(serve: Serve) -> None:
    async with serve(tasks=TASKS, concurrency=1) as site:
        running = await site.held()
        waiting = [await site.make("echo") for _ in range(3)]
        await order(site, "/kinds/echo/pause")
        site.open_gate("hold")
        await site.ended(running)
        await site.run("strict", {"x": 1}, "?queue=default")
        assert [(await site.task(one))["attempt"] for one in waiting] == [0, 0, 0]
        await order(site, "/kinds/echo/resume")
        for task_id in waiting:
            await site.ended(task_id)


async def test_pauses_are_kept_over_a_restart(serve: Serve) -> None:
    async with serve(tasks=TASKS) as site:
        await order(site, "/queues/mine/pause")
        await order(site, "/kinds/strict/pause")
        held = await site.make("echo", query="?queue=mine"), await site.make("strict", {"x": 1})
    async with serve(tasks=TASKS) as site:
        later = await site.make("strict", {"x": 2}, "?queue=default")
        await site.run("echo")
        for task_id in (*held, later):
            assert (await site.task(task_id))["attempt"] == 0
        assert (await queue(site, "mine"))["paused"] is True
        await order(site, "/queues/mine/resume")
        await order(site, "/kinds/strict/resume")
        for task_id in (*held, later):
            assert (await site.ended(task_id))["status"] == "completed"


async def test_a_sleeper_of_a_paused_queue_does_not_wake_up(site: Site) -> None:
    asleep = await site.make("nap", {"seconds": 1.05}, "?queue=mine")
    runtime = site.app.extensions["quart_app"].runtime
    while not (await queue(site, "mine"))["delayed"]:
        await site.run("echo")
    await order(site, "/queues/mine/pause")
    while not (await queue(site, "mine"))["waiting"]:
        await runtime._poller.run_once(runtime.clock.now() + 5_000)
    await site.run("echo")
    assert (await site.task(asleep))["status"] == "pending"
    await order(site, "/queues/mine/resume")
    assert (await site.ended(asleep))["status"] == "completed"


async def test_nobody_looks_for_lost_wake_ups_in_a_paused_queue(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    await order(site, "/queues/mine/pause")
    await site.make("echo", query="?queue=mine")
    runtime = site.app.extensions["quart_app"].runtime
    with caplog.at_level(logging.WARNING):
        await runtime.dispatcher.look(runtime.clock.now() + 60_000)
    assert "nobody was told" not in caplog.text


async def test_a_queue_that_is_held_back_is_looked_at_now_and_then(site: Site) -> None:
    await patch(site, "mine", {"concurrency": 1})
    held = await site.make("hold", query="?queue=mine")
    await site.until(held, "processing")
    waits = await site.make("echo", query="?queue=mine")
    runtime = site.app.extensions["quart_app"].runtime
    while "mine" not in runtime.dispatcher._held_back:
        await site.run("echo")
    more = {"name": "queue:mine", "concurrency": 2, "rate": None, "window_ms": None}
    await runtime._db.write([Call("put_own_limit", params=OWN), Call("declare_limit", params=more)])  # nobody is told
    await runtime.dispatcher.look(runtime.clock.now())
    assert (await site.ended(waits))["status"] == "completed"


# --- who may


async def test_only_administrators_see_and_change_queues_and_each_change_is_an_act(serve: Serve) -> None:
    async with serve(tasks=TASKS, **KEYS) as site:
        ann = bearer("ann-opens-sesame")
        await site.make("echo", headers=ann)
        for method, path in (
            ("GET", "/queues"),
            ("GET", "/queues/default"),
            ("PATCH", "/queues/default"),
            ("POST", "/queues/default/pause"),
            ("POST", "/queues/default/resume"),
            ("POST", "/kinds/echo/pause"),
            ("POST", "/kinds/echo/resume"),
        ):
            body = {"concurrency": 3} if method == "PATCH" else {}
            answer = await site.request(method, path, *([] if method == "GET" else [body]), headers=ann)
            assert_problem(answer, 403)
            done = await site.request(method, path, *([] if method == "GET" else [body]), scope=OPERATOR)
            assert done.status == 200, (path, done.body)
        assert_problem(await site.request("POST", "/kinds/none/pause", scope=OPERATOR), 404)
        kept = [(act["act"], act["target"], act["detail"]) for act in await acts(site)]
        assert kept == [
            ("kind.resume", "echo", ""),
            ("kind.pause", "echo", ""),
            ("queue.resume", "default", ""),
            ("queue.pause", "default", ""),
            ("queue.change", "default", "concurrency 3"),
        ]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"rate_limit": "5"}, "/rate_limit"),
        ({"rate_limit": "5/99999999"}, "/rate_limit"),
        ({"rate_limit": "off"}, "/rate_limit"),
        ({"concurrency": 0}, "/concurrency"),
        ({"concurrency": "off"}, "/concurrency"),
        ({"name": "x"}, "/name"),
    ],
)
async def test_a_body_that_does_not_fit_makes_no_queue(site: Site, body: Any, pointer: str) -> None:
    assert_problem(await patch(site, "new", body), 422, pointer)
    assert_problem(await site.get("/queues/new"), 404)


async def test_names_and_queries_are_checked(site: Site) -> None:
    assert_problem(await patch(site, "Not-a-name", {}), 400)
    assert_problem(await site.post("/queues/Not-a-name/pause"), 400)
    assert_problem(await site.get("/queues?name=x"), 400)
    assert_problem(await site.get("/queues/default?limit=1"), 400)
    assert_problem(await site.post("/queues/default/pause", {"for": "ever"}), 400)
