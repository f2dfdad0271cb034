"""`POST /bulk` over HTTP."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator
from typing import Any

import pytest

from quart_app.service import bulk as service
from quart_app.store.audit import audit
from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem, next_millisecond
from tests.web.test_keys import ANN, BOB, KEYS, bearer, stored

A, B = bearer(ANN), bearer(BOB)
LATER = "?delay=10000"


@pytest.fixture
async def site(serve: Serve) -> AsyncIterator[Site]:
    async with serve() as served:
        yield served
        assert audit(served.settings.database_path).findings == []


async def act(site: Site, action: str, chosen: Any, headers: dict[str, str] | None = None, **more: Any) -> Any:
    """The result of a bulk task."""
    made = await site.post("/bulk", {"action": action, "filter": chosen, **more}, headers)
    task = (await site.get(f"/tasks/{made.id}?wait=20", headers)).json
    assert (task["kind"], task["status"]) == ("bulk", "completed"), task
    return task["result"]


async def count(site: Site, action: str, chosen: Any, headers: dict[str, str] | None = None) -> int:
    answer = await site.post("/bulk", {"action": action, "filter": chosen, "dry_run": True}, headers)
    assert answer.status == 200, answer.body
    assert list(answer.json) == ["matching"]
    found: int = answer.json["matching"]
    return found


async def statuses(site: Site, query: str = "") -> dict[str, str]:
    tasks = (await site.get(f"/tasks?limit=200{query}")).json["tasks"]
    return {task["task_id"]: task["status"] for task in tasks if task["kind"] != "bulk"}


async def test_a_cancel_ends_what_waits_and_what_runs_and_nothing_else(site: Site) -> None:
    done = (await site.run("echo"))["task_id"]
    waiting = [await site.make("echo", query=f"{LATER}&tag=old") for _ in range(5)]
    running = await site.held()
    spared = await site.make("echo", query=LATER)
    assert await count(site, "cancel", {"tag": "old"}) == 5
    assert await count(site, "cancel", {"status": "pending"}) == 6
    assert await count(site, "cancel", {"status": "processing"}) == 1
    assert await count(site, "cancel", {"status": "completed"}) == 0
    assert await count(site, "cancel", {"queue": "default"}) == 7
    assert set((await statuses(site)).values()) == {"completed", "pending", "processing"}, "counting changes nothing"
    assert await act(site, "cancel", {"tag": "old"}, reason="too old") == {"matching": 5, "done": 5, "skipped": 0}
    assert await act(site, "cancel", {"kind": "hold"}) == {"matching": 1, "done": 1, "skipped": 0}
    assert (await site.ended(running))["status"] == "cancelled"
    expected = {**dict.fromkeys(waiting, "cancelled"), done: "completed", running: "cancelled", spared: "pending"}
    assert await statuses(site) == expected


async def test_a_retry_runs_failed_and_cancelled_tasks_again_with_their_steps(site: Site) -> None:
    failed = [(await site.run("steps"))["task_id"] for _ in range(3)]
    cancelled = await site.make("echo", query=LATER)
    assert (await site.post(f"/tasks/{cancelled}/cancel")).status == 200
    site.open_gate("steps")
    assert await count(site, "retry", {"queue": "default"}) == 4
    assert await count(site, "retry", {"queue": "default", "status": "cancelled"}) == 1
    assert await act(site, "retry", {"status": "failed"}) == {"matching": 3, "done": 3, "skipped": 0}
    ended = [await site.ended(task_id) for task_id in failed]
    assert sorted(task["result"][0] for task in ended) == [1, 2, 3], "the recorded steps were kept"
    assert (await site.task(cancelled))["status"] == "cancelled"
    assert await act(site, "retry", {"kind": "echo"}) == {"matching": 1, "done": 1, "skipped": 0}
    assert (await site.ended(cancelled))["status"] == "completed"


async def test_of_several_tasks_with_one_unique_key_a_retry_runs_the_oldest(site: Site) -> None:
    made = []
    for _ in range(3):
        made.append(await site.make("echo", query="?delay=10000&unique_key=k"))
        assert (await site.post(f"/tasks/{made[-1]}/cancel")).status == 200
    result = await act(site, "retry", {"status": "cancelled"})
    assert (result["matching"], result["done"], result["skipped"]) == (3, 1, 2)
    assert (await site.ended(made[0]))["status"] == "completed"
    assert [(await site.get(f"/tasks/{one}")).json["status"] for one in made[1:]] == ["cancelled"] * 2


async def test_a_delete_takes_ended_tasks_away(site: Site) -> None:
    for _ in range(3):
        await site.run("echo")
    kept = await site.make("echo", query=LATER)
    assert await act(site, "delete", {"kind": "echo"}) == {"matching": 3, "done": 3, "skipped": 0}
    assert await statuses(site) == {kept: "pending"}
    assert await act(site, "delete", {"kind": "bulk"}) == {"matching": 1, "done": 1, "skipped": 0}, "never itself"


async def test_the_times_of_the_filter_are_exclusive(site: Site) -> None:
    tasks = []
    for _ in range(3):
        tasks.append(await site.task(await site.make("echo", query=LATER)))
        await next_millisecond()
    first, middle, last = (task["created_at"] for task in tasks)
    for chosen, number in (
        ({"created_after": first}, 2),
        ({"created_before": last}, 2),
        ({"created_after": first, "created_before": last}, 1),
        ({"created_after": middle, "created_before": middle}, 0),
        ({"created_after": datetime.datetime.fromisoformat(middle).astimezone().isoformat()}, 1),
        ({"created_before": "1970-01-01T00:00:00Z"}, 0),
    ):
        assert await count(site, "cancel", chosen) == number, chosen


async def test_a_set_of_many_pieces_is_done_to_the_last(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "PIECE", 3)
    monkeypatch.setattr(service, "PAGE", 7)
    monkeypatch.setattr(service, "SPAN", 10)
    batch = [{"kind": "echo", "delay": 9999, "tags": ["a"] if number % 2 else []} for number in range(100)]
    assert (await site.post("/tasks", batch)).status == 202
    assert await count(site, "cancel", {"tag": "a"}) == 50
    assert await count(site, "cancel", {"kind": "echo"}) == 100
    made = await site.post("/bulk", {"action": "cancel", "filter": {"tag": "a"}})
    task = await site.ended(made.id)
    assert task["result"] == {"matching": 50, "done": 50, "skipped": 0}
    assert task["progress"] == {"done": 50, "total": 50, "percent": 100, "message": None}
    history = (await site.get(f"/tasks/{made.id}/history")).json
    pieces = [step["output"]["done"] for step in history["steps"] if step["name"].startswith("piece-")]
    assert sum(pieces) == 50
    assert max(pieces) == 3
    assert await act(site, "cancel", {"kind": "echo"}) == {"matching": 50, "done": 50, "skipped": 0}


async def test_a_cancelled_bulk_task_stops_and_a_retry_of_it_goes_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PIECE", 4)
    batch = [{"kind": "echo", "delay": 9999} for _ in range(1000)]
    assert (await site.post("/tasks", batch)).status == 202
    made = await site.post("/bulk", {"action": "cancel", "filter": {"kind": "echo"}})
    cancelled = "SELECT count(*) FROM tasks WHERE kind = 'echo' AND status = 'cancelled'"
    while site.sql(cancelled) == [(0,)]:  # noqa: ASYNC110 - another hand in the database rings no bell
        await asyncio.sleep(0.001)
    assert (await site.post(f"/tasks/{made.id}/cancel")).status == 202
    assert (await site.ended(made.id))["status"] == "cancelled"
    ((before,),) = site.sql(cancelled)
    assert 0 < before < 1000
    assert before % 4 == 0, "whole pieces"
    assert (await site.post("/tasks", batch[:5])).status == 202
    assert (await site.post(f"/tasks/{made.id}/retry")).status == 202
    assert (await site.ended(made.id))["result"] == {"matching": 1000, "done": 1000, "skipped": 0}
    assert site.sql(cancelled) == [(1000,)], "those that came later do not belong to it"
    assert site.sql("SELECT max(n) FROM (SELECT count(*) n FROM events WHERE cause = 'cancel' GROUP BY task)") == [(1,)]


async def test_the_set_is_fixed_when_it_is_asked_for(serve: Serve) -> None:
    # One slot, which is taken: the bulk task waits, while its tasks change.
    async with serve(concurrency=1) as site:
        failed = [(await site.run("fail"))["task_id"] for _ in range(4)]
        await site.held()
        made = await site.post("/bulk", {"action": "retry", "filter": {"kind": "fail"}})
        assert (await site.post(f"/tasks/{failed[0]}/retry")).status == 202
        assert (await site.post(f"/tasks/{failed[0]}/cancel")).status == 200
        assert (await site.delete(f"/tasks/{failed[1]}")).status == 204
        later = await site.make("fail", query=LATER)
        assert (await site.post(f"/tasks/{later}/cancel")).status == 200
        site.open_gate("hold")
        assert (await site.ended(made.id))["result"] == {"matching": 2, "done": 2, "skipped": 0}
        assert (await site.task(failed[0]))["status"] == (await site.task(later))["status"] == "cancelled"


BAD = [
    (b"{", 400, ()),
    ([], 422, ("",)),
    ({}, 422, ("/action",)),
    ({"action": "cancel"}, 422, ("/filter",)),
    ({"action": "cancel", "filter": {}}, 422, ("/filter",)),
    ({"action": "cancel", "filter": {}, "dry_run": True}, 422, ("/filter",)),
    ({"action": "cancel", "filter": None}, 422, ("/filter",)),
    ({"action": "cancel", "filter": {"kind": None}}, 422, ("/filter/kind",)),
    ({"action": "stop", "filter": {"kind": "a"}}, 422, ("/action",)),
    ({"action": "cancel", "filter": {"kind": "A"}}, 422, ("/filter/kind",)),
    ({"action": "cancel", "filter": {"kind": 1}}, 422, ("/filter/kind",)),
    ({"action": "cancel", "filter": {"status": "done"}}, 422, ("/filter/status",)),
    ({"action": "cancel", "filter": {"tag": "a\n"}}, 422, ("/filter/tag",)),
    ({"action": "cancel", "filter": {"error": "x"}}, 422, ("/filter/error",)),
    ({"action": "cancel", "filter": {"owner": "ann"}}, 422, ("/filter/owner",)),
    ({"action": "cancel", "filter": {"created_after": "2030-01-31"}}, 422, ("/filter/created_after",)),
    ({"action": "cancel", "filter": {"created_after": "2030-01-31T12:00:00"}}, 422, ("/filter/created_after",)),
    ({"action": "cancel", "filter": {"kind": "a"}, "reason": ""}, 422, ("/reason",)),
    ({"action": "cancel", "filter": {"kind": "a"}, "reason": "x" * 501}, 422, ("/reason",)),
    ({"action": "cancel", "filter": {"kind": "a"}, "dry_run": 1}, 422, ("/dry_run",)),
    ({"action": "cancel", "filter": {"kind": "a"}, "force": True}, 422, ("/force",)),
]


@pytest.mark.parametrize(("body", "status", "pointers"), BAD, ids=lambda value: str(value)[:60])
async def test_a_bad_body_is_refused_and_makes_no_task(
    site: Site, body: Any, status: int, pointers: tuple[str, ...]
) -> None:
    assert_problem(await site.post("/bulk", body), status, *pointers)
    if status == 422 and isinstance(body, dict) and "dry_run" not in body and "force" not in body:
        assert (await site.post("/tasks/bulk", body)).status == 422, "nor does the kind take it"
    assert site.sql("SELECT * FROM tasks") == []
    assert_problem(await site.post("/bulk?dry_run=true", {"action": "cancel", "filter": {"kind": "a"}}), 400)


async def test_an_idempotency_key_makes_one_bulk_task(site: Site) -> None:
    key, body = {"Idempotency-Key": "k"}, {"action": "delete", "filter": {"kind": "echo"}}
    first, again = await site.post("/bulk", body, key), await site.post("/bulk", body, key)
    assert (first.id, again.headers["Idempotency-Replayed"]) == (again.id, "true")
    assert_problem(await site.post("/bulk", {**body, "action": "retry"}, key), 422)


async def test_a_full_queue_does_not_keep_anybody_from_emptying_it(serve: Serve) -> None:
    async with serve(queue_limit=3, concurrency=1) as site:
        await site.held()
        for _ in range(3):
            await site.make("echo")
        assert (await site.post("/tasks/echo", {})).status == 503
        made = await site.post("/bulk", {"action": "cancel", "filter": {"kind": "hold"}})
        site.open_gate("hold")
        assert (await site.ended(made.id))["status"] == "completed"


async def test_owners_act_on_their_own_tasks_and_administrators_on_all(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        root = await stored(site, "root", "read", "write", "admin")
        reader = await stored(site, "reader", "read")
        mine = (await site.post(f"/tasks/echo{LATER}", {}, A)).id
        his = (await site.post(f"/tasks/echo{LATER}", {}, B)).id
        chosen = {"kind": "echo"}
        assert [await count(site, "cancel", chosen, who) for who in (A, B, root)] == [1, 1, 2]
        assert_problem(await site.post("/bulk", {"action": "cancel", "filter": chosen}, reader), 403)
        assert await act(site, "cancel", chosen, A) == {"matching": 1, "done": 1, "skipped": 0}
        assert (await site.get(f"/tasks/{mine}", A)).json["status"] == "cancelled"
        assert (await site.get(f"/tasks/{his}", B)).json["status"] == "pending"
        assert (await site.get("/audit-log?act=task.bulk", root)).json["acts"] == [], "his own tasks are his business"
        assert await act(site, "cancel", chosen, root, reason="spring") == {"matching": 1, "done": 1, "skipped": 0}
        assert (await site.get(f"/tasks/{his}", B)).json["status"] == "cancelled"
        made = await site.post("/tasks/bulk", {"action": "delete", "filter": chosen}, root)
        acts = (await site.get("/audit-log?act=task.bulk", root)).json["acts"]
        assert [(one["actor"], one["detail"]) for one in acts] == [
            ("key:root", "delete kind=echo"),
            ("key:root", "cancel kind=echo: spring"),
        ]
        assert acts[0]["target"] == made.id
        assert_problem(await site.get(f"/tasks/{made.id}", A), 404)


async def test_a_retry_starts_no_kind_that_the_key_may_not_start(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        asked = {"name": "some", "scopes": ["read", "write"], "kinds": ["echo"]}
        made = await site.request("POST", "/keys", asked, scope={"quart_app.operator": True})
        some = bearer(made.json["key"])
        echo = (await site.post(f"/tasks/echo{LATER}", {}, some)).id
        assert await act(site, "cancel", {"queue": "default"}, some) == {"matching": 1, "done": 1, "skipped": 0}
        # A task of a kind that the key could start once.
        await _own(site, "fail", "some")
        result = await act(site, "retry", {"queue": "default"}, some)
        assert result == {"matching": 2, "done": 1, "skipped": 1}
        assert (await site.get(f"/tasks/{echo}?wait=20", some)).json["status"] == "completed"


async def _own(site: Site, kind: str, owner: str) -> None:
    """A failed task of this owner, made by the app's own code, which may start any kind."""
    handle = await site.app.extensions["quart_app"].runtime.service.enqueue_kind(kind, {}, {"owner": owner})
    assert (await site.app.extensions["quart_app"].runtime.service.wait(handle.id, 20)).status == "failed"
