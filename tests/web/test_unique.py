"""Unique tasks over HTTP: the four policies, keys made from args, batches, retries, schedules, filters."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from quart_app.core.fingerprint import fingerprint
from quart_app.core.task_request import EnqueueOptions
from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem, next_millisecond

KEY = {"Idempotency-Key": "order-17"}


async def test_while_one_has_not_ended_it_is_the_answer(site: Site) -> None:
    first = await site.post("/tasks/hold?unique_key=k", {"name": "a"})
    assert "duplicate" not in first.json
    again = await site.post("/tasks/hold?unique_key=k", {"name": "b"})
    assert (again.status, again.id, again.json["duplicate"]) == (202, first.id, True)
    assert (first.json["message"], again.json["message"]) == (
        "Task created",
        "A task with this unique key is there already",
    )
    assert again.json["status"] in ("pending", "processing")
    assert again.headers["Location"] == f"/tasks/{first.id}"
    task = (await site.get(f"/tasks/{first.id}")).json
    assert (task["unique_key"], task["args"]) == ("k", {"name": "a"})
    assert (await site.post("/tasks/echo?unique_key=k", {})).id != first.id, "the key is that of a kind"
    site.open_gate("a")
    await site.ended(first.id)
    after = await site.post("/tasks/hold?unique_key=k", {"name": "a"})
    assert "duplicate" not in after.json
    listed = (await site.get("/tasks?unique_key=k&kind=hold")).json["tasks"]
    assert [one["task_id"] for one in listed] == [after.id, first.id]


async def test_reject_is_409_with_the_task(site: Site) -> None:
    first = await site.post("/tasks/hold?unique_key=k&on_duplicate=reject", {})
    refused = await site.post("/tasks/hold?unique_key=k&on_duplicate=reject", {}, KEY)
    assert_problem(refused, 409)
    assert (refused.json["task_id"], refused.json["type"]) == (first.id, "urn:quart-app:problem:duplicate-task")
    assert await site.total() == 1
    await site.post(f"/tasks/{first.id}/cancel")
    await site.ended(first.id)
    assert (await site.post("/tasks/hold?unique_key=k&on_duplicate=reject", {}, KEY)).id != first.id


async def test_replace_gives_one_that_never_ran_new_args_options_and_time(site: Site) -> None:
    first = await site.post("/tasks/echo?unique_key=k&delay=900&tag=a&tag=b&priority=3", {"value": 1})
    etag = (await site.get(f"/tasks/{first.id}")).headers["ETag"]
    again = await site.post("/tasks/echo?unique_key=k&delay=500&tag=c&on_duplicate=replace", {"value": 2})
    assert (again.id, again.json["duplicate"]) == (first.id, True)
    shown = await site.get(f"/tasks/{first.id}")
    assert (shown.json["args"], shown.json["tags"], shown.json["priority"]) == ({"value": 2}, ["c"], 0)
    assert shown.headers["ETag"] != etag
    assert (await site.get("/tasks?tag=a")).json["tasks"] == []
    await site.post("/tasks/echo?unique_key=k&on_duplicate=replace", {"value": 3})
    assert (await site.ended(first.id))["result"] == 3


async def test_replace_leaves_a_running_one_and_a_second_waits_behind_it(site: Site) -> None:
    first = (await site.post("/tasks/hold?unique_key=k", {"name": "a"})).id
    await site.until(first, "processing")
    second = await site.post("/tasks/hold?unique_key=k&on_duplicate=replace", {"name": "b"})
    assert "duplicate" not in second.json
    third = await site.post("/tasks/hold?unique_key=k&on_duplicate=replace", {"name": "c"})
    assert (third.id, third.json["duplicate"]) == (second.id, True)
    site.open_gate("c")
    waiting = (await site.get("/tasks?waiting_for=unique_key")).json["tasks"]
    assert [(one["task_id"], one["status"]) for one in waiting] == [(second.id, "pending")]
    site.open_gate("a")
    assert (await site.ended(second.id))["result"] == "c"
    done = {one["task_id"]: one for one in (await site.get("/tasks?unique_key=k")).json["tasks"]}
    assert done[second.id]["started_at"] >= done[first]["completed_at"]


async def test_debounce_waits_and_each_duplicate_moves_the_start(site: Site) -> None:
    path = "/tasks/echo?unique_key=k&on_duplicate=debounce&debounce=500"
    first = await site.post(path, {"value": 1})
    before = (await site.get(f"/tasks/{first.id}")).json
    assert before["status"] == "pending"
    assert before["run_at"] > before["created_at"]
    await next_millisecond()
    assert (await site.post(path, {"value": 2})).id == first.id
    after = (await site.get(f"/tasks/{first.id}")).json
    assert after["run_at"] > before["run_at"]
    await site.post("/tasks/echo?unique_key=k&on_duplicate=debounce&debounce=0.05", {"value": 3})
    assert (await site.ended(first.id))["result"] == 3


async def test_a_time_of_the_request_takes_the_place_of_the_debounce_of_the_kind(site: Site) -> None:
    first = await site.post("/tasks/search", {"words": ["a"]})
    assert (await site.post("/tasks/search?run_at=2031-01-01T00:00:00Z", {"words": ["a"]})).id == first.id
    assert (await site.get(f"/tasks/{first.id}")).json["run_at"] == "2031-01-01T00:00:00.000Z"
    assert_problem(await site.post("/tasks/search?delay=5&debounce=5", {"words": ["a"]}), 400)


async def test_the_kind_makes_the_key_of_its_args(site: Site) -> None:
    first = await site.post("/tasks/account", {"account": 7, "note": "a"})
    assert (await site.post("/tasks/account", {"account": 7, "note": "b"})).id == first.id
    assert (await site.post("/tasks/account", {"account": 8})).id != first.id
    assert (await site.post("/tasks/account?unique_key=mine", {"account": 7})).id != first.id
    assert (await site.get(f"/tasks/{first.id}")).json["unique_key"] == '{"account":7}'
    assert [one["task_id"] for one in (await site.get("/tasks?unique_key=%7B%22account%22:7%7D")).json["tasks"]] == [
        first.id
    ]


async def test_equal_args_make_one_key_however_they_are_written(site: Site) -> None:
    first = await site.post("/tasks/search", {"words": ["b", "a"]})
    for args in ({"words": ["a", "b"], "most": 10}, {"most": 10.0, "words": ["b", "a", "a"]}):
        assert (await site.post("/tasks/search", args)).id == first.id
    assert (await site.post("/tasks/search", {"words": ["a"]})).id != first.id
    long = await site.post("/tasks/search", {"words": ["x" * 300]})
    assert (await site.get(f"/tasks/{long.id}")).json["unique_key"].startswith("sha256:")
    assert (await site.get("/kinds/search")).json["options"]["unique"] is True
    assert (await site.get("/kinds/account")).json["options"]["unique"] == ["account"]


@pytest.mark.parametrize(
    "query",
    [
        "unique_key=",
        f"unique_key={'x' * 201}",
        "unique_key=a%0Ab",
        "on_duplicate=replace",
        "debounce=5",
        "unique_key=k&on_duplicate=maybe",
        "unique_key=k&debounce=5",
        "unique_key=k&on_duplicate=debounce",
        "unique_key=k&on_duplicate=debounce&debounce=0",
        "unique_key=k&on_duplicate=debounce&debounce=5&delay=1",
        "unique_key=k&on_duplicate=debounce&debounce=5&run_at=2030-01-01T00:00:00Z",
        "unique_key=k&on_duplicate=reject&debounce=5",
    ],
)
async def test_what_makes_no_sense_is_400(site: Site, query: str) -> None:
    assert_problem(await site.post(f"/tasks/echo?{query}", {}), 400)
    assert await site.total() == 0


async def test_in_a_batch_the_same_rules_hold_in_order(site: Site) -> None:
    entry: dict[str, Any] = {"kind": "hold", "unique_key": "k", "delay": 900}
    made = await site.post("/tasks", [{**entry, "args": {"name": "a"}}, entry, {**entry, "on_duplicate": "replace"}])
    assert [one.get("duplicate") for one in made.json["tasks"]] == [None, True, True]
    (task_id,) = {one["task_id"] for one in made.json["tasks"]}
    assert (await site.get(f"/tasks/{task_id}")).json["args"] == {}
    refused = await site.post("/tasks", [{"kind": "echo"}, {**entry, "on_duplicate": "reject"}])
    assert_problem(refused, 409)
    assert refused.json["task_id"] == task_id
    refused = await site.post(
        "/tasks", [{**entry, "unique_key": "l"}, {**entry, "unique_key": "l", "on_duplicate": "reject"}]
    )
    assert (refused.status, refused.json["task_id"]) == (409, None)
    wrong = await site.post("/tasks", [{"kind": "echo"}, {**entry, "on_duplicate": "no"}])
    assert_problem(wrong, 422)
    assert wrong.json["errors"][0]["pointer"] == "/1/on_duplicate"
    assert await site.total() == 1


@pytest.mark.parametrize("policy", ["return", "reject", "replace", "debounce&debounce=900"])
async def test_of_a_hundred_requests_at_once_one_makes_a_task(site: Site, policy: str) -> None:
    path = f"/tasks/hold?unique_key=k&on_duplicate={policy}" + ("" if "debounce" in policy else "&delay=900")
    answers = await asyncio.gather(*(site.post(path, {"name": str(n)}) for n in range(100)))
    assert len({one.json["task_id"] for one in answers}) == 1
    fresh = [one for one in answers if one.status == 202 and "duplicate" not in one.json]
    assert len(fresh) == 1
    assert {one.status for one in answers} == ({202, 409} if policy == "reject" else {202})
    assert await site.total() == 1


async def test_an_idempotency_key_is_decided_first(site: Site) -> None:
    path = "/tasks/hold?unique_key=k&on_duplicate=reject"
    first = await site.post(path, {}, KEY)
    again = await site.post(path, {}, KEY)
    assert (again.id, again.headers["Idempotency-Replayed"]) == (first.id, "true")
    assert "duplicate" not in again.json
    assert_problem(await site.post("/tasks/hold?unique_key=l", {}, KEY), 422)


def test_a_key_that_was_used_before_there_were_unique_ones_stays_good() -> None:
    before = "008c35d99321f3486b2548c7669ecf07"  # what it was before there were unique keys
    assert fingerprint("echo", {"b": 1, "a": [2]}, EnqueueOptions(priority=1, tags=("x",)))[:32] == before


async def test_a_retry_whose_key_another_holds_is_409(site: Site) -> None:
    first = (await site.post("/tasks/hold?unique_key=k&delay=900", {})).id
    await site.post(f"/tasks/{first}/cancel")
    second = (await site.post("/tasks/hold?unique_key=k&delay=900", {})).id
    for query in ("", "?restart=true"):
        refused = await site.post(f"/tasks/{first}/retry{query}")
        assert_problem(refused, 409)
        assert refused.json["task_id"] == second
    await site.post(f"/tasks/{second}/cancel")
    assert (await site.post(f"/tasks/{first}/retry")).status == 202
    assert (await site.post("/tasks/hold?unique_key=k", {})).id == first


async def test_a_fork_has_no_key(site: Site) -> None:
    first = (await site.post("/tasks/hold?unique_key=k", {})).id
    fork = (await site.post(f"/tasks/{first}/fork", {})).id
    assert (await site.get(f"/tasks/{fork}")).json["unique_key"] is None


async def test_a_full_queue_is_no_reason_to_refuse_a_duplicate(serve: Serve) -> None:
    async with serve(queue_limit=1, concurrency=1) as site:
        running = (await site.post("/tasks/hold", {"name": "first"})).id
        await site.until(running, "processing")
        waiting = (await site.post("/tasks/hold?unique_key=k", {})).id
        assert (await site.post("/tasks/hold?unique_key=k", {})).id == waiting
        assert_problem(await site.post("/tasks/hold?unique_key=other", {}), 503)


async def test_a_trigger_of_a_schedule_follows_the_kind(site: Site) -> None:
    body = {"name": "seven", "kind": "account", "args": {"account": 7}, "every": 3600}
    assert (await site.post("/schedules", body)).status == 201
    first = await site.post("/tasks/account", {"account": 7})
    fired = await site.post("/schedules/seven/trigger")
    assert (fired.id, fired.json["duplicate"]) == (first.id, True)
