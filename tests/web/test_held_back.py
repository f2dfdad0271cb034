"""What a limit or a pause holds back says so, and is found by it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.web.conftest import Serve
from tests.web.site import KINDS, Site, assert_problem

TASKS = f"{KINDS},{KINDS.with_name('limited_kinds.py')}"


@pytest.fixture
async def site(serve: Serve) -> AsyncIterator[Site]:
    async with serve(tasks=TASKS) as served:
        yield served


async def found(site: Site, what: str, more: str = "") -> list[str]:
    answer = await site.get(f"/tasks?waiting_for={what}{more}")
    assert answer.status == 200, answer.body
    assert {one["waiting_for"] for one in answer.json["tasks"]} <= {what}
    return [one["task_id"] for one in answer.json["tasks"]]


async def waiting_for(site: Site, task_id: str) -> Any:
    return (await site.task(task_id))["waiting_for"]


async def running(site: Site, kind: str, args: Any = None, query: str = "") -> str:
    task_id = await site.make(kind, args, query)
    await site.until(task_id, "processing")
    return task_id


async def test_a_task_says_which_limit_holds_it_back(site: Site) -> None:
    for customer in ("a", "b"):
        await running(site, "for-customer", {"customer": customer})
    held = [await site.make("for-customer", {"customer": customer}, "?tag=mine") for customer in ("a", "b", "b")]
    await site.run("echo", query="?queue=customers")
    assert [await waiting_for(site, one) for one in held] == ["limit:shared"] * 3
    assert await found(site, "limit:shared") == held[::-1]
    assert await found(site, "limit:shared", "&tag=mine&status=pending") == held[::-1]
    assert await found(site, "limit:shared", "&kind=echo") == []
    assert await found(site, "limit:other") == await found(site, "paused") == []
    site.open_gate("a")
    assert (await site.ended(held[0]))["waiting_for"] is None
    assert await found(site, "limit:shared") == [held[2], held[1]]


async def test_a_page_of_them_leads_to_the_next(site: Site) -> None:
    for _ in range(2):
        await running(site, "two-at-once")
    held = [await site.make("two-at-once") for _ in range(5)]
    await site.run("echo")
    seen: list[str] = []
    path = "/tasks?waiting_for=limit:kind:two-at-once&limit=2"
    while path:
        page = (await site.get(path)).json
        seen += [one["task_id"] for one in page["tasks"]]
        path = page["next"]
    assert seen == held[::-1]


async def test_the_limit_of_a_queue_holds_back_with_its_name(site: Site) -> None:
    await site.request("PATCH", "/queues/mine", {"concurrency": 1})
    await running(site, "hold", query="?queue=mine")
    plain = await site.make("echo", query="?queue=mine")
    limited = await site.make("few", query="?queue=mine")
    await site.run("echo")
    for task_id in (plain, limited):
        assert await waiting_for(site, task_id) == "limit:queue:mine"
    assert await found(site, "limit:queue:mine") == [limited, plain]
    await site.request("PATCH", "/queues/mine", {"concurrency": None})
    for task_id in (plain, limited):
        assert (await site.ended(task_id))["waiting_for"] is None
    assert await found(site, "limit:queue:mine") == []


async def test_a_pause_holds_back_what_is_due_and_nothing_else(site: Site) -> None:
    await site.post("/queues/mine/pause")
    due = [await site.make(kind, query="?queue=mine&tag=due") for kind in ("echo", "few")]
    delayed = await site.make("echo", query="?queue=mine&delay=900")
    await site.post("/kinds/strict/pause")
    elsewhere = await site.make("strict", {"x": 1}, "?tag=due")
    await site.run("echo")
    for task_id in (*due, elsewhere):
        assert await waiting_for(site, task_id) == "paused"
    assert await waiting_for(site, delayed) is None
    assert await found(site, "paused") == await found(site, "paused", "&tag=due") == [elsewhere, *due[::-1]]
    await site.post("/queues/mine/resume")
    await site.post("/kinds/strict/resume")
    for task_id in (*due, elsewhere):
        assert (await site.ended(task_id))["waiting_for"] is None
    assert await found(site, "paused") == []


async def test_the_metrics_count_what_is_held_back_and_paused(site: Site) -> None:
    for _ in range(2):
        await running(site, "two-at-once")
    for _ in range(3):
        await site.make("two-at-once")
    await site.request("PATCH", "/queues/mine", {"concurrency": 1})
    await running(site, "hold", query="?queue=mine")
    for _ in range(2):
        await site.make("echo", query="?queue=mine")
    await site.run("strict", {"x": 1}, "?queue=default")
    await site.post("/queues/other/pause")
    for kind in ("echo", "few"):
        await site.post(f"/kinds/{kind}/pause")
    lines = (await site.get("/metrics")).body.decode().splitlines()
    for line in ("quart_app_held_tasks 5.0", "quart_app_paused_queues 1.0", "quart_app_paused_kinds 2.0"):
        assert line in lines


async def test_tasks_in_lanes_count_among_the_oldest(site: Site) -> None:
    for _ in range(2):
        await running(site, "two-at-once")
    first = await site.make("two-at-once")
    await site.make("two-at-once", query="?priority=5")
    await site.run("echo")
    runtime = site.app.extensions["quart_app"].runtime
    ((due,),) = site.sql("SELECT run_at FROM tasks WHERE id = ?", first)
    assert await runtime.store.oldest(["default", "empty"]) == {"default": due}


async def test_the_etag_changes_with_what_holds_a_task_back(site: Site) -> None:
    await site.post("/queues/mine/pause")
    task_id = await site.make("strict", {"x": 1}, "?queue=mine")
    paused = await site.get(f"/tasks/{task_id}")
    seen = {"If-None-Match": paused.headers["ETag"]}
    assert (await site.get(f"/tasks/{task_id}", seen)).status == 304
    await site.request("PATCH", "/queues/mine", {"concurrency": 1})
    busy = await site.make("hold", query="?queue=mine")
    await site.request("PATCH", f"/tasks/{busy}", {"priority": 100})
    await site.post("/queues/mine/resume")
    await site.until(busy, "processing")
    limited = await site.get(f"/tasks/{task_id}", seen)
    assert (limited.status, limited.json["waiting_for"]) == (200, "limit:queue:mine")
    assert limited.json["version"] == paused.json["version"]
    # It is the same version of the task, whatever holds it back.
    changed = await site.request("PATCH", f"/tasks/{task_id}", {"args": {"x": 2}}, {"If-Match": paused.headers["ETag"]})
    assert (changed.status, changed.json["args"]) == (200, {"x": 2})
    assert_problem(
        await site.request("PATCH", f"/tasks/{task_id}", {"args": {"x": 3}}, {"If-Match": limited.headers["ETag"]}), 412
    )


async def test_what_is_no_name_of_a_limit_is_a_mistake(site: Site) -> None:
    for what in ("limit:", "limit:A", "limit", "paused:x"):
        assert_problem(await site.get(f"/tasks?waiting_for={what}"), 400)
