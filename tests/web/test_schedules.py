"""Schedules over HTTP: made, listed, changed, paused, triggered, deleted; what is refused, and why."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from quart_app.core.schedule import MAX_OWNED
from tests.web.conftest import Serve
from tests.web.site import DEADLINE, Answer, Site, assert_problem
from tests.web.test_key_limits import add

HOURLY = {"name": "hourly", "kind": "echo", "args": {"value": 7}, "cron": "0 * * * *"}
KEYS = f"ann:{'a' * 16},bob:{'b' * 16}"
A, B = {"X-API-Key": "a" * 16}, {"X-API-Key": "b" * 16}


async def patch(site: Site, name: str, body: Any, headers: dict[str, str] | None = None) -> Answer:
    return await site.request("PATCH", f"/schedules/{name}", body, headers)


async def test_a_schedule_is_made_and_read_with_its_defaults(site: Site) -> None:
    made = await site.post("/schedules", HOURLY)
    assert made.status == 201
    assert made.headers["Location"] == "/schedules/hourly"
    assert made.json == (await site.get("/schedules/hourly")).json
    shown = made.json
    assert shown["next_at"].endswith(":00:00.000Z")
    assert shown.pop("next_at") > shown.pop("created_at")
    assert shown == {
        **HOURLY,
        "every": None,
        "timezone": "UTC",
        "overlap": "skip",
        "catch_up": "one",
        "paused": False,
        "source": "api",
        "owner": None,
        "last_fire_at": None,
        "last_task_id": None,
        "last_error": None,
    }


async def test_the_built_in_schedules_are_there(site: Site) -> None:
    found = {one["name"]: one for one in (await site.get("/schedules")).json["schedules"]}
    assert {name: (one["cron"], one["source"], one["paused"]) for name, one in found.items()} == {
        "cleanup": ("0 * * * *", "code", False),
        "stats-update": ("*/5 * * * *", "code", False),
    }


async def test_a_listing_goes_page_by_page(site: Site) -> None:
    for name in ("d", "a", "c"):
        await site.post("/schedules", {**HOURLY, "name": name})
    names, path = [], "/schedules?limit=2"
    while path is not None:
        answer = await site.get(path)
        names.append([one["name"] for one in answer.json["schedules"]])
        path = answer.json["next"]
        assert ("Link" in answer.headers) == (path is not None)
    assert names == [["a", "c"], ["cleanup", "d"], ["stats-update"]]


@pytest.mark.parametrize(
    ("change", "status", "pointer"),
    [
        ({"cron": "* * * * * *"}, 400, "/cron"),
        ({"cron": "*/0 * * * *"}, 400, "/cron"),
        ({"cron": "0 0 31 2 *"}, 400, "/cron"),
        ({"cron": "0," * 5000}, 400, "/cron"),
        ({"timezone": "../../etc/passwd"}, 400, "/timezone"),
        ({"timezone": "x" * 900_000}, 400, "/timezone"),
        ({"cron": 5}, 422, "/cron"),
        ({"every": 5}, 422, ""),
        ({"cron": None}, 422, "/cron"),
        ({"kind": "gone"}, 422, "/kind"),
        ({"kind": "strict"}, 422, "/args/value"),
        ({"args": {"x": 1}}, 422, "/args/x"),
        ({"args": [1]}, 422, "/args"),
        ({"overlap": "both"}, 422, "/overlap"),
        ({"catch_up": "some"}, 422, "/catch_up"),
        ({"paused": 1}, 422, "/paused"),
        ({"next_at": "2030-01-01T00:00:00Z"}, 422, "/next_at"),
        ({"owner": "bob"}, 422, "/owner"),
        ({"source": "code"}, 422, "/source"),
        ({"args": {"value": "x" * 17_000}}, 413, None),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_is_wrong_is_said_and_makes_and_changes_nothing(
    site: Site, change: dict[str, Any], status: int, pointer: str | None
) -> None:
    pointers = () if pointer is None else (pointer,)
    assert_problem(await site.post("/schedules", {**HOURLY, **change}), status, *pointers)
    assert (await site.get("/schedules/hourly")).status == 404
    before = (await site.post("/schedules", HOURLY)).json
    if change != {"every": 5}:  # which takes the place of cron
        assert_problem(await patch(site, "hourly", change), status, *pointers)
    assert (await site.get("/schedules/hourly")).json == before


@pytest.mark.parametrize("name", ["", "A", "-a", "a b", "a/b", "x" * 65, "é", "a\n", 5, None])
async def test_a_name_is_plain(site: Site, name: Any) -> None:
    assert_problem(await site.post("/schedules", {**HOURLY, "name": name}), 422, "/name")


@pytest.mark.parametrize("every", [0, 0.999, -1, 1e9, "5", True])
async def test_a_period_is_at_least_a_second(site: Site, every: Any) -> None:
    body = {"name": "s", "kind": "echo", "every": every}
    assert_problem(await site.post("/schedules", body), 422, "/every")


async def test_a_plan_is_needed(site: Site) -> None:
    assert_problem(await site.post("/schedules", {"name": "s", "kind": "echo"}), 422, "")
    assert_problem(await site.post("/schedules"), 422, "/kind")


async def test_a_change_takes_what_is_given_and_leaves_the_rest(site: Site) -> None:
    before = (await site.post("/schedules", HOURLY)).json
    after = (await patch(site, "hourly", {"args": {"value": 8}, "overlap": "queue"})).json
    assert after == {**before, "args": {"value": 8}, "overlap": "queue"}
    after = (await patch(site, "hourly", {"every": 90.5})).json
    assert (after["cron"], after["every"]) == (None, 90.5)
    after = (await patch(site, "hourly", {"cron": "30 2 * * *", "timezone": "America/New_York"})).json
    assert (after["cron"], after["every"], after["timezone"]) == ("30 2 * * *", None, "America/New_York")
    assert (await patch(site, "hourly", {})).json == after
    assert (await patch(site, "gone", {"paused": True})).status == 404


async def test_paused_it_has_no_next_time_and_going_on_it_has(site: Site) -> None:
    await site.post("/schedules", HOURLY)
    assert (await patch(site, "hourly", {"paused": True})).json["next_at"] is None
    assert (await patch(site, "hourly", {"paused": False})).json["next_at"] is not None
    await site.post("/schedules", {**HOURLY, "name": "later", "paused": True})
    assert (await site.get("/schedules/later")).json["next_at"] is None


async def test_a_trigger_makes_a_task_and_the_plan_stays(site: Site) -> None:
    before = (await site.post("/schedules", {**HOURLY, "paused": True})).json
    answer = await site.post("/schedules/hourly/trigger")
    assert answer.headers["Location"] == f"/tasks/{answer.id}"
    task = await site.ended(answer.id)
    assert (task["kind"], task["result"], task["tags"]) == ("echo", 7, ["schedule:hourly"])
    assert (await site.get("/schedules/hourly")).json == {**before, "last_task_id": answer.id}
    assert_problem(await site.post("/schedules/gone/trigger"), 404)
    assert_problem(await site.post("/schedules/hourly/trigger", {"args": 1}), 400)


async def test_a_schedule_goes_and_its_name_is_free(site: Site) -> None:
    await site.post("/schedules", HOURLY)
    assert_problem(await site.post("/schedules", HOURLY), 409, part="hourly")
    assert (await site.delete("/schedules/hourly")).status == 204
    assert_problem(await site.delete("/schedules/hourly"), 404)
    assert (await site.post("/schedules", HOURLY)).status == 201


async def test_what_stands_in_the_code_is_paused_and_triggered_and_nothing_else(serve: Serve) -> None:
    async with serve() as site:
        assert_problem(await site.delete("/schedules/cleanup"), 409, part="pause it")
        assert_problem(await patch(site, "cleanup", {"cron": "* * * * *"}), 409, part="code")
        assert (await patch(site, "cleanup", {"paused": True})).json["paused"]
        assert (await site.ended((await site.post("/schedules/cleanup/trigger")).id))["status"] == "completed"
    async with serve() as site:
        again = (await site.get("/schedules/cleanup")).json
        assert (again["paused"], again["next_at"]) == (True, None), "over a restart too"


async def test_schedules_belong_to_the_key_that_made_them(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        assert (await site.post("/schedules", HOURLY, A)).json["owner"] == "ann"
        for answer in (
            await site.get("/schedules/hourly", B),
            await patch(site, "hourly", {"paused": True}, B),
            await site.delete("/schedules/hourly", B),
            await site.post("/schedules/hourly/trigger", headers=B),
            await site.get("/schedules/cleanup", B),
        ):
            assert_problem(answer, 404)
        assert (await site.get("/schedules", B)).json["schedules"] == []
        assert [one["name"] for one in (await site.get("/schedules", A)).json["schedules"]] == ["hourly"]
        assert_problem(await site.post("/schedules", HOURLY, A), 409)
        made = await site.post("/schedules/hourly/trigger", headers=A)
        assert (await site.get(f"/tasks/{made.id}", A)).json["owner"] == "ann"


async def test_two_owners_may_have_one_name_and_notice_nothing_of_each_other(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        admin = await add(site, name="root", scopes=["admin"])
        assert (await site.post("/schedules", HOURLY, A)).status == 201
        found = await site.post("/schedules", {"name": "hourly", "kind": "echo", "every": 60}, B)
        assert (found.status, found.json["owner"]) == (201, "bob")
        assert (await patch(site, "hourly", {"paused": True}, B)).json["paused"] is True
        assert (await site.get("/schedules/hourly", A)).json["paused"] is False
        assert_problem(await site.get("/schedules/hourly?owner=bob", A), 404)
        assert (await site.get("/schedules?owner=bob", A)).json["schedules"] == []
        assert_problem(await site.get("/schedules/hourly", admin), 409, part="owner=")
        assert (await site.get("/schedules/hourly?owner=bob", admin)).json["every"] == 60
        first = (await site.get("/schedules?limit=1&owner=ann", admin)).json
        assert [one["owner"] for one in first["schedules"]] == ["ann"]
        assert first["next"] is None
        page = (await site.get("/schedules?limit=3", admin)).json
        more = (await site.get(page["next"], admin)).json
        names = [(one.get("owner"), one["name"]) for one in page["schedules"] + more["schedules"]]
        assert names == [("ann", "hourly"), ("bob", "hourly"), (None, "cleanup"), (None, "stats-update")]
        assert (await site.delete("/schedules/hourly?owner=bob", admin)).status == 204
        assert (await site.get("/schedules/hourly", admin)).json["owner"] == "ann"


async def test_an_owner_has_a_hundred(site: Site) -> None:
    for number in range(MAX_OWNED):
        assert (await site.post("/schedules", {**HOURLY, "name": f"s{number}"})).status == 201
    assert_problem(await site.post("/schedules", HOURLY), 409, part=str(MAX_OWNED))


async def test_a_schedule_of_this_process_fires(serve: Serve) -> None:
    async with serve(schedules=1) as site:
        await site.post("/schedules", {"name": "tick", "kind": "echo", "args": {"value": 1}, "every": 1})
        path = "/tasks?tag=schedule:tick&status=completed"
        async with asyncio.timeout(DEADLINE):
            while not (found := (await site.get(path)).json["tasks"]):  # noqa: ASYNC110 - a listing rings no bell
                await asyncio.sleep(0.01)
        assert found[-1]["kind"] == "echo"
        shown = (await site.get("/schedules/tick")).json
        assert shown["last_fire_at"] is not None
        assert shown["next_at"] > shown["last_fire_at"]


async def test_two_schedules_of_one_name_end_the_start(serve: Serve, tmp_path: Any) -> None:
    (tmp_path / "twice.py").write_text(
        "from quart_app import schedule, task\n"
        "@schedule(every=60, name='cleanup')\n@task('mine')\nasync def mine() -> None: ...\n"
    )
    with pytest.raises(Exception, match="cleanup"):
        async with serve(tasks=str(tmp_path / "twice.py")):
            pass
