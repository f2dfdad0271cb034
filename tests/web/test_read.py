"""`GET /tasks/<id>`: versions, conditional requests, waiting."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.web.site import DEADLINE, Site, assert_problem

NOBODY = "019a0000-0000-7000-8000-000000000000"


async def test_each_change_has_its_own_strong_etag(site: Site) -> None:
    task_id = await site.make("stages", query="?delay=0.05")
    tags, seen = [], []
    answer = await site.get(f"/tasks/{task_id}")
    while True:
        task = answer.json
        tags.append(answer.headers["ETag"])
        done = (task["progress"] or {"done": 0})["done"]
        seen.append((task["status"], done))
        if task["status"] == "completed":
            break
        if task["status"] == "processing":
            site.open_gate(f"stage-{done + 1}")
        answer = await site.get(f"/tasks/{task_id}?wait={DEADLINE:g}", {"If-None-Match": answer.headers["ETag"]})
        assert answer.status == 200
    assert seen == [("pending", 0), ("processing", 0), ("processing", 1), ("processing", 2), ("completed", 2)]
    assert all(re.fullmatch(r'"[^"]+"', tag) for tag in tags)
    assert len(set(tags)) == len(tags)


async def test_the_progress_is_shown_with_its_percentage(site: Site) -> None:
    site.open_gate("stage-1")
    task_id = await site.make("stages")
    task = await site.until(task_id, "processing")
    while task["progress"] is None:
        seen = {"If-None-Match": f'"{task["version"]}"'}
        task = (await site.get(f"/tasks/{task_id}?wait={DEADLINE:g}", seen)).json
    assert task["progress"] == {"done": 1, "total": 4, "percent": 25.0, "message": "stage 1"}


async def test_the_etag_is_the_same_while_nothing_changes(site: Site) -> None:
    task_id = await site.make("echo", query="?delay=3600")
    tags = {(await site.get(f"/tasks/{task_id}")).headers["ETag"] for _ in range(3)}
    assert len(tags) == 1


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', '{} , W/"x"', "*"])
async def test_a_version_the_client_has_is_304_without_a_body(site: Site, form: str) -> None:
    task_id = await site.make("echo")
    await site.ended(task_id)
    tag = (await site.get(f"/tasks/{task_id}")).headers["ETag"]
    answer = await site.get(f"/tasks/{task_id}", {"If-None-Match": form.format(tag)})
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["ETag"] == tag


@pytest.mark.parametrize("header", ['"another"', "", "garbage", '"', 'W/"', ",,,", '"' * 4000, "\xff"])
async def test_a_version_the_client_does_not_have_is_answered_whole(site: Site, header: str) -> None:
    task_id = await site.make("echo", query="?delay=3600")
    assert (await site.get(f"/tasks/{task_id}", {"If-None-Match": header})).status == 200


async def test_retry_after_stands_only_on_unfinished_tasks(site: Site) -> None:
    task_id = await site.held()
    assert int((await site.get(f"/tasks/{task_id}")).headers["Retry-After"]) >= 1
    site.open_gate("hold")
    await site.ended(task_id)
    assert "Retry-After" not in (await site.get(f"/tasks/{task_id}")).headers


async def test_wait_answers_at_the_end_of_the_task(site: Site) -> None:
    task_id = await site.held()
    waiting = asyncio.ensure_future(site.get(f"/tasks/{task_id}?wait={DEADLINE:g}"))
    site.open_gate("hold")
    answer = await waiting
    assert (answer.status, answer.json["status"], answer.json["result"]) == (200, "completed", "hold")


async def test_wait_answers_with_the_task_as_it_is_when_time_is_up(site: Site) -> None:
    task_id = await site.held()
    answer = await site.get(f"/tasks/{task_id}?wait=0.05")
    assert (answer.status, answer.json["status"]) == (200, "processing")
    assert "Retry-After" in answer.headers


async def test_wait_is_not_woken_by_a_change_that_is_no_end(site: Site) -> None:
    task_id = await site.make("stages")
    waiting = asyncio.ensure_future(site.get(f"/tasks/{task_id}?wait={DEADLINE:g}"))
    for number in (1, 2, 3):
        await site.until(task_id, "processing")
        site.open_gate(f"stage-{number}")
    assert (await waiting).json["status"] == "completed"


async def test_wait_with_a_known_version_is_304_when_nothing_changes_in_time(site: Site) -> None:
    task_id = await site.held()
    tag = (await site.get(f"/tasks/{task_id}")).headers["ETag"]
    answer = await site.get(f"/tasks/{task_id}?wait=0.05", {"If-None-Match": tag})
    assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", tag)


async def test_wait_with_an_old_version_answers_at_once(site: Site) -> None:
    task_id = await site.held()
    answer = await site.get(f"/tasks/{task_id}?wait=60", {"If-None-Match": '"0"'})
    assert (answer.status, answer.json["status"]) == (200, "processing")


async def test_wait_answers_a_finished_task_at_once(site: Site) -> None:
    task_id = await site.make("echo")
    await site.ended(task_id)
    assert (await site.get(f"/tasks/{task_id}?wait=60")).json["status"] == "completed"


async def test_many_may_wait_for_one_task(site: Site) -> None:
    task_id = await site.held()
    waiting = [asyncio.ensure_future(site.get(f"/tasks/{task_id}?wait={DEADLINE:g}")) for _ in range(50)]
    site.open_gate("hold")
    assert {answer.json["status"] for answer in await asyncio.gather(*waiting)} == {"completed"}


async def test_a_cancel_wakes_whoever_waits(site: Site) -> None:
    task_id = await site.make("echo", query="?delay=3600")
    waiting = asyncio.ensure_future(site.get(f"/tasks/{task_id}?wait={DEADLINE:g}"))
    await site.post(f"/tasks/{task_id}/cancel")
    assert (await waiting).json["status"] == "cancelled"


@pytest.mark.parametrize("wait", ["-1", "61", "1e1", "", "NaN", "ten", "0x1", "1&wait=2", "9" * 400])
async def test_a_wait_that_is_not_0_to_60_seconds_is_400(site: Site, wait: str) -> None:
    task_id = await site.make("echo")
    assert_problem(await site.get(f"/tasks/{task_id}?wait={wait}"), 400, part="wait")


@pytest.mark.parametrize(
    "task_id", [NOBODY, NOBODY.upper(), "x", "%00", "%2e%2e", "..", "i" * 5000, "%ff", "a%0d%0ab", "'"]
)
@pytest.mark.parametrize("suffix", ["", "/history", "?wait=60"])
async def test_an_unknown_id_is_404(site: Site, task_id: str, suffix: str) -> None:
    assert_problem(await site.get(f"/tasks/{task_id}{suffix}"), 404)


async def test_head_answers_as_get_does(site: Site) -> None:
    task_id = await site.make("echo", query="?delay=3600")
    asked, answer = await site.request("HEAD", f"/tasks/{task_id}"), await site.get(f"/tasks/{task_id}")
    assert (asked.status, asked.headers["ETag"]) == (answer.status, answer.headers["ETag"])
