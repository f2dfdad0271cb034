"""Another owner's task is the same 404 as one that does not exist, on every route."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from quart.testing.connections import WebsocketResponseError

from tests.web.conftest import Serve
from tests.web.site import Answer, Site, assert_problem
from tests.web.test_keys import ANN, BOB, KEYS, bearer, stored

UNKNOWN = "01a1fc91-bf65-7cf5-9e74-aba76276041c"
A, B = bearer(ANN), bearer(BOB)
ROUTES = (
    "GET /tasks/{}", "HEAD /tasks/{}", "GET /tasks/{}?wait=0.1", "DELETE /tasks/{}", "POST /tasks/{}/cancel",
    "POST /tasks/{}/retry", "POST /tasks/{}/retry?restart=true", "POST /tasks/{}/fork", "GET /status/{}",
    "GET /tasks/{}/history", "POST /tasks/{}/signals/go",
    "GET /tasks/{}/events", "GET /tasks/{}/events?after=1", "HEAD /tasks/{}/events",
)  # fmt: skip


def seen(answer: Answer, task_id: str) -> tuple[Any, ...]:
    """All of an answer that a client could tell tasks apart by."""
    return answer.status, sorted(answer.headers.items()), answer.body.replace(task_id.encode(), b"ID")


async def ended(site: Site, kind: str, key: dict[str, str]) -> str:
    task_id = await site.make(kind, {}, headers=key)
    await site.get(f"/tasks/{task_id}?wait=20", key)
    return task_id


@pytest.mark.parametrize("route", ROUTES)
async def test_another_owners_task_is_the_same_404_as_an_unknown_one(serve: Serve, route: str) -> None:
    method, path = route.split()
    async with serve(api_keys=KEYS) as site:
        done = await ended(site, "echo", A)
        later = await site.make("echo", {}, "?delay=3600", A)
        before = [(await site.get(f"/tasks/{one}", A)).body for one in (done, later)]
        unknown = seen(await site.request(method, path.format(UNKNOWN), headers=B), UNKNOWN)
        assert unknown[0] == 404
        for task_id in (done, later):
            for headers in ({}, {"If-None-Match": "*"}, {"If-None-Match": '"1"'}):
                assert seen(await site.request(method, path.format(task_id), headers=B | headers), task_id) == unknown
        assert [(await site.get(f"/tasks/{one}", A)).body for one in (done, later)] == before


@pytest.mark.parametrize("route", ROUTES)
async def test_its_owner_and_an_admin_find_it(serve: Serve, route: str) -> None:
    method, path = route.split()
    async with serve(api_keys=KEYS) as site:
        admin = await stored(site, "chief", "admin")
        for key in (A, admin):
            task_id = await ended(site, "echo", A)
            assert (await site.request(method, path.format(task_id), headers=key)).status in (200, 202, 204, 409)


async def test_a_task_belongs_to_the_key_that_made_it(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        made = [await site.make("echo", headers=A)]
        batch = await site.post("/tasks", [{"kind": "echo"}, {"kind": "echo", "tags": ["x"]}], A)
        made += [one["task_id"] for one in batch.json["tasks"]]
        made.append(await site.make("echo", {}, "?tag=x", A))
        made.append((await site.get("/start/1/2", A)).json["task_id"])
        made += [(await site.get(path, A)).json["request_uuid"] for path in ("/", "/hello")]
        waited = await site.post("/tasks/echo", {}, A | {"Prefer": "wait=20"})
        made.append(waited.json["task_id"])
        owners = {(await site.get(f"/tasks/{one}", A)).json["owner"] for one in made}
        assert owners == {"ann"}
        assert site.sql("SELECT DISTINCT owner FROM tasks") == [("ann",)]


async def test_a_list_shows_ones_own_and_to_an_admin_everything(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        admin = await stored(site, "chief", "admin")

        async def ids(key: dict[str, str], query: str = "") -> set[str]:
            return {one["task_id"] for one in (await site.get(f"/tasks{query}", key)).json["tasks"]}

        anns = {await site.make("echo", {}, "?tag=x&queue=q", A) for _ in range(3)}
        bobs = {await site.make("echo", {}, "?tag=x&queue=q", B) for _ in range(2)}
        chiefs = {await site.make("echo", headers=admin)}
        assert await ids(A) == anns
        assert await ids(B) == bobs
        assert await ids(admin) == anns | bobs | chiefs
        for query in (
            "?tag=x",
            "?queue=q",
            "?kind=echo",
            "?created_after=2020-01-01T00:00:00Z",
            "?fields=args",
            "?limit=2",
        ):
            assert await ids(B, query) == bobs
        page = await site.get("/tasks?limit=2", A)
        rest = await site.get(page.json["next"], A)
        assert {one["task_id"] for one in page.json["tasks"] + rest.json["tasks"]} == anns
        assert (await site.get(page.json["next"], B)).json["tasks"] == [] or await ids(B) == bobs


async def test_no_filter_asks_for_another_owner(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        assert_problem(await site.get("/tasks?owner=ann", B), 400)
        assert_problem(await site.post("/tasks/echo?owner=ann", {}, B), 400)
        assert_problem(await site.post("/tasks", {"kind": "echo", "owner": "ann"}, B), 422)


async def test_two_owners_may_use_one_idempotency_key(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        key = {"Idempotency-Key": "order-17"}
        anns = await site.post("/tasks/echo", {"value": 1}, A | key)
        bobs = await site.post("/tasks/echo", {"value": 2}, B | key)  # other args: a conflict for ann alone
        assert (anns.status, bobs.status) == (202, 202)
        assert anns.id != bobs.id
        assert "Idempotency-Replayed" not in bobs.headers
        assert (await site.post("/tasks/echo", {"value": 1}, A | key)).id == anns.id
        assert_problem(await site.post("/tasks/echo", {"value": 2}, A | key), 422)
        batch = await site.post("/tasks", {"kind": "echo", "args": {"value": 2}, "idempotency_key": "order-17"}, B)
        assert batch.json["tasks"][0]["task_id"] == bobs.id


async def test_a_waiting_owner_is_woken_and_another_is_answered_at_once(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        task_id = await site.make("hold", {"name": "x"}, headers=A)
        waiting = asyncio.create_task(site.get(f"/tasks/{task_id}?wait=20", A))
        assert (await site.get(f"/tasks/{task_id}?wait=20", B)).status == 404
        assert not waiting.done()
        site.open_gate("x")
        assert (await waiting).json["status"] == "completed"


async def test_the_status_counts_everybodys_tasks_for_those_who_see_them(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        admin = await stored(site, "chief", "admin")
        await ended(site, "echo", A)
        everything, own = (await site.get("/status", admin)).json, (await site.get("/status", B)).json
        assert everything["tasks"]["completed"] == 1
        assert everything.keys() - own.keys() == {
            "tasks", "queues", "waiting", "slots", "disk", "abandoned_handlers", "refused_writes", "statistics"
        }  # fmt: skip
        assert own["status"] == "running"


async def test_the_metrics_tell_of_everybodys_tasks_those_who_see_them(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        admin = await stored(site, "chief", "admin")
        await ended(site, "echo", A)
        await site.make("echo", {}, "?delay=3600&queue=anns-secret", A)
        everything, own = (
            {line.partition(" ")[0].partition("{")[0] for line in text.splitlines() if not line.startswith("#")}
            for text in [(await site.get("/metrics", key)).body.decode() for key in (admin, B)]
        )
        assert own < everything
        assert everything - own == {
            "quart_app_tasks_total", "quart_app_run_seconds_bucket", "quart_app_run_seconds_count",
            "quart_app_run_seconds_sum", "quart_app_queue_tasks", "quart_app_slots", "quart_app_slots_used",
            "quart_app_disk_free_bytes", "quart_app_abandoned_handlers", "quart_app_refused_writes_total",
            "quart_app_refused_keys_total", "quart_app_suspended_tasks", "quart_app_held_tasks",
            "quart_app_paused_queues", "quart_app_paused_kinds",
        }  # fmt: skip
        assert {"quart_app_store_up", "quart_app_http_request_seconds_count", "process_open_fds"} < own
        assert b"anns-secret" not in (await site.get("/metrics", B)).body


async def test_what_was_made_without_keys_is_seen_by_admins_alone(serve: Serve) -> None:
    async with serve() as site:
        made = await site.make("echo")
        assert (await site.task(made))["owner"] is None
        admin, ann = await stored(site, "chief", "admin"), await stored(site, "ann", "read")
        assert (await site.get(f"/tasks/{made}", admin)).status == 200
        assert (await site.get(f"/tasks/{made}", ann)).status == 404
        assert (await site.get("/tasks", ann)).json["tasks"] == []


async def test_an_owner_follows_own_tasks_only(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quart_app.web.routes.events.MAX_LIFE", 0.2)
    monkeypatch.setattr("quart_app.web.routes.events.JITTER", 0)
    async with serve(api_keys=KEYS) as site:
        made = {"A": await ended(site, "echo", A), "B": await ended(site, "echo", B)}
        admin = await stored(site, "chief", "admin")
        for key, owners in ((A, {"A"}), (B, {"B"}), (admin, {"A", "B"})):
            body = (await site.get("/events?after=0", key)).body.decode()
            assert {owner for owner, task_id in made.items() if task_id in body} == owners
        with pytest.raises(WebsocketResponseError) as refused:
            async with site.app.test_client().websocket(f"/ws/tasks/{made['A']}", headers=B) as websocket:
                await websocket.receive()
        assert refused.value.response.status_code == 404
