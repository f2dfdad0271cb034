"""Idempotency-Key: one key makes one task, whatever the network does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem

KEY = {"Idempotency-Key": "order-17"}


async def test_the_same_request_again_gets_the_same_task(site: Site) -> None:
    first = await site.post("/tasks/echo?tag=a", {"value": {"b": 1, "a": 2}}, KEY)
    assert "Idempotency-Replayed" not in first.headers
    again = await site.post("/tasks/echo?tag=a", {"value": {"a": 2, "b": 1}}, KEY)
    assert (again.status, again.id) == (202, first.id)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"] == f"/tasks/{first.id}"
    assert await site.total() == 1


async def test_a_replay_says_the_status_of_now(site: Site) -> None:
    task_id = (await site.post("/tasks/echo", {}, KEY)).id
    await site.ended(task_id)
    again = await site.post("/tasks/echo", {}, KEY)
    assert (again.json["status"], again.headers["Idempotency-Replayed"]) == ("completed", "true")


async def test_a_replay_may_wait_for_the_end(site: Site) -> None:
    task_id = (await site.post("/tasks/echo", {"value": 5}, KEY)).id
    again = await site.post("/tasks/echo", {"value": 5}, [*KEY.items(), ("Prefer", "wait=20")])
    assert again.status == 200
    assert (again.json["task_id"], again.json["result"]) == (task_id, 5)
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(
    ("path", "args"),
    [
        ("/tasks/echo", {"value": 2}),
        ("/tasks/echo", {}),
        ("/tasks/hold", {"value": 1}),
        ("/tasks/echo?priority=1", {"value": 1}),
        ("/tasks/echo?tag=a", {"value": 1}),
        ("/tasks/echo?delay=5", {"value": 1}),
    ],
)
async def test_the_key_with_another_kind_args_or_options_is_422(site: Site, path: str, args: Any) -> None:
    task_id = (await site.post("/tasks/echo", {"value": 1}, KEY)).id
    assert_problem(await site.post(path, args, KEY), 422)
    assert [row[0] for row in site.sql("SELECT id FROM tasks")] == [task_id]


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), (1, "1"), (0, False), (0, -0.0), (None, False)])
async def test_values_that_python_takes_for_equal_are_other_args(site: Site, one: Any, other: Any) -> None:
    await site.post("/tasks/echo", {"value": one}, KEY)
    assert_problem(await site.post("/tasks/echo", {"value": other}, KEY), 422)


async def test_twenty_at_once_make_one_task(site: Site) -> None:
    answers = await asyncio.gather(*(site.post("/tasks/echo", {"value": 1}, KEY) for _ in range(20)))
    assert {answer.status for answer in answers} == {202}
    assert len({answer.id for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    assert await site.total() == 1


async def test_of_two_different_requests_at_once_one_wins(site: Site) -> None:
    answers = await asyncio.gather(*(site.post("/tasks/echo", {"value": n % 2}, KEY) for n in range(10)))
    assert sorted(answer.status for answer in answers) == [202] * 5 + [422] * 5
    assert await site.total() == 1


async def test_a_key_survives_a_restart(serve: Serve) -> None:
    async with serve() as site:
        task_id = (await site.post("/tasks/echo", {}, KEY)).id
    async with serve() as site:
        again = await site.post("/tasks/echo", {}, KEY)
        assert (again.id, again.headers["Idempotency-Replayed"]) == (task_id, "true")


async def test_a_key_holds_when_its_task_was_deleted(site: Site) -> None:
    task_id = (await site.post("/tasks/echo", {}, KEY)).id
    await site.ended(task_id)
    assert (await site.delete(f"/tasks/{task_id}")).status == 204
    assert_problem(await site.post("/tasks/echo", {}, KEY), 410)
    assert await site.total() == 0


async def test_a_refused_request_does_not_use_up_its_key(site: Site) -> None:
    assert_problem(await site.post("/tasks/strict", {"x": "no"}, KEY), 422)
    assert (await site.post("/tasks/strict", {"x": 1}, KEY)).status == 202


async def test_other_keys_make_other_tasks(site: Site) -> None:
    ids = {(await site.post("/tasks/echo", {}, {"Idempotency-Key": f"key-{n}"})).id for n in range(3)}
    assert len(ids) == 3


@pytest.mark.parametrize("key", ["", " ", "a b", "k" * 256, "caf\u00e9", "tab\there"])
async def test_a_key_that_is_no_key_is_400(site: Site, key: str) -> None:
    assert_problem(await site.post("/tasks/echo", {}, {"Idempotency-Key": key}), 400)
    assert await site.total() == 0


async def test_two_keys_on_one_request_are_400(site: Site) -> None:
    twice = [("Idempotency-Key", "one"), ("Idempotency-Key", "two")]
    assert_problem(await site.post("/tasks/echo", {}, twice), 400)
    assert await site.total() == 0
