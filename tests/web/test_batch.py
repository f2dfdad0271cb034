"""`POST /tasks`: one object or an array of up to 1000, all or nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem


async def test_one_object_makes_one_task(site: Site) -> None:
    answer = await site.post("/tasks", {"kind": "echo", "args": {"value": 4}})
    assert answer.status == 202
    (made,) = answer.json["tasks"]
    assert made == {"task_id": made["task_id"], "status": "pending", "status_url": f"/tasks/{made['task_id']}"}
    assert (await site.ended(made["task_id"]))["result"] == 4


async def test_an_array_is_answered_in_its_order(site: Site) -> None:
    answer = await site.post("/tasks", [{"kind": "echo", "args": {"value": n}} for n in range(20)])
    ids = [made["task_id"] for made in answer.json["tasks"]]
    assert [(await site.ended(task_id))["result"] for task_id in ids] == list(range(20))


async def test_every_option_works_for_an_entry(site: Site) -> None:
    entry = {
        "kind": "echo",
        "args": {"value": 1},
        "delay": 90.5,
        "priority": -7,
        "queue": "slow",
        "max_attempts": 4,
        "timeout": 1.5,
        "expires": 1000,
        "tags": ["b", "a"],
        "idempotency_key": "k",
    }
    (made,) = (await site.post("/tasks", [entry])).json["tasks"]
    task = await site.task(made["task_id"])
    assert (task["queue"], task["priority"], task["max_attempts"], task["tags"]) == ("slow", -7, 4, ["b", "a"])
    (times,) = site.sql("SELECT run_at - created_at, timeout_ms, expires_at - created_at FROM tasks")
    assert times == (90_500, 1500, 1_000_000)
    assert site.sql("SELECT key FROM idempotency_keys") == [("k",)]


async def test_an_entry_may_name_its_moment(site: Site) -> None:
    entry = {"kind": "echo", "run_at": "2001-01-01T00:00:00Z"}
    (made,) = (await site.post("/tasks", [entry])).json["tasks"]
    assert (await site.ended(made["task_id"]))["status"] == "completed"


async def test_a_thousand_tasks_are_taken_at_once(site: Site) -> None:
    answer = await site.post("/tasks", [{"kind": "echo", "args": {"value": n}, "delay": 3600} for n in range(1000)])
    assert len({made["task_id"] for made in answer.json["tasks"]}) == 1000
    assert await site.total() == 1000


@pytest.mark.parametrize("count", [0, 1001])
async def test_an_array_of_another_size_is_422(site: Site, count: int) -> None:
    assert_problem(await site.post("/tasks", [{"kind": "echo"}] * count), 422, "", part="1000")
    assert await site.total() == 0


@pytest.mark.parametrize("body", [b"", b"null", b'"echo"', b"5", b"true"])
async def test_anything_but_an_object_or_an_array_is_refused(site: Site, body: bytes) -> None:
    assert_problem(await site.post("/tasks", body), 422, "")
    assert await site.total() == 0


@pytest.mark.parametrize(
    ("bad", "pointer"),
    [
        ({"kind": "strict", "args": {"x": "one"}}, "/2/args/x"),
        ({"kind": "strict", "args": {}}, "/2/args/x"),
        ({"kind": "strict", "args": {"x": 1, "b": 1}}, "/2/args/b"),
        ({"kind": "nested", "args": {"items": [{"a": None}]}}, "/2/args/items/0"),
        ({"kind": "strict", "args": []}, "/2/args"),
        ({"kind": "strict", "args": None}, "/2/args"),
        ({"kind": "unknown"}, "/2/kind"),
        ({"kind": "__class__"}, "/2/kind"),
        ({"kind": 5}, "/2/kind"),
        ({"args": {}}, "/2/kind"),
        ({"kind": "echo", "priority": 101}, "/2/priority"),
        ({"kind": "echo", "priority": "1"}, "/2/priority"),
        ({"kind": "echo", "priority": 10**30}, "/2/priority"),
        ({"kind": "echo", "delay": -1}, "/2/delay"),
        ({"kind": "echo", "delay": 1e300}, "/2/delay"),
        ({"kind": "echo", "delay": True}, "/2/delay"),
        ({"kind": "echo", "run_at": "tomorrow"}, "/2/run_at"),
        ({"kind": "echo", "queue": "UPPER"}, "/2/queue"),
        ({"kind": "echo", "max_attempts": 0}, "/2/max_attempts"),
        ({"kind": "echo", "timeout": 0}, "/2/timeout"),
        ({"kind": "echo", "expires": 0}, "/2/expires"),
        ({"kind": "echo", "tags": "text"}, "/2/tags"),
        ({"kind": "echo", "tags": ["a", ""]}, "/2/tags/1"),
        ({"kind": "echo", "idempotency_key": "a b"}, "/2/idempotency_key"),
        ({"kind": "echo", "status": "completed"}, "/2/status"),
        ({"kind": "echo", "fence": 1}, "/2/fence"),
        (None, "/2"),
        ([], "/2"),
        ("echo", "/2"),
    ],
)
async def test_a_bad_entry_is_named_by_its_place_and_nothing_is_made(site: Site, bad: Any, pointer: str) -> None:
    good = {"kind": "strict", "args": {"x": 1}}
    assert_problem(await site.post("/tasks", [good, good, bad, good]), 422, pointer)
    assert await site.total() == 0


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"kind": "strict", "args": {"x": None}}, "/args/x"),
        ({"kind": "unknown"}, "/kind"),
        ({"kind": "echo", "priority": 101}, "/priority"),
        ({}, "/kind"),
    ],
)
async def test_the_places_of_a_single_object_begin_at_itself(site: Site, body: Any, pointer: str) -> None:
    assert_problem(await site.post("/tasks", body), 422, pointer)


async def test_each_entry_has_its_own_key(site: Site) -> None:
    entries = [{"kind": "echo", "args": {"value": n}, "idempotency_key": f"key-{n}"} for n in range(3)]
    first = [made["task_id"] for made in (await site.post("/tasks", entries)).json["tasks"]]
    new = {"kind": "echo", "args": {"value": 3}, "idempotency_key": "key-3"}
    again = (await site.post("/tasks", [*reversed(entries), new])).json["tasks"]
    assert [made["task_id"] for made in again[:3]] == first[::-1]
    assert [made.get("replayed", False) for made in again] == [True, True, True, False]
    assert await site.total() == 4


async def test_the_same_entry_twice_in_one_array_makes_one_task(site: Site) -> None:
    entry = {"kind": "echo", "idempotency_key": "same"}
    made = (await site.post("/tasks", [entry, entry])).json["tasks"]
    assert made[0]["task_id"] == made[1]["task_id"]
    assert await site.total() == 1


async def test_a_key_with_two_meanings_in_one_array_is_422_and_makes_nothing(site: Site) -> None:
    entries = [{"kind": "echo", "args": {"value": n}, "idempotency_key": "same"} for n in range(2)]
    assert_problem(await site.post("/tasks", entries), 422)
    assert await site.total() == 0


async def test_a_key_used_before_for_something_else_stops_the_whole_array(site: Site) -> None:
    await site.post("/tasks/echo", {"value": 1}, {"Idempotency-Key": "used"})
    entries = [{"kind": "echo"}, {"kind": "echo", "args": {"value": 2}, "idempotency_key": "used"}]
    assert_problem(await site.post("/tasks", entries), 422)
    assert await site.total() == 1


async def test_a_key_works_the_same_alone_and_in_an_array(site: Site) -> None:
    task_id = (await site.post("/tasks/echo", {"value": 1}, {"Idempotency-Key": "either"})).id
    entry = {"kind": "echo", "args": {"value": 1}, "idempotency_key": "either"}
    (made,) = (await site.post("/tasks", [entry])).json["tasks"]
    assert (made["task_id"], made["replayed"]) == (task_id, True)


async def test_the_header_is_not_for_arrays(site: Site) -> None:
    answer = await site.post("/tasks", [{"kind": "echo"}], {"Idempotency-Key": "k"})
    assert_problem(answer, 400, part="idempotency_key")
    assert await site.total() == 0


async def test_options_of_an_array_stand_in_its_entries(site: Site) -> None:
    assert_problem(await site.post("/tasks?delay=5", [{"kind": "echo"}]), 400)
    assert await site.total() == 0


async def test_args_over_their_limit_name_the_entry(serve: Serve) -> None:
    async with serve(max_args=1000) as site:
        large = {"kind": "echo", "args": {"value": "v" * 1000}}
        assert_problem(await site.post("/tasks", [{"kind": "echo"}, large]), 413, "/1/args")
        assert await site.total() == 0
