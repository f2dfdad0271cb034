"""`GET /tasks/<id>/history`: attempts, steps, events and logs."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from quart_app.core.task import Event
from quart_app.service.tasks import TaskService
from quart_app.web.messages import render
from quart_app.web.routes import history as history_module
from tests.web.conftest import Serve
from tests.web.site import DEADLINE, Site, assert_problem


async def history(site: Site, task_id: str) -> Any:
    answer = await site.get(f"/tasks/{task_id}/history")
    assert answer.status == 200
    assert answer.json.keys() >= {"attempts", "steps", "events", "logs"}
    return answer.json


async def test_a_task_that_never_ran_has_one_event(site: Site) -> None:
    found = await history(site, await site.make("echo", query="?delay=3600"))
    assert (found["attempts"], found["steps"], found["logs"]) == ([], [], [])
    assert [(one["event"], one["status"], one["cause"]) for one in found["events"]] == [
        ("status", "pending", "enqueue")
    ]


async def test_the_events_tell_the_whole_path_in_order(site: Site) -> None:
    site.open_gate("steps")
    task_id = (await site.run("steps"))["task_id"]
    events = (await history(site, task_id))["events"]
    assert [(one["event"], one["cause"]) for one in events if one["event"] == "status"] == [
        ("status", "enqueue"),
        ("status", "claim"),
        ("status", "complete"),
    ]
    assert [one["event"] for one in events] == ["status", "status", "step", "log", "step", "status"]
    assert {one["task_id"] for one in events} == {task_id}
    assert [one["seq"] for one in events] == sorted({one["seq"] for one in events})
    assert all(one.keys() >= {"task_id", "seq", "at", "status", "cause", "attempt", "data"} for one in events)


async def test_the_steps_stand_with_their_outputs(site: Site) -> None:
    site.open_gate("steps")
    found = await history(site, (await site.run("steps"))["task_id"])
    assert [(step["name"], step["output"]) for step in found["steps"]] == [("first", 1), ("second", 2)]


async def test_the_logs_stand_with_their_fields(site: Site) -> None:
    site.open_gate("steps")
    (line,) = (await history(site, (await site.run("steps"))["task_id"]))["logs"]
    assert (line["message"], line["fields"]) == ("between the steps", {"colour": "blue", "first": 1})


async def test_each_attempt_has_its_error_with_the_traceback(site: Site) -> None:
    found = await history(site, (await site.run("fail-twice"))["task_id"])
    assert [(one["attempt"], one["outcome"]) for one in found["attempts"]] == [
        (1, "retry"),
        (2, "retry"),
        (3, "complete"),
    ]
    first, second, third = (one["error"] for one in found["attempts"])
    assert (first["type"], first["message"], first["retryable"]) == ("OSError", "attempt 1 fails", True)
    assert "attempt 2 fails" in second["traceback"]
    assert "in fail_twice" in second["traceback"]
    assert third is None
    assert all(one["started_at"] <= one["ended_at"] for one in found["attempts"])


async def test_a_running_attempt_has_no_end_yet(site: Site) -> None:
    (attempt,) = (await history(site, await site.held()))["attempts"]
    assert (attempt["attempt"], attempt["ended_at"], attempt["outcome"], attempt["error"]) == (1, None, None, None)


async def test_a_retry_by_hand_adds_to_the_history(site: Site) -> None:
    task_id = (await site.run("steps"))["task_id"]
    site.open_gate("steps")
    await site.post(f"/tasks/{task_id}/retry")
    await site.ended(task_id)
    found = await history(site, task_id)
    causes = [one["cause"] for one in found["events"] if one["event"] == "status"]
    assert causes == ["enqueue", "claim", "fail", "rerun", "claim", "complete"]
    assert [(one["attempt"], one["outcome"]) for one in found["attempts"]] == [(1, "fail"), (1, "complete")]
    assert found["attempts"][0]["error"]["type"] == "NonRetryable"


async def test_a_cancelled_attempt_says_so(site: Site) -> None:
    task_id = await site.held()
    await site.post(f"/tasks/{task_id}/cancel")
    await site.ended(task_id)
    (attempt,) = (await history(site, task_id))["attempts"]
    assert attempt["outcome"] == "cancel"


async def test_the_task_itself_shows_no_traceback(site: Site) -> None:
    task = await site.run("fail")
    assert task["error"] == {"type": "ValueError", "message": "as asked", "attempt": 1, "retryable": True}


async def test_its_pages_hold_each_event_once_and_the_first_what_is_no_event(site: Site) -> None:
    task_id = (await site.run("steps"))["task_id"]
    whole = await history(site, task_id)
    assert (whole["truncated"], whole["next"]) == (False, None)
    target, events, logs, pages = f"/tasks/{task_id}/history?limit=2", [], [], 0
    while target is not None:
        answer = await site.get(target)
        page = answer.json
        assert len(page["events"]) <= 2
        assert (page["attempts"] != [], page["steps"] != []) == (pages == 0, pages == 0)
        assert answer.headers.get("Link") == (f'<{page["next"]}>; rel="next"' if page["next"] else None)
        events, logs, pages, target = events + page["events"], logs + page["logs"], pages + 1, page["next"]
    assert (events, logs) == (whole["events"], whole["logs"])
    assert pages > 2


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=0", "limit=10001", "limit=1&limit=2", "before=1"])
async def test_another_query_is_400(site: Site, query: str) -> None:
    task_id = await site.make("echo")
    assert_problem(await site.get(f"/tasks/{task_id}/history?{query}"), 400)


async def test_a_later_page_is_the_owners_too(site: Site) -> None:
    assert_problem(await site.get(f"/tasks/{uuid.uuid4()}/history?after=1"), 404)


async def test_it_is_made_in_pieces_with_a_look_at_others_between_them(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = (await site.run("steps"))["task_id"]
    rendered, most = 0, 0
    event = render.event

    def count(one: Event) -> dict[str, Any]:
        nonlocal rendered, most
        rendered += 1
        most = max(most, rendered)
        return event(one)

    async def others() -> None:
        nonlocal rendered
        while True:
            rendered = 0
            await asyncio.sleep(0)

    monkeypatch.setattr(render, "event", count)
    monkeypatch.setattr(history_module, "PIECE", 2)
    turning = asyncio.create_task(others())
    found = await asyncio.gather(*(history(site, task_id) for _ in range(3)))
    turning.cancel()
    assert len(found[0]["events"]) > 4
    assert most == 2


async def test_the_histories_of_one_caller_keep_no_other_waiting(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, bob = ({"X-API-Key": f"{name}-s-key-is-long-enough"} for name in ("ann", "bob"))
    async with serve(api_keys="ann:ann-s-key-is-long-enough,bob:bob-s-key-is-long-enough") as site:
        anns, bobs = [(await site.post("/tasks/echo?delay=3600", {}, one)).id for one in (ann, bob)]
        gate, entered = asyncio.Event(), asyncio.Event()
        reading = TaskService.events

        async def slow(service: TaskService, task_id: str, *rest: Any) -> Any:
            if task_id == anns:
                entered.set()
                await gate.wait()
            return await reading(service, task_id, *rest)

        monkeypatch.setattr(TaskService, "events", slow)
        asked = [asyncio.create_task(site.get(f"/tasks/{anns}/history", ann)) for _ in range(20)]
        await entered.wait()
        async with asyncio.timeout(DEADLINE):
            assert (await site.get(f"/tasks/{bobs}/history", bob)).status == 200
        assert not any(one.done() for one in asked)
        gate.set()
        assert [one.status for one in await asyncio.gather(*asked)] == [200] * 20
