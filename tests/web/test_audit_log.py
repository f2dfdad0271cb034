"""Wrong keys are slowed and counted, and what administrators do is kept."""

from __future__ import annotations

from typing import Any

import pytest

from quart_app.service import audit_log
from quart_app.web.protection import wrong_keys
from tests.web.conftest import Serve
from tests.web.site import Answer, Site, assert_problem
from tests.web.test_keys import KEYS, assert_unauthorized, bearer, stored

A = bearer("ann-opens-sesame")
OPERATOR = {"quart_app.operator": True}


def peer(address: str) -> dict[str, Any]:
    return {"client": (address, 4000)}


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrong_keys, "DELAY", 0.0)
    monkeypatch.setattr(wrong_keys, "PAUSE", 3600.0)  # else a slow machine gives the guesser another try


async def guess(site: Site, address: str, number: int) -> list[int]:
    wrong = bearer("wrong-" * 4)
    return [(await site.request("GET", "/tasks", headers=wrong, scope=peer(address))).status for _ in range(number)]


async def acts(site: Site, query: str = "") -> list[Any]:
    answer = await site.request("GET", f"/audit-log{query}", scope=OPERATOR)
    assert answer.status == 200, answer.body
    found: list[Any] = answer.json["acts"]
    return found


async def test_who_guesses_is_slowed_and_nobody_else(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        assert (await site.request("GET", "/tasks", headers=A, scope=peer("192.0.2.7"))).status == 200
        assert await guess(site, "192.0.2.7", 13) == [401] * wrong_keys.BURST + [429] * 3
        slowed = await site.request("GET", "/tasks", headers=bearer("bob-opens-sesame"), scope=peer("192.0.2.7"))
        assert assert_problem(slowed, 429)["type"].endswith(":too-many-wrong-keys"), "a right guess is not looked at"
        assert int(slowed.headers["Retry-After"]) > 0
        for address, key in (("192.0.2.7", A), ("192.0.2.8", A), ("192.0.2.8", bearer("bob-opens-sesame"))):
            assert (await site.request("GET", "/tasks", headers=key, scope=peer(address))).status == 200
        nothing = await site.request("GET", "/tasks", scope=peer("192.0.2.7"))
        assert_unauthorized(nothing)


async def test_one_customer_of_ipv6_is_one_peer(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        found = [(await guess(site, f"2001:db8::{number:x}", 1))[0] for number in range(12)]
        assert found == [401] * wrong_keys.BURST + [429] * 2
        assert await guess(site, "2001:db8:0:1::1", 1) == [401]


async def test_refused_keys_are_counted_told_in_one_line_and_kept_by_minute(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(api_keys=KEYS) as site:
        runtime = site.app.extensions["quart_app"].runtime
        for number in range(40):
            await guess(site, f"192.0.2.{number}", 2)
        before = runtime._db.commits
        await runtime.audit_log.run_once(runtime.clock.now() + audit_log.MINUTE)
        assert runtime._db.commits <= before + 2
        text = (await site.request("GET", "/metrics", scope=OPERATOR)).body.decode()
        assert "quart_app_refused_keys_total 80.0" in text
        assert len([one for one in caplog.records if "refused a key" in one.getMessage()]) == 1
        kept = await acts(site, "?act=key.refused&limit=200")
        # A minute may end while this runs.
        assert len(kept) <= 2 * (audit_log.MAX_PEERS + 1)
        assert sum(one["times"] for one in kept) == 80
        assert {one["peer"] for one in kept} >= {"192.0.2.0", "others"}
        assert all(b"wrong" not in str(one).encode() for one in kept)


async def test_a_ceiling_of_refusals_pushes_out_no_act(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_log, "MAX_REFUSALS", 3)
    monkeypatch.setattr(audit_log, "MAX_ACTS", 2)
    async with serve() as site:
        for name in ("a", "b", "c"):
            await stored(site, name, "read")
        log = site.app.extensions["quart_app"].runtime.audit_log
        for number in range(10):
            log.refuse(f"192.0.2.{number}", "", "")
        await log.flush()
        log._prune_at = 0.0
        await log.run_once(log._clock.now())
        assert [one["target"] for one in await acts(site, "?act=key.add")] == ["c", "b"]
        assert [one["peer"] for one in await acts(site, "?act=key.refused")] == [f"192.0.2.{n}" for n in (9, 8, 7)]
        log._prune_at = 0.0
        await log.run_once(log._clock.now() + audit_log.KEPT + 1000)
        assert await acts(site) == []


def said(one: Any) -> tuple[str, str | None, str | None]:
    return one["act"], one["actor"], one["target"]


async def test_what_is_done_to_keys_and_to_what_belongs_to_others_is_kept(serve: Serve) -> None:
    async with serve() as site:
        chief, ann = await stored(site, "chief", "admin"), await stored(site, "ann", "read", "write")
        own = await site.make("echo", {}, "?delay=3600", chief)
        made = await site.make("echo", {}, "?delay=3600", ann)
        mine = await site.make("echo", {}, "?delay=3600", ann)
        assert (await site.post(f"/tasks/{mine}/cancel", headers=ann)).status == 200
        assert (await site.post(f"/tasks/{own}/cancel", headers=chief)).status == 200
        for what in ("cancel", "cancel", "retry"):  # the second one is refused
            await site.post(f"/tasks/{made}/{what}", headers=chief)
        assert (await site.get(f"/tasks/{made}?wait=20", chief)).json["status"] == "completed"
        assert (await site.delete(f"/tasks/{made}", chief)).status == 204
        assert (await site.post("/schedules", {"name": "s", "kind": "echo", "every": 60}, ann)).status == 201
        assert (await site.request("PATCH", "/schedules/s", {"paused": True}, chief)).status == 200
        assert (await site.delete("/schedules/s", chief)).status == 204
        assert (await site.post("/keys", {"name": "ann"}, chief)).status == 409
        assert (await site.delete("/keys/nobody", chief)).status == 404
        assert (await site.post("/keys/ann/rotate", {}, chief)).status == 200
        assert (await site.delete("/keys/ann", chief)).status == 204
        assert [said(one) for one in reversed(await acts(site))] == [
            ("key.add", "operator", "chief"),
            ("key.add", "operator", "ann"),
            ("task.cancel", "key:chief", made),
            ("task.retry", "key:chief", made),
            ("task.delete", "key:chief", made),
            ("schedule.change", "key:chief", "s"),
            ("schedule.delete", "key:chief", "s"),
            ("key.rotate", "key:chief", "ann"),
            ("key.revoke", "key:chief", "ann"),
        ]


async def test_the_log_is_for_admins_and_comes_in_pages(serve: Serve) -> None:
    async with serve() as site:
        ann = await stored(site, "ann", "read", "write")
        for number in range(4):
            await stored(site, f"key-{number}", "read")
        assert (await site.get("/audit-log", ann)).status == 403
        seen: list[str] = []
        path: str | None = "/audit-log?act=key.add&limit=2"
        while path is not None:
            page: Answer = await site.request("GET", path, scope=OPERATOR)
            seen += [one["target"] for one in page.json["acts"]]
            path = page.json["next"]
        assert seen == ["key-3", "key-2", "key-1", "key-0", "ann"]
        assert (await site.request("GET", "/audit-log?act=else", scope=OPERATOR)).status == 400


async def test_a_key_that_is_over_is_named(serve: Serve) -> None:
    async with serve() as site:
        made = await site.request("POST", "/keys", {"name": "short", "expires": 0.001}, scope=OPERATOR)
        while site.app.extensions["quart_app"].keys.of("short") is not None:
            pass
        answer = await site.get("/tasks", bearer(made.json["key"]))
        assert "short is over" in assert_problem(answer, 401)["detail"]
        log = site.app.extensions["quart_app"].runtime.audit_log
        await log.flush()
        assert (await acts(site))[0]["target"] == "short"


async def test_what_was_cancelled_with_a_key_is_kept(serve: Serve) -> None:
    async with serve() as site:
        chief, ann = await stored(site, "chief", "admin"), await stored(site, "ann", "read", "write")
        for _ in range(3):
            await site.make("echo", {}, "?delay=3600", ann)
        for _ in range(2):
            assert (await site.delete("/keys/ann?cancel=true", chief)).status == 200
        found = [(*said(one), one["detail"]) for one in reversed(await acts(site))][2:]
        revoked = ("key.revoke", "key:chief", "ann", "its tasks are cancelled, too")
        assert found == [revoked, ("task.cancel", "key:chief", None, "3 of ann, with its key"), revoked]


async def test_who_starts_what_is_for_administrators_is_kept_whatever_the_door(serve: Serve) -> None:
    async with serve() as site:
        chief = await stored(site, "chief", "admin")
        keyed = {**chief, "Idempotency-Key": "once"}
        one, again = [await site.make("cleanup", {}, "?delay=3600", keyed) for _ in range(2)]
        batch = await site.post("/tasks", [{"kind": "echo"}, {"kind": "stats-update", "args": {}}], chief)
        await site.make("echo", {}, headers=chief)
        assert (await site.post(f"/tasks/{one}/cancel", headers=chief)).status == 200
        assert (await site.post(f"/tasks/{one}/retry", headers=chief)).status == 202
        for kind in ("echo", "cleanup"):
            made = await site.post("/schedules", {"name": f"my-{kind}", "kind": kind, "every": 3600}, chief)
            assert made.status == 201, made.body
            path = f"/schedules/my-{kind}"
            assert (await site.post(f"{path}/trigger", headers=chief)).status == 202
            assert (await site.request("PATCH", path, {"paused": True}, chief)).status == 200
            assert (await site.delete(path, chief)).status == 204
        assert (await site.request("POST", "/tasks/cleanup", {}, scope=OPERATOR)).status == 202
        assert one == again
        found = [(*said(act), act["detail"]) for act in reversed(await acts(site))][1:]
        assert found[:-1] == [
            ("task.start", "key:chief", one, "cleanup"),
            ("task.start", "key:chief", batch.json["tasks"][1]["task_id"], "stats-update"),
            ("task.retry", "key:chief", one, "of chief; cleanup"),
            ("schedule.add", "key:chief", "my-cleanup", "of chief; cleanup"),
            ("schedule.trigger", "key:chief", "my-cleanup", "of chief; cleanup"),
            ("schedule.change", "key:chief", "my-cleanup", "of chief; cleanup"),
            ("schedule.delete", "key:chief", "my-cleanup", "of chief; cleanup"),
        ]
        assert found[-1][:2] == ("task.start", "operator")
