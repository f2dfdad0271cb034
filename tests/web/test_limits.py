"""What is bounded: the queue, and what a handler may return."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem


async def test_a_full_queue_is_503_with_the_time_to_come_again(serve: Serve) -> None:
    async with serve(concurrency=1, queue_limit=3) as site:
        await site.held()
        for _ in range(3):
            await site.make("echo")
        answer = await site.post("/tasks/echo", {})
        assert_problem(answer, 503, part="limit")
        assert int(answer.headers["Retry-After"]) >= 1
        assert await site.total() == 4


async def test_a_batch_that_does_not_fit_makes_nothing(serve: Serve) -> None:
    async with serve(concurrency=1, queue_limit=3) as site:
        await site.held()
        assert_problem(await site.post("/tasks", [{"kind": "echo"}] * 4), 503)
        assert await site.total() == 1
        assert (await site.post("/tasks", [{"kind": "echo"}] * 3)).status == 202


async def test_delayed_tasks_are_never_refused(serve: Serve) -> None:
    async with serve(concurrency=1, queue_limit=1) as site:
        await site.held()
        await site.make("echo")
        for _ in range(5):
            await site.make("echo", query="?delay=3600")
        assert_problem(await site.post("/tasks/echo", {}), 503)


async def test_a_full_queue_answers_a_known_key_with_its_task(serve: Serve) -> None:
    async with serve(concurrency=1, queue_limit=1) as site:
        await site.held()
        made = await site.post("/tasks/echo", {}, {"Idempotency-Key": "k"})
        again = await site.post("/tasks/echo", {}, {"Idempotency-Key": "k"})
        assert (again.status, again.json["task_id"]) == (202, made.id)


async def test_a_key_twice_in_a_batch_needs_the_room_of_one_task(serve: Serve) -> None:
    async with serve(concurrency=1, queue_limit=1) as site:
        await site.held()
        twice = [{"kind": "echo", "idempotency_key": "k"}] * 2
        for _ in range(2):  # new, and then a replay to a full queue
            answer = await site.post("/tasks", twice)
            assert answer.status == 202
            assert len({made["task_id"] for made in answer.json["tasks"]}) == 1
        assert_problem(await site.post("/tasks", [*twice, {"kind": "echo", "idempotency_key": "new"}]), 503)


async def test_the_queue_takes_tasks_again_when_there_is_room(serve: Serve) -> None:
    async with serve(concurrency=1, queue_limit=1) as site:
        await site.held()
        waiting = await site.make("echo")
        assert_problem(await site.post("/tasks/echo", {}), 503)
        site.open_gate("hold")
        await site.ended(waiting)
        assert (await site.post("/tasks/echo", {})).status == 202


async def test_visits_are_refused_by_a_full_queue_too(serve: Serve) -> None:
    async with serve(concurrency=1, queue_limit=1) as site:
        await site.held()
        await site.make("echo")
        for path in ("/start/1/2", "/hello"):
            answer = await site.get(path)
            assert_problem(answer, 503)
            assert "Retry-After" in answer.headers


async def test_a_result_may_be_as_large_as_the_limit(serve: Serve) -> None:
    async with serve(max_result=1000) as site:
        task = await site.run("big", {"n": 998})
        assert (task["status"], len(task["result"])) == ("completed", 998)


async def test_a_larger_result_ends_the_task_as_failed(serve: Serve) -> None:
    async with serve(max_result=1000) as site:
        task = await site.run("big", {"n": 999})
        assert (task["status"], task["result"]) == ("failed", None)
        assert (task["error"]["type"], task["error"]["retryable"]) == ("result_too_large", False)


@pytest.mark.parametrize("what", ["set", "bytes", "nan", "infinity", "object"])
async def test_a_result_that_is_not_json_ends_the_task_as_failed(site: Site, what: str) -> None:
    task = await site.run("odd", {"what": what})
    assert (task["status"], task["error"]["type"], task["result"]) == ("failed", "not_json", None)


async def test_no_character_of_a_result_is_refused(site: Site) -> None:
    task = await site.run("words")
    assert (task["status"], task["result"]) == ("completed", "a\ufffdb\ufffdc")


async def test_an_error_message_is_at_most_four_kilobytes(site: Site) -> None:
    task = await site.run("fail", {"message": "\u20ac" * 5000})
    assert 4000 < len(task["error"]["message"].encode()) <= 4096


@pytest.mark.parametrize(
    "value",
    ["\u2028", "\u202e", "\U0001f600", "<script>", "\x1b[31m", "\x7f", "\r\n", "' OR 1=1 --", "a" * 100_000, "\\u0000"],
)
async def test_text_comes_back_as_it_went_in(site: Site, value: Any) -> None:
    task = await site.run("echo", {"value": {value[:99]: value}})
    assert task["result"] == task["args"]["value"] == {value[:99]: value}


async def test_a_batch_of_too_many_values_makes_nothing(site: Site) -> None:
    """As many as another body may hold, ten times; what is refused is refused before it is made."""
    entry = {"kind": "echo", "args": {"value": [0] * 990}}
    assert (await site.post("/tasks", [entry] * 100)).status == 202
    assert_problem(await site.post("/tasks", [entry] * 101), 400, part="100000 values")
    assert await site.total() == 100
