"""`/cat/<n>`, `/cat_async/<n>`, `/cat_async_limited/<n>`."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

import pytest

from tests.engine.engine import until
from tests.upstream import (
    Behaviour,
    Upstream,
    answering,
    closed_port,
    dripping,
    endless,
    failing,
    no_http,
    resetting,
    silent,
)
from tests.web.conftest import Serve
from tests.web.site import NOT_ASKED_FOR, Site, assert_problem

ROUTES = ["/cat", "/cat_async", "/cat_async_limited"]
cat_facts: Any = importlib.import_module("quart_app.tasks.cat_facts")


def facts(*numbers: int) -> list[str]:
    return [f"Fact {number}: cats sleep." for number in numbers]


@pytest.mark.parametrize("route", ROUTES)
async def test_n_facts_are_a_bare_list(serve: Serve, route: str) -> None:
    with Upstream() as upstream:
        async with serve(cat_facts_url=upstream.url) as site:
            answer = await site.get(f"{route}/3")
            assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
            assert sorted(answer.json) == facts(1, 2, 3)
            assert (await site.get(f"{route}/0")).json == []
            assert upstream.asked == 3


async def test_one_by_one_is_in_order_and_never_two_at_once(serve: Serve) -> None:
    with Upstream() as upstream:
        upstream.delay = 0.002
        async with serve(cat_facts_url=upstream.url) as site:
            assert (await site.get("/cat/5")).json == facts(1, 2, 3, 4, 5)
            assert upstream.most_at_once == 1
            await site.get("/cat_async/100")
            assert 1 < upstream.most_at_once <= cat_facts.AT_ONCE


async def test_one_by_one_the_upstreams_limit_is_an_error(serve: Serve) -> None:
    with Upstream(max_calls=3, window=60) as upstream:
        async with serve(cat_facts_url=upstream.url) as site:
            problem = assert_problem(await site.get("/cat/5"), 502, part="429")
            assert problem["type"].endswith("upstream-error")
            assert (await site.task(problem["task_id"]))["error"]["type"] == "UpstreamLimit"
            assert len(upstream.refused) == 1


async def test_at_once_what_the_upstreams_limit_refuses_is_left_out(serve: Serve) -> None:
    with Upstream(max_calls=3, window=60) as upstream:
        async with serve(cat_facts_url=upstream.url) as site:
            answer = await site.get("/cat_async/5")
            assert answer.status == 200
            assert sorted(answer.json) == facts(1, 2, 3)
            assert len(upstream.refused) == 2


async def test_with_the_limit_all_facts_come_and_nothing_is_refused(serve: Serve) -> None:
    with Upstream(max_calls=10, window=0.2) as upstream:
        async with serve(cat_facts_url=upstream.url, cat_facts_limit=10, cat_facts_window=0.2) as site:
            answers = await asyncio.gather(*(site.get(f"/cat_async_limited/{n}") for n in (25, 7, 12)))
            assert [len(answer.json) for answer in answers] == [25, 7, 12]
            assert {fact for answer in answers for fact in answer.json} == set(facts(*range(1, 45)))
            assert upstream.refused == []


async def test_when_the_upstream_refuses_all_the_same_everybody_waits_as_it_says(serve: Serve) -> None:
    with Upstream(max_calls=5, window=1.0) as upstream:
        async with serve(cat_facts_url=upstream.url, cat_facts_limit=100, cat_facts_window=0.3) as site:
            answer = await site.get("/cat_async_limited/8")
            assert sorted(answer.json) == facts(*range(1, 9))
            # Three of the eight that asked at once; they would have asked again hundreds of times, had they not waited.
            assert 1 <= len(upstream.refused) <= 8


async def test_the_limited_one_counts_what_the_other_two_have_used_up(serve: Serve) -> None:
    with Upstream(max_calls=6, window=0.3) as upstream:
        async with serve(cat_facts_url=upstream.url, cat_facts_limit=6, cat_facts_window=0.3) as site:
            naive = await asyncio.gather(site.get("/cat/2"), site.get("/cat_async/4"))
            answer = await site.get("/cat_async_limited/9")
            assert [len(one.json) for one in (*naive, answer)] == [2, 4, 9]
            assert upstream.refused == []


async def test_a_429_that_says_when_to_one_holds_back_the_limited_one_too(serve: Serve) -> None:
    with Upstream(max_calls=3, window=0.5) as upstream:
        async with serve(cat_facts_url=upstream.url, cat_facts_limit=100, cat_facts_window=0.3) as site:
            assert len((await site.get("/cat_async/5")).json) == 3
            assert len((await site.get("/cat_async_limited/2")).json) == 2
            assert len(upstream.refused) == 2


async def test_who_waits_for_the_limit_keeps_no_slot_of_those_who_do_not(serve: Serve) -> None:
    with Upstream() as upstream:
        settings = {"cat_facts_limit": 1, "cat_facts_window": 3600.0, "concurrency": 4}
        async with serve(cat_facts_url=upstream.url, **settings) as site:
            waiting = [await site.get("/cat_async_limited/2", {"Prefer": "respond-async"}) for _ in range(4)]
            await until(lambda: upstream.asked, "the one call that is allowed")
            assert len((await site.get("/cat/2")).json) == 2
            for task in waiting:
                await site.post(f"/tasks/{task.id}/cancel")


@pytest.mark.parametrize(
    ("behave", "part"),
    [
        pytest.param(answering(500), "500", id="500"),
        pytest.param(answering(302, b"", "Location: http://127.0.0.1:9/"), "302", id="a redirect"),
        pytest.param(answering(200, b'{"fact":"' + b"x" * 10_000_000 + b'"}'), "larger", id="10 MB"),
        pytest.param(endless, "larger", id="an endless body"),
        pytest.param(answering(200, b"{}"), "no cat fact", id="no fact"),
        pytest.param(answering(200, b'{"fact":7}'), "no cat fact", id="a number"),
        pytest.param(answering(200, b"[" * 60_000), "no cat fact", id="deep nesting"),
        pytest.param(answering(200, b'{"fact":"\xff"}'), "no cat fact", id="no UTF-8"),
        pytest.param(answering(200, b"x", "Content-Encoding: gzip"), "packed", id="packed"),
        pytest.param(resetting, "cannot be reached", id="a reset"),
        pytest.param(no_http, "cannot be reached", id="no HTTP"),
    ],
)
async def test_an_upstream_that_is_out_of_order_is_a_502_that_says_how(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, behave: Behaviour, part: str
) -> None:
    monkeypatch.setattr(cat_facts, "PAUSES", (0.0, 0.0))
    with Upstream(behave=behave) as upstream:
        async with serve(cat_facts_url=upstream.url) as site:
            for route in ROUTES:
                problem = assert_problem(await site.get(f"{route}/2"), 502, part=part)
                assert problem["type"].endswith("upstream-error")


@pytest.mark.parametrize("route", ROUTES)
async def test_an_upstream_that_is_down_is_a_502(serve: Serve, monkeypatch: pytest.MonkeyPatch, route: str) -> None:
    monkeypatch.setattr(cat_facts, "PAUSES", ())
    with closed_port() as url:
        async with serve(cat_facts_url=url) as site:
            assert_problem(await site.get(f"{route}/1"), 502, part="cannot be reached")


@pytest.mark.parametrize("behave", [silent, dripping])
async def test_an_upstream_that_does_not_end_in_time_is_a_504(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, behave: Behaviour
) -> None:
    monkeypatch.setattr(cat_facts, "SECONDS", 0.1)
    monkeypatch.setattr(cat_facts, "PAUSES", ())
    with Upstream(behave=behave) as upstream:
        async with serve(cat_facts_url=upstream.url) as site:
            for route in ROUTES:
                problem = assert_problem(await site.get(f"{route}/1"), 504, part="did not answer within 0.1 s")
                assert problem["type"].endswith("upstream-timeout")


async def test_the_limited_one_asks_again_for_each_fact_before_it_gives_up(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cat_facts, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(cat_facts, "AT_ONCE", 1)
    with Upstream(behave=failing(2)) as upstream:
        async with serve(cat_facts_url=upstream.url) as site:
            assert (await site.get("/cat_async_limited/2")).json == facts(1, 2)
            upstream.asked = -1  # three in a row
            assert_problem(await site.get("/cat_async_limited/2"), 502, part="500")
            assert upstream.asked == 2


async def test_who_does_not_want_to_wait_gets_the_task(serve: Serve) -> None:
    with Upstream() as upstream:
        async with serve(cat_facts_url=upstream.url) as site:
            answer = await site.get("/cat_async_limited/2", {"Prefer": "respond-async"})
            assert answer.headers["Location"] == f"/tasks/{answer.id}"
            assert (await site.ended(answer.id))["result"] == sorted(facts(1, 2))


@pytest.mark.parametrize("prefer", ["wait=0.05", "respond-async, wait=0.05"])
async def test_when_time_is_up_the_answer_is_the_task(serve: Serve, prefer: str) -> None:
    with Upstream(behave=silent) as upstream:
        async with serve(cat_facts_url=upstream.url) as site:
            answer = await site.get("/cat_async_limited/2", {"Prefer": prefer})
            assert answer.json["status"] == "processing"
            assert (await site.post(f"/tasks/{answer.id}/cancel")).status in (200, 202)
            assert (await site.ended(answer.id))["status"] == "cancelled"


async def test_a_cancelled_collection_says_so(serve: Serve) -> None:
    with Upstream(behave=silent) as upstream:
        async with serve(cat_facts_url=upstream.url) as site:
            waiting = asyncio.create_task(site.get("/cat/1"))

            async def running() -> list[dict[str, Any]]:
                found: list[dict[str, Any]] = (await site.get("/tasks?status=processing")).json["tasks"]
                return found

            (task,) = await until(running, "the task")
            await site.post(f"/tasks/{task['task_id']}/cancel")
            assert_problem(await waiting, 409, part="cancelled")


@pytest.mark.parametrize("n", ["-1", "10001", "1e3", "x", "%D9%A3", "1.0", "99999999999"])
@pytest.mark.parametrize("route", ROUTES)
async def test_what_is_no_amount_is_refused(site: Site, route: str, n: str) -> None:
    assert_problem(await site.get(f"{route}/{n}"), 400, part="0 to 10000")
    assert await site.total() == 0


@pytest.mark.parametrize(("method", "headers"), NOT_ASKED_FOR)
async def test_what_nobody_asked_for_starts_nothing(site: Site, method: str, headers: dict[str, str]) -> None:
    assert (await site.request(method, "/cat/1", headers=headers)).status == 403
    assert await site.total() == 0


@pytest.mark.parametrize("route", ROUTES)
async def test_facts_that_no_result_can_hold_are_a_file_and_the_answer_is_the_same(serve: Serve, route: str) -> None:
    with Upstream() as upstream:
        async with serve(cat_facts_url=upstream.url, max_result=200) as site:
            answer = await site.get(f"{route}/30")
            assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
            assert sorted(answer.json) == sorted(facts(*range(1, 31)))
            assert "Content-Disposition" not in answer.headers
            (task,) = (await site.get("/tasks?fields=result")).json["tasks"]
            url = f"/reports/cats-{task['task_id']}.json"
            assert task["result"] == {"facts": 30, "file_url": url}
            assert (await site.get(url)).json == answer.json


async def test_facts_without_measure_end_the_task_early(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cat_facts, "MAX_TOGETHER", 200)
    with Upstream() as upstream:
        async with serve(cat_facts_url=upstream.url) as site:
            assert_problem(await site.get("/cat/1000"), 502, part="larger than 200 characters together")
            assert upstream.asked < 20


async def test_each_call_is_logged_with_its_status_and_time(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "quart_app.task")
    with Upstream(max_calls=1, window=60) as upstream:
        async with serve(cat_facts_url=upstream.url) as site:
            await site.get("/cat_async/2")
    lines = [record.getMessage() for record in caplog.records if "cat fact from" in record.getMessage()]
    assert sorted(line.split()[4] for line in lines) == ["200", "429"]
    assert all(line.startswith("cat fact from 127.0.0.1: ") and line.endswith(" s") for line in lines)


async def test_an_upstream_that_fails_is_one_line_in_the_log(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with Upstream(behave=answering(500)) as upstream:
        async with serve(cat_facts_url=upstream.url) as site:
            task_id = (await site.get("/cat/1")).json["task_id"]
            (line,) = [record for record in caplog.records if "failed (attempt" in record.message]
            assert "UpstreamError: the upstream answered 500" in line.message
            assert line.__dict__["trace"] is None
            history = (await site.get(f"/tasks/{task_id}/history")).json
            assert history["attempts"][0]["error"]["traceback"] is None
