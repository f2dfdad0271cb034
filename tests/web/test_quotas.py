"""Quotas of keys over HTTP: what is refused, to whom, with which fields, and how they are set and shown."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from quart_app.core.quotas import MAX_QUEUES, QuotaExceeded
from quart_app.web.protection.request_rates import RequestRates
from tests.web.conftest import Serve
from tests.web.forms import form, send, stored
from tests.web.site import DEADLINE, Site, assert_problem
from tests.web.test_key_limits import OPERATOR, add, listed

LATER = "/tasks/echo?delay=3600"


async def paused(site: Site) -> None:
    assert (await site.request("POST", "/queues/default/pause", scope=OPERATOR)).status == 200


async def used(site: Site, key: dict[str, str], quota: str) -> Any:
    return (await site.get("/status", key)).json["quotas"][quota]


def assert_quota(answer: Any, quota: str, limit: int, used: int) -> None:
    document = assert_problem(answer, 429, part="quota")
    assert document["type"] == "urn:quart-app:problem:quota"
    assert (document["quota"], document["limit"], document["used"]) == (quota, limit, used)
    window = ";w=1" if quota == "rate" else ""
    assert answer.headers["RateLimit-Policy"] == f'"{quota}";q={limit}{window}'
    assert answer.headers["RateLimit"].startswith(f'"{quota}";r={limit - used}')
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize(("quota", "query"), [("waiting", ""), ("delayed", "?delay=3600")])
async def test_a_key_has_no_more_tasks_than_its_quota(site: Site, quota: str, query: str) -> None:
    ann, bob = await add(site, name="ann", quotas={quota: 3}), await add(site, name="bob")
    await paused(site)
    first = await site.make("echo", {}, query, ann)
    for _ in range(2):
        await site.make("echo", {}, query, ann)
    assert_quota(await site.post(f"/tasks/echo{query}", {}, ann), quota, 3, 3)
    batch = [{"kind": "echo", "delay": 3600 if query else 0}]
    assert_quota(await site.post("/tasks", batch, ann), quota, 3, 3)
    assert await used(site, ann, quota) == {"used": 3, "limit": 3}
    assert (await site.post(f"/tasks/echo{query}", {}, bob)).status == 202
    assert (await site.request("POST", f"/tasks/echo{query}", {}, scope=OPERATOR)).status == 202
    assert (await site.post(f"/tasks/{first}/cancel", headers=ann)).status == 200
    until = asyncio.get_running_loop().time() + DEADLINE
    while (answer := await site.post(f"/tasks/echo{query}", {}, ann)).status == 429:  # a count may be 50 ms old
        assert asyncio.get_running_loop().time() < until
    assert answer.status == 202


async def test_many_at_once_are_no_more(site: Site) -> None:
    ann = await add(site, name="ann", quotas={"delayed": 20})
    batch = [{"kind": "echo", "delay": 3600}] * 3
    asked = [site.post("/tasks", batch, ann) for _ in range(12)]
    answers = [answer.status for answer in await asyncio.gather(*asked)]
    assert set(answers) == {202, 429}
    assert site.sql("SELECT count(*) FROM tasks WHERE owner = 'ann'") == [(18,)]


async def test_a_replay_and_a_duplicate_make_nothing_new(site: Site) -> None:
    ann = await add(site, name="ann", quotas={"delayed": 1})
    once = {**ann, "Idempotency-Key": "k"}
    made = await site.post(LATER, {}, once)
    assert made.status == 202
    assert (await site.post(LATER, {}, once)).id == made.id
    assert_quota(await site.post(LATER, {}, ann), "delayed", 1, 1)


async def test_a_fork_counts_and_a_retry_does_not(site: Site) -> None:
    ann = await add(site, name="ann", quotas={"waiting": 1})
    failed = await site.make("fail", {}, headers=ann)
    while (await site.get(f"/tasks/{failed}?wait=5", ann)).json["status"] != "failed":
        pass
    await paused(site)
    assert (await site.post(f"/tasks/{failed}/fork", {}, ann)).status in (201, 202)
    assert_quota(await site.post(f"/tasks/{failed}/fork", {}, ann), "waiting", 1, 1)
    assert (await site.post(f"/tasks/{failed}/retry", headers=ann)).status in (200, 202)
    assert (await used(site, ann, "waiting"))["used"] == 2


async def test_bytes_and_uploads_are_counted_together(site: Site) -> None:
    ann = await add(site, name="ann", quotas={"bytes": 10_000, "uploads": 3})
    assert (await site.post(LATER, {"value": "x" * 6000}, ann)).status == 202
    assert_problem(await site.post(LATER, {"value": "x" * 6000}, ann), 429, part="bytes")
    for size, status in ((3000, 201), (3000, 429), (10, 201), (10, 201)):
        answer = await send(site, form(("file", "a.bin", b"x" * size)), **ann)
        assert answer.status == status, (size, answer.body)
    assert_quota(await send(site, form(("file", "a.bin", b"")), **ann), "uploads", 3, 3)
    assert len(site.sql("SELECT file FROM uploads")) == len(stored(site)) == 3


async def test_schedules_of_a_key(site: Site) -> None:
    ann = await add(site, name="ann", quotas={"schedules": 1})
    assert (await site.post("/schedules", {"name": "a", "kind": "echo", "every": 3600}, ann)).status == 201
    refused = await site.post("/schedules", {"name": "b", "kind": "echo", "every": 3600}, ann)
    assert_quota(refused, "schedules", 1, 1)


async def test_one_key_has_tasks_in_so_many_queues(site: Site) -> None:
    ann = await add(site, name="ann")
    batch = [{"kind": "echo", "delay": 3600, "queue": f"q{number}"} for number in range(MAX_QUEUES)]
    assert (await site.post("/tasks", batch, ann)).status == 202
    refused = await site.post(f"{LATER}&queue=one-more", {}, ann)
    assert_problem(refused, 422, "/queue", part=f"{MAX_QUEUES} queues")
    assert (await site.post(f"{LATER}&queue=q7", {}, ann)).status == 202
    assert (await site.post(f"{LATER}&queue=one-more", {}, await add(site, name="bob"))).status == 202


async def test_the_default_of_waiting_tasks_leaves_room_for_a_second_key(serve: Serve) -> None:
    async with serve(queue_limit=10) as site:
        ann = await add(site, name="ann")
        await paused(site)
        assert (await used(site, ann, "waiting"))["limit"] is None
        bob = await add(site, name="bob")
        assert await used(site, ann, "waiting") == {"used": 0, "limit": 5}
        assert (await site.post("/tasks", [{"kind": "echo"}] * 5, ann)).status == 202
        assert_quota(await site.post("/tasks/echo", {}, ann), "waiting", 5, 5)
        assert (await site.post("/tasks", [{"kind": "echo"}] * 5, bob)).status == 202
        chief = await add(site, name="chief", scopes=["admin"])
        assert_problem(await site.post("/tasks/echo", {}, chief), 503, part="limit is 10")


async def test_the_settings_hold_where_the_key_says_nothing(serve: Serve) -> None:
    async with serve(quota_delayed=2, quota_rate=1000) as site:
        ann = await add(site, name="ann", quotas={"rate": 500})
        quotas = (await site.get("/status", ann)).json["quotas"]
        assert {name: one["limit"] for name, one in quotas.items()} == {
            "waiting": None,
            "delayed": 2,
            "bytes": None,
            "uploads": None,
            "schedules": 100,
            "requests": None,
            "rate": 500,
        }
        assert "quotas" not in (await site.request("GET", "/status", scope=OPERATOR)).json


async def test_quotas_are_changed_at_once_and_put_on_record(site: Site) -> None:
    ann = await add(site, name="ann", quotas={"delayed": 1, "rate": 1000})
    assert (await listed(site, "ann"))["quotas"] == {"delayed": 1, "rate": 1000}
    assert (await site.post(LATER, {}, ann)).status == 202
    assert (await site.post(LATER, {}, ann)).status == 429

    async def change(quotas: Any) -> Any:
        return await site.request("PATCH", "/keys/ann", {"quotas": quotas}, scope=OPERATOR)

    assert (await change({"delayed": 2})).json["quotas"] == {"delayed": 2}
    assert (await site.post(LATER, {}, ann)).status == 202
    assert (await change(None)).json["quotas"] is None
    assert (await site.post(LATER, {}, ann)).status == 202
    for wrong in ({"delayed": 0}, {"tasks": 1}, {"rate": 100_001}, {"bytes": "many"}, 5):
        assert_problem(await change(wrong), 422)
    assert_problem(await site.request("PATCH", "/keys/nobody", {"quotas": None}, scope=OPERATOR), 404)
    assert (await site.request("PATCH", "/keys/ann", {"quotas": None}, ann)).status == 403
    acts = (await site.request("GET", "/audit-log?act=key.change", scope=OPERATOR)).json["acts"]
    assert [one["detail"] for one in acts] == ["quotas: of the settings", "quotas: delayed=2"]


async def test_a_schedule_past_the_quota_says_so(site: Site) -> None:
    ann = await add(site, name="ann", quotas={"waiting": 1})
    await paused(site)
    assert (await site.post("/tasks/echo", {}, ann)).status == 202
    assert (await site.post("/schedules", {"name": "s", "kind": "echo", "every": 1}, ann)).status == 201
    runtime = site.app.extensions["quart_app"].runtime
    await runtime._scheduler.run_once(runtime.clock.now() + 1500)
    shown = (await site.get("/schedules/s", ann)).json
    assert "1 tasks are due and waiting, of 1" in shown["last_error"]
    assert site.sql("SELECT count(*) FROM tasks WHERE owner = 'ann'") == [(1,)]


# --- requests in any second


async def test_a_key_sends_so_many_requests_in_a_second(site: Site) -> None:
    ann = await add(site, name="ann", quotas={"rate": 5})
    answers = await asyncio.gather(*(site.get("/status", ann) for _ in range(40)))
    good = [answer for answer in answers if answer.status == 200]
    assert len(good) >= 5
    assert good[0].headers["RateLimit-Policy"] == '"rate";q=5;w=1'
    assert good[0].headers["RateLimit"] == '"rate";r=4;t=1'
    refused = [answer for answer in answers if answer.status != 200]
    assert refused
    assert_quota(refused[0], "rate", 5, 5)
    assert (await site.get("/health", ann)).status == 200
    assert "RateLimit" not in (await site.request("GET", "/status", scope=OPERATOR)).headers


def test_any_second_has_no_more_requests_than_the_quota() -> None:
    rates = RequestRates()
    taken: list[float] = []
    for step in range(2000):
        now = step * 0.0137
        try:
            left = rates.count("ann", 7, now)
        except QuotaExceeded:
            continue
        taken.append(now)
        inside = [at for at in taken if at > now - 1]
        assert left == 7 - len(inside) >= 0
    assert len(taken) >= 7 * int(2000 * 0.0137)
