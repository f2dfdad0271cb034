"""A person's hand: cancel, retry, delete."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem

NOBODY = "019a0000-0000-7000-8000-000000000000"
ENDED_KINDS = [("echo", "completed"), ("fail", "failed")]


async def test_a_pending_task_is_cancelled_at_once(site: Site) -> None:
    task_id = await site.make("echo", query="?delay=3600")
    answer = await site.post(f"/tasks/{task_id}/cancel")
    assert (answer.status, answer.json["task_id"], answer.json["status"]) == (200, task_id, "cancelled")
    task = await site.task(task_id)
    assert task["status"] == "cancelled"
    assert task["completed_at"] is not None


async def test_a_running_task_is_asked_to_end(site: Site) -> None:
    task_id = await site.held()
    assert (await site.post(f"/tasks/{task_id}/cancel")).status == 202
    assert (await site.ended(task_id))["status"] == "cancelled"


async def test_an_empty_object_may_be_sent_along(site: Site) -> None:
    task_id = await site.make("echo", query="?delay=3600")
    assert (await site.post(f"/tasks/{task_id}/cancel", {})).status == 200


@pytest.mark.parametrize(("kind", "status"), ENDED_KINDS)
async def test_an_ended_task_cannot_be_cancelled(site: Site, kind: str, status: str) -> None:
    task_id = (await site.run(kind))["task_id"]
    assert_problem(await site.post(f"/tasks/{task_id}/cancel"), 409, part=status)
    assert (await site.task(task_id))["status"] == status


async def test_a_cancelled_task_cannot_be_cancelled_again(site: Site) -> None:
    task_id = await site.make("echo", query="?delay=3600")
    await site.post(f"/tasks/{task_id}/cancel")
    assert_problem(await site.post(f"/tasks/{task_id}/cancel"), 409, part="cancelled")


async def test_a_failed_task_runs_again(site: Site) -> None:
    task_id = (await site.run("steps"))["task_id"]
    site.open_gate("steps")
    answer = await site.post(f"/tasks/{task_id}/retry")
    assert (answer.status, answer.id, answer.json["status"]) == (202, task_id, "pending")
    assert answer.headers["Location"] == f"/tasks/{task_id}"
    task = await site.ended(task_id)
    assert (task["status"], task["attempt"], task["error"]) == ("completed", 1, None)


async def test_recorded_steps_are_kept_by_a_retry(site: Site) -> None:
    task_id = (await site.run("steps"))["task_id"]
    site.open_gate("steps")
    await site.post(f"/tasks/{task_id}/retry")
    assert (await site.ended(task_id))["result"] == [1, 2]


async def test_a_restart_forgets_the_steps(site: Site) -> None:
    task_id = (await site.run("steps"))["task_id"]
    site.open_gate("steps")
    assert (await site.post(f"/tasks/{task_id}/retry?restart=true")).status == 202
    assert (await site.ended(task_id))["result"] == [2, 3]


async def test_a_cancelled_task_may_be_retried(site: Site) -> None:
    task_id = await site.make("echo", {"value": 3}, "?delay=3600")
    await site.post(f"/tasks/{task_id}/cancel")
    assert (await site.post(f"/tasks/{task_id}/retry?restart=false")).status == 202
    task = await site.ended(task_id)
    assert (task["status"], task["result"]) == ("completed", 3)


async def test_only_failed_and_cancelled_tasks_can_be_retried(site: Site) -> None:
    waiting = await site.make("echo", query="?delay=3600")
    running = await site.held()
    done = (await site.run("echo"))["task_id"]
    for task_id, status in ((waiting, "pending"), (running, "processing"), (done, "completed")):
        assert_problem(await site.post(f"/tasks/{task_id}/retry"), 409, part=status)
        assert (await site.task(task_id))["status"] == status


async def test_twenty_retries_at_once_make_one_attempt(site: Site) -> None:
    task_id = (await site.run("steps"))["task_id"]
    site.open_gate("steps")
    answers = await asyncio.gather(*(site.post(f"/tasks/{task_id}/retry") for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [202] + [409] * 19
    await site.ended(task_id)
    assert site.sql("SELECT count(*) FROM events WHERE cause = 'rerun'") == [(1,)]


async def test_a_retry_is_taken_while_the_queue_is_full(serve: Serve) -> None:
    async with serve(concurrency=1, queue_limit=1) as site:
        failed = (await site.run("fail"))["task_id"]
        await site.held()
        await site.make("echo")
        assert_problem(await site.post("/tasks/echo", {}), 503)
        assert (await site.post(f"/tasks/{failed}/retry")).status == 202


@pytest.mark.parametrize(("kind", "status"), ENDED_KINDS)
async def test_an_ended_task_can_be_deleted(site: Site, kind: str, status: str) -> None:
    task_id = (await site.run(kind))["task_id"]
    answer = await site.delete(f"/tasks/{task_id}")
    assert (answer.status, answer.body) == (204, b"")
    assert_problem(await site.get(f"/tasks/{task_id}"), 404)
    assert_problem(await site.delete(f"/tasks/{task_id}"), 404)
    assert await site.total() == 0


async def test_an_unfinished_task_cannot_be_deleted(site: Site) -> None:
    waiting = await site.make("echo", query="?delay=3600")
    running = await site.held()
    for task_id, status in ((waiting, "pending"), (running, "processing")):
        assert_problem(await site.delete(f"/tasks/{task_id}"), 409, part=status)
        assert (await site.task(task_id))["status"] == status


@pytest.mark.parametrize(("method", "suffix"), [("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")])
@pytest.mark.parametrize("task_id", [NOBODY, "x", "%00", "i" * 5000])
async def test_an_unknown_id_is_404(site: Site, method: str, suffix: str, task_id: str) -> None:
    assert_problem(await site.request(method, f"/tasks/{task_id}{suffix}"), 404)


@pytest.mark.parametrize(
    ("suffix", "body"),
    [
        ("/cancel", {"reason": "x"}),
        ("/cancel", []),
        ("/cancel", b"{"),
        ("/cancel?force=true", b""),
        ("/retry", {"restart": True}),
        ("/retry?restart=1", b""),
        ("/retry?restart=", b""),
        ("/retry?restart=true&restart=true", b""),
        ("/retry?steps=keep", b""),
    ],
)
async def test_what_is_misunderstood_is_400_and_changes_nothing(site: Site, suffix: str, body: Any) -> None:
    task_id = await site.make("echo", query="?delay=3600")
    if suffix.startswith("/retry"):
        await site.post(f"/tasks/{task_id}/cancel")
    before = await site.task(task_id)
    assert_problem(await site.post(f"/tasks/{task_id}{suffix}", body), 400)
    assert await site.task(task_id) == before


@pytest.mark.parametrize(("method", "suffix"), [("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")])
async def test_another_site_may_not_change_anything(site: Site, method: str, suffix: str) -> None:
    task_id = await site.make("echo", query="?delay=3600")
    answer = await site.request(method, f"/tasks/{task_id}{suffix}", headers={"Sec-Fetch-Site": "cross-site"})
    assert_problem(answer, 403)
    assert (await site.task(task_id))["status"] == "pending"
