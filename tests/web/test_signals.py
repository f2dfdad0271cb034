"""Signals over HTTP, the list of who waits for one, and what a task shows of its family."""

from __future__ import annotations

from typing import Any

import pytest

from quart_app.core.flow import MAX_SIGNAL
from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem
from tests.web.test_keys import ANN, BOB, KEYS, bearer, stored

A, B = bearer(ANN), bearer(BOB)
UNKNOWN = "01a1fc91-bf65-7cf5-9e74-aba76276041c"


async def waits(site: Site, kind: str = "approval", args: Any = None, headers: dict[str, str] | None = None) -> str:
    """The id of a task that is suspended."""
    task_id = await site.make(kind, args, headers=headers)
    answer = await site.get(f"/tasks/{task_id}", headers)
    while answer.json["waiting_for"] is None:
        seen = {**(headers or {}), "If-None-Match": answer.headers["ETag"]}
        answer = await site.get(f"/tasks/{task_id}?wait=20", seen)
    return task_id


async def test_a_task_waits_until_its_signals_have_come(site: Site) -> None:
    task_id = await waits(site)
    assert (await site.task(task_id))["waiting_for"] == "signal:approve"
    sent = await site.post(f"/tasks/{task_id}/signals/approve", {"ok": True})
    assert (sent.status, sent.json) == (
        202,
        {"task_id": task_id, "signal": "approve", "status_url": f"/tasks/{task_id}"},
    )
    assert (await site.post(f"/tasks/{task_id}/signals/approve")).status == 202
    assert (await site.ended(task_id))["result"] == [{"ok": True}, None]
    again = await site.post(f"/tasks/{task_id}/signals/approve", 1)
    assert_problem(again, 409, part="already ended")
    history = (await site.get(f"/tasks/{task_id}/history")).json
    assert [(step["name"], step["type"]) for step in history["steps"]] == [
        ("signal:approve-1", "signal"),
        ("signal:approve-2", "signal"),
    ]


@pytest.mark.parametrize(
    ("body", "name", "status"),
    [
        (b"{", "approve", 400),
        (b'{"a":1,"a":2}', "approve", 400),
        (b"NaN", "approve", 400),
        (b'"\\u0000"', "approve", 400),
        (b"1", "Approve", 400),
        (b"1", "x" * 101, 400),
        (b'"' + b"x" * MAX_SIGNAL + b'"', "approve", 413),
    ],
)
async def test_a_bad_signal_is_refused_and_not_kept(site: Site, body: bytes, name: str, status: int) -> None:
    task_id = await waits(site)
    assert (await site.request("POST", f"/tasks/{task_id}/signals/{name}", body)).status == status
    assert site.sql("SELECT * FROM signals") == []
    assert (await site.task(task_id))["waiting_for"] == "signal:approve"


async def test_the_largest_signal_is_taken(site: Site) -> None:
    task_id = await waits(site)
    large = "x" * (MAX_SIGNAL - 2)
    assert (await site.post(f"/tasks/{task_id}/signals/approve", large)).status == 202
    assert (await site.post(f"/tasks/{task_id}/signals/approve")).status == 202
    assert (await site.ended(task_id))["result"] == [large, None]


async def test_an_idempotency_key_sends_one_signal(site: Site) -> None:
    task_id = await waits(site)
    key = {"Idempotency-Key": "k"}
    assert "Idempotency-Replayed" not in (await site.post(f"/tasks/{task_id}/signals/approve", 1, key)).headers
    again = await site.post(f"/tasks/{task_id}/signals/approve", 1, key)
    assert (again.status, again.headers["Idempotency-Replayed"]) == (202, "true")
    assert_problem(await site.post(f"/tasks/{task_id}/signals/approve", 2, key), 422, part="another signal")
    await site.post(f"/tasks/{task_id}/signals/approve", 2)
    assert (await site.ended(task_id))["result"] == [1, 2]


async def test_too_many_signals_are_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quart_app.store.flow.MAX_SIGNALS", 1)
    task_id = await site.held()
    assert (await site.post(f"/tasks/{task_id}/signals/go", 1)).status == 202
    full = await site.post(f"/tasks/{task_id}/signals/go", 1)
    assert_problem(full, 429, part="waiting to be taken")
    assert full.headers["Retry-After"] == "60"
    site.open_gate("hold")


async def test_another_owners_task_takes_no_signal_and_is_not_listed(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        task_id = await waits(site, headers=A)
        assert (await site.post(f"/tasks/{task_id}/signals/approve", 1, B)).status == 404
        assert (await site.post(f"/tasks/{UNKNOWN}/signals/approve", 1, B)).status == 404
        assert (await site.get("/waiting", B)).json == {"tasks": [], "next": None}
        assert [one["task_id"] for one in (await site.get("/waiting", A)).json["tasks"]] == [task_id]
        admin = await stored(site, "chief", "admin")
        assert [one["task_id"] for one in (await site.get("/waiting", admin)).json["tasks"]] == [task_id]
        reader = await stored(site, "reader", "read")
        assert (await site.post(f"/tasks/{task_id}/signals/approve", 1, reader)).status == 403


async def test_those_that_wait_come_oldest_first_in_pages(site: Site) -> None:
    made = [await waits(site) for _ in range(3)]
    first = await site.get("/waiting?limit=2")
    assert [one["task_id"] for one in first.json["tasks"]] == made[:2]
    one = first.json["tasks"][0]
    assert {name: one[name] for name in ("kind", "signal", "timeout_at", "links")} == {
        "kind": "approval", "signal": "approve", "timeout_at": None, "links": [],
    }  # fmt: skip
    assert first.headers["Link"] == f'<{first.json["next"]}>; rel="next"'
    rest = await site.get(first.json["next"])
    assert ([one["task_id"] for one in rest.json["tasks"]], rest.json["next"]) == (made[2:], None)
    for bad in ("limit=0", "limit=201", "cursor=x", "cursor=1", "since=1"):
        assert (await site.get(f"/waiting?{bad}")).status == 400


async def test_a_task_shows_its_family(site: Site) -> None:
    task_id = await waits(site, "family", {"values": [1, 2], "wait": True})
    parent = await site.task(task_id)
    assert (parent["waiting_for"], parent["parent_id"], parent["children"]["total"]) == ("children", None, 3)
    before = await site.get(f"/tasks/{task_id}")
    site.open_gate("child")
    ended = await site.ended(task_id)
    assert (ended["result"], ended["children"]) == ([1, 2, "child"], {"total": 3, "ended": 3, "failed": 0})
    assert (await site.get(f"/tasks/{task_id}", {"If-None-Match": before.headers["ETag"]})).status == 200
    listed = (await site.get(f"/tasks?parent={task_id}&limit=2")).json
    assert [one["parent_id"] for one in listed["tasks"]] == [task_id] * 2
    rest = (await site.get(listed["next"])).json
    assert (len(rest["tasks"]), rest["next"]) == (1, None)
    assert (await site.get(f"/tasks?parent={task_id}&kind=hold")).json["tasks"][0]["kind"] == "hold"
    assert (await site.get(f"/tasks?parent={UNKNOWN}")).json["tasks"] == []
    assert (await site.task(rest["tasks"][0]["task_id"]))["children"] is None


async def test_tasks_are_found_by_what_they_wait_for(site: Site) -> None:
    asleep = await waits(site, "nap")
    signalled = await waits(site)
    delayed = await site.make("echo", {}, "?delay=600")
    assert (await site.task(asleep))["waiting_for"] == "time"
    assert (await site.task(delayed))["waiting_for"] is None
    scraped = (await site.get("/metrics")).body.decode()
    for cause, n in (("time", 1), ("children", 0), ("signal", 1)):
        assert f'quart_app_suspended_tasks{{cause="{cause}"}} {n}.0' in scraped
    for wanted, found in (("time", [asleep]), ("signal:approve", [signalled]), ("children", []), ("kind:x", [])):
        answer = await site.get(f"/tasks?waiting_for={wanted}")
        assert [one["task_id"] for one in answer.json["tasks"]] == found
    assert (await site.get("/tasks?waiting_for=rain")).status == 400


async def test_tasks_are_found_by_the_version_of_the_code_that_ran_them(serve: Serve) -> None:
    async with serve(code_version="v1") as site:
        old = await site.make("echo")
        assert (await site.ended(old))["code_version"] == "v1"
    async with serve(code_version="v2") as site:
        new = await site.make("echo")
        await site.ended(new)
        for version, task_id in (("v1", old), ("v2", new)):
            answer = await site.get(f"/tasks?code_version={version}")
            assert [one["task_id"] for one in answer.json["tasks"]] == [task_id]
            (attempt,) = (await site.get(f"/tasks/{task_id}/history")).json["attempts"]
            assert attempt["code_version"] == version
        assert (await site.get("/tasks?code_version=a+b")).status == 400
