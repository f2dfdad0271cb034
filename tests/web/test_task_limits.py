"""`GET /limits`, `PATCH /limits/<name>`: what holds tasks back is seen, and changed at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.web.conftest import Serve
from tests.web.site import KINDS, Answer, Site, assert_problem
from tests.web.test_audit_log import acts
from tests.web.test_keys import bearer

TASKS = f"{KINDS},{KINDS.with_name('limited_kinds.py')}"
KEYS = {"api_keys": "ann:ann-opens-sesame,root:root-opens-sesame"}


@pytest.fixture
async def site(serve: Serve) -> AsyncIterator[Site]:
    async with serve(tasks=TASKS) as served:
        yield served


async def limit(site: Site, name: str) -> Any:
    (found,) = (one for one in (await site.get("/limits?limit=200")).json["limits"] if one["name"] == name)
    return found


async def patch(site: Site, name: str, body: Any) -> Answer:
    return await site.request("PATCH", f"/limits/{name}", body)


async def test_a_limit_shows_how_it_is_used(site: Site) -> None:
    first = [await site.make("two-at-once") for _ in range(2)]
    for task_id in first:
        await site.until(task_id, "processing")
    third = await site.make("two-at-once")
    await site.run("echo")  # comes later, so the third was looked at
    assert await limit(site, "kind:two-at-once") == {
        "name": "kind:two-at-once",
        "rate": None,
        "concurrency": 2,
        "running": 2,
        "started_in_window": 0,
        "waiting": 1,
        "held_keys": 1,
        "declared": {"rate": None, "concurrency": 2},
        "override": {"rate": None, "concurrency": None},
    }
    assert (await site.task(third))["status"] == "pending"
    site.open_gate("two")
    assert (await site.ended(third))["status"] == "completed"


async def test_a_rate_shows_what_was_started_in_its_window(site: Site) -> None:
    for _ in range(3):
        assert (await site.run("few"))["status"] == "completed"
    await site.make("few")
    await site.run("echo")
    found = await limit(site, "kind:few")
    assert (found["rate"], found["started_in_window"], found["waiting"]) == ("3/3600", 3, 1)


async def test_a_change_holds_at_once(site: Site) -> None:
    held = [await site.make("two-at-once") for _ in range(4)]
    for task_id in held[:2]:
        await site.until(task_id, "processing")
    changed = await patch(site, "kind:two-at-once", {"concurrency": 3})
    assert (changed.status, changed.json["concurrency"]) == (200, 3)
    assert changed.json["override"] == {"rate": None, "concurrency": 3}
    await site.until(held[2], "processing")
    assert (await patch(site, "kind:two-at-once", {"concurrency": "off"})).json["concurrency"] is None
    await site.until(held[3], "processing")
    back = (await patch(site, "kind:two-at-once", {"concurrency": None})).json
    assert (back["concurrency"], back["running"]) == (2, 4)


async def test_a_member_that_is_left_out_stays_as_it_is(site: Site) -> None:
    await patch(site, "shared", {"rate": "5/1.5", "concurrency": 4})
    assert (await patch(site, "shared", {})).json["override"] == {"rate": "5/1.5", "concurrency": 4}
    assert (await patch(site, "shared", {"rate": None})).json["override"] == {"rate": None, "concurrency": 4}
    changed = (await patch(site, "shared", {"rate": "off"})).json
    assert (changed["rate"], changed["concurrency"]) == (None, 4)
    assert changed["declared"] == {"rate": "1000/60", "concurrency": 1}


async def test_keys_that_hold_tasks_back_are_counted(site: Site) -> None:
    for customer in ("a", "b", "c"):
        await site.until(await site.make("for-customer", {"customer": customer}), "processing")
    for customer in ("a", "a", "b"):
        await site.make("for-customer", {"customer": customer})
    await site.run("echo", query="?queue=customers")
    found = await limit(site, "shared")
    assert (found["running"], found["waiting"], found["held_keys"]) == (3, 3, 2)


async def test_a_change_is_kept_over_a_restart(serve: Serve) -> None:
    async with serve(tasks=TASKS) as site:
        await patch(site, "kind:few", {"rate": "9/60"})
    async with serve(tasks=TASKS) as site:
        found = await limit(site, "kind:few")
        assert (found["rate"], found["declared"]["rate"]) == ("9/60", "3/3600")


async def test_limits_come_by_name_and_page_by_page(site: Site) -> None:
    whole = [one["name"] for one in (await site.get("/limits")).json["limits"]]
    assert whole == sorted(whole)
    assert {"kind:few", "kind:two-at-once", "queue:audit", "shared"} <= set(whole)
    found, path = [], "/limits?limit=3"
    while path:
        answer = await site.get(path)
        found += [one["name"] for one in answer.json["limits"]]
        assert (answer.headers.get("Link") is None) == (answer.json["next"] is None)
        path = answer.json["next"]
    assert found == whole


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"rate": "5"}, "/rate"),
        ({"rate": "0/60"}, "/rate"),
        ({"rate": "5/0"}, "/rate"),
        ({"rate": 5}, "/rate"),
        ({"concurrency": 0}, "/concurrency"),
        ({"concurrency": "none"}, "/concurrency"),
        ({"concurrency": True}, "/concurrency"),
        ({"other": 1}, "/other"),
        ([], ""),
    ],
)
async def test_a_body_that_does_not_fit_changes_nothing(site: Site, body: Any, pointer: str) -> None:
    assert_problem(await patch(site, "shared", body), 422, pointer)
    assert (await limit(site, "shared"))["override"] == {"rate": None, "concurrency": None}


async def test_who_writes_a_rate_wrongly_is_told_how(site: Site) -> None:
    assert_problem(await patch(site, "shared", {"rate": "5 a minute"}), 422, "/rate", part="as in '100/60'")
    assert_problem(await site.request("PATCH", "/queues/mine", {"rate_limit": "5"}), 422, part="as in '100/60'")


async def test_an_unknown_limit_is_404(site: Site) -> None:
    for name in ("none", "kind:none", "queue:none", "Not a name"):
        assert_problem(await patch(site, name, {"concurrency": 1}), 404)


async def test_only_administrators_see_and_change_limits_and_each_change_is_an_act(serve: Serve) -> None:
    async with serve(tasks=TASKS, **KEYS) as site:
        ann = bearer("ann-opens-sesame")
        assert_problem(await site.get("/limits", ann), 403)
        assert_problem(await site.request("PATCH", "/limits/shared", {"concurrency": 2}, ann), 403)
        scope = {"quart_app.operator": True}
        for name, status in (("shared", 200), ("none", 404)):
            answer = await site.request("PATCH", f"/limits/{name}", {"concurrency": 2, "rate": None}, scope=scope)
            assert answer.status == status
        (act,) = await acts(site, "?act=limit.change")
        assert (act["actor"], act["target"], act["detail"]) == ("operator", "shared", "rate null; concurrency 2")


@pytest.mark.parametrize(
    ("path", "method", "body", "detail"),
    [
        ("/limits/shared", "PATCH", {"concurrency": "many"}, "Invalid enum value 'many'; one of off or any integer"),
        ("/bulk", "POST", {"action": "stop", "filter": {"kind": "echo"}}, "'stop'; one of cancel, delete, retry"),
    ],
)
async def test_a_refusal_names_what_would_fit(site: Site, path: str, method: str, body: Any, detail: str) -> None:
    assert_problem(await site.request(method, path, body), 422, part=detail)
