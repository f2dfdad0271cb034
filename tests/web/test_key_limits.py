"""What a key may, for how long, and what ends with it: kinds, expiry, rotation, revocation."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.web.conftest import Serve
from tests.web.site import DEADLINE, Site, assert_problem
from tests.web.test_keys import assert_unauthorized, bearer, stored

OPERATOR = {"quart_app.operator": True}


async def add(site: Site, **body: Any) -> dict[str, str]:
    made = await site.request("POST", "/keys", body, scope=OPERATOR)
    assert made.status == 201, made.body
    return bearer(made.json["key"])


async def listed(site: Site, name: str) -> Any:
    found = (await site.request("GET", "/keys", scope=OPERATOR)).json["keys"]
    return next(one for one in found if one["name"] == name)


# --- kinds


async def test_a_key_starts_its_kinds_alone_whatever_the_door(site: Site) -> None:
    key = await add(site, name="ci", kinds=["echo", "fail"])
    assert (await listed(site, "ci"))["kinds"] == ["echo", "fail"]
    assert (await site.post("/tasks/echo", {}, key)).status == 202
    batch = [{"kind": "echo"}, {"kind": "hold"}]
    for asked, body in (
        ("POST /tasks/hold", {}),
        ("POST /tasks", batch),
        ("POST /tasks", batch[1]),
        ("GET /start/1/2", None),
        ("GET /cat/1", None),
        ("POST /tasks/send-email", {"to": "a@example.com", "subject": "s", "body": "b"}),
        ("POST /schedules", {"name": "s", "kind": "hold", "every": 60}),
    ):
        method, path = asked.split()
        answer = await (site.get(path, key) if body is None else site.request(method, path, body, key))
        assert assert_problem(answer, 403, part="may not start")["type"].endswith(":kind-refused"), asked
    assert site.sql("SELECT kind FROM tasks") == [("echo",)]
    assert site.sql("SELECT count(*) FROM schedules WHERE source = 'api'") == [(0,)]
    assert (await site.get("/hello", key)).json["request_uuid"] is None


async def test_a_schedule_is_held_to_the_kinds_of_its_owner_and_so_is_a_retry(site: Site) -> None:
    key = await stored(site, "ci", "read", "write")
    failed = await site.make("fail", {}, headers=key)
    await ended(site, failed, key)
    for name in ("a", "b"):
        assert (await site.post("/schedules", {"name": name, "kind": "echo", "every": 60}, key)).status == 201
    assert (await site.request("DELETE", "/keys/ci", scope=OPERATOR)).status == 204
    key = await add(site, name="ci", kinds=["hold"])
    assert_problem(await site.post(f"/tasks/{failed}/retry", headers=key), 403, part="may not start")
    assert_problem(await site.post(f"/tasks/{failed}/retry?restart=true", headers=key), 403, part="may not start")
    assert_problem(await site.post(f"/tasks/{failed}/fork", headers=key), 403, part="may not start")
    assert_problem(await site.request("PATCH", f"/tasks/{failed}", {"priority": 1}, key), 403, part="may not start")
    assert_problem(await site.post("/schedules/a/trigger", headers=key), 403, part="may not start")
    assert_problem(await site.request("PATCH", "/schedules/a", {"kind": "fail"}, key), 403, part="may not start")
    await fire(site)
    assert "may not start" in (await site.get("/schedules/b", key)).json["last_error"]
    assert site.sql("SELECT count(*) FROM fires WHERE schedule IN ('ci/a', 'ci/b')") == [(0,)]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"kinds": []}, "/kinds"),
        ({"kinds": ["Bad Kind"]}, "/kinds/0"),
        ({"kinds": ["echo"], "scopes": ["admin"]}, "/kinds"),
        ({"expires": 0}, "/expires"),
        ({"expires": 1e12}, "/expires"),
        ({"expires": "soon"}, "/expires"),
    ],
)
async def test_limits_that_cannot_be_are_refused(site: Site, body: Any, pointer: str) -> None:
    assert_problem(await site.post("/keys", {"name": "x", **body}), 422, pointer)


# --- rotation


async def test_after_a_rotation_both_secrets_open_until_the_old_one_ends(serve: Serve) -> None:
    async with serve() as site:
        old = await add(site, name="ci", kinds=["echo"])
        made = await site.request("POST", "/keys/ci/rotate", {"grace": 3600}, scope=OPERATOR)
        assert (made.status, made.json["kinds"]) == (200, ["echo"])
        new = bearer(made.json["key"])
        assert made.json["old_until"] is not None
        assert (await site.get("/tasks", old)).status == (await site.get("/tasks", new)).status == 200
    async with serve() as site:
        task_id = await site.make("echo", headers=old)
        assert (await site.get(f"/tasks/{task_id}", new)).status == 200, "one owner"
        newest = bearer((await site.request("POST", "/keys/ci/rotate", {"grace": 0}, scope=OPERATOR)).json["key"])
        for gone in (old, new):
            assert_unauthorized(await site.get("/tasks", gone))
        assert (await site.get("/tasks", newest)).status == 200
        assert (await listed(site, "ci"))["old_until"] is None
    async with serve() as site:
        assert_unauthorized(await site.get("/tasks", new))
        assert (await site.get("/tasks", newest)).status == 200


async def test_only_a_stored_key_that_opens_something_is_rotated(serve: Serve) -> None:
    async with serve(api_keys=f"shop:{'s' * 20}") as site:
        assert_problem(await site.request("POST", "/keys/shop/rotate", {}, scope=OPERATOR), 409)
        assert (await site.request("POST", "/keys/nobody/rotate", {}, scope=OPERATOR)).status == 404
        await add(site, name="ci")
        await site.request("DELETE", "/keys/ci", scope=OPERATOR)
        assert (await site.request("POST", "/keys/ci/rotate", {}, scope=OPERATOR)).status == 404


# --- what ends with a key


async def ended(site: Site, task_id: str, key: dict[str, str]) -> None:
    assert (await site.get(f"/tasks/{task_id}?wait={DEADLINE:g}", key)).json["status"] != "pending"


async def fire(site: Site, minutes: int = 2) -> None:
    """Whatever is due within the next minutes."""
    runtime = site.app.extensions["quart_app"].runtime
    await runtime._scheduler.run_once(runtime.clock.now() + minutes * 60_000)


@pytest.mark.parametrize("end", ["revoked", "expired"])
async def test_the_schedules_of_a_key_that_ended_fire_no_more(site: Site, end: str) -> None:
    key = await add(site, name="ann", expires=3600)
    await add(site, name="bob")
    assert (await site.post("/schedules", {"name": "s", "kind": "echo", "every": 60}, key)).status == 201
    keys = site.app.extensions["quart_app"].keys
    if end == "revoked":
        assert (await site.request("DELETE", "/keys/ann", scope=OPERATOR)).status == 204
    else:
        after = keys._clock.now() + 3_600_000
        keys._clock = type("Later", (), {"now": lambda self: after})()
    await fire(site)
    assert site.sql("SELECT count(*) FROM tasks WHERE kind = 'echo'") == [(0,)]
    assert site.sql("SELECT count(*) FROM fires WHERE schedule = 'ann/s'") == [(0,)]
    shown = (await site.request("GET", "/schedules/s", scope=OPERATOR)).json
    assert "the key ann" in shown["last_error"]
    assert_problem(await site.request("POST", "/schedules/s/trigger", scope=OPERATOR), 409, part="the key ann")
    assert site.sql("SELECT count(*) FROM tasks WHERE kind = 'echo'") == [(0,)]


async def test_a_new_key_of_the_name_takes_its_schedules_up_again(site: Site) -> None:
    key = await add(site, name="ann")
    assert (await site.post("/schedules", {"name": "s", "kind": "echo", "every": 1}, key)).status == 201
    assert (await site.request("DELETE", "/keys/ann", scope=OPERATOR)).status == 204
    await fire(site)
    await add(site, name="ann")
    await fire(site, 4)
    assert site.sql("SELECT count(*) > 0 FROM fires WHERE schedule = 'ann/s'") == [(1,)]


@pytest.mark.parametrize("how", ["wait", "prefer"])
@pytest.mark.parametrize("end", ["revoke", "rotate"])
async def test_who_waits_with_a_key_that_ends_is_told_at_once(site: Site, how: str, end: str) -> None:
    key = await add(site, name="ann")
    task_id = await site.make("hold", headers=key)
    asking = asyncio.create_task(
        site.get(f"/tasks/{task_id}?wait=60", key)
        if how == "wait"
        else site.post("/tasks/hold", {"name": "other"}, {**key, "Prefer": "wait=60"})
    )
    keys = site.app.extensions["quart_app"].keys
    async with asyncio.timeout(DEADLINE):
        while "ann" not in keys._waiting:
            await keys.list()
        if end == "revoke":
            assert (await site.request("DELETE", "/keys/ann", scope=OPERATOR)).status == 204
        else:
            await site.request("POST", "/keys/ann/rotate", {"grace": 0}, scope=OPERATOR)
        assert_unauthorized(await asking)
    assert keys._waiting == {}


async def test_a_revoked_key_leaves_its_tasks_or_takes_them_along(site: Site) -> None:
    ann, bob = await add(site, name="ann"), await add(site, name="bob")
    running = await site.make("hold", headers=ann)
    waiting = [await site.make("hold", {"name": "x"}, "?delay=3600", ann) for _ in range(3)]
    others = await site.make("hold", {"name": "x"}, "?delay=3600", bob)
    assert (await site.get(f"/tasks/{running}?wait=20", {**ann, "If-None-Match": '"1"'})).json["status"] == "processing"
    assert (await site.request("DELETE", "/keys/ann", scope=OPERATOR)).status == 204
    assert site.sql("SELECT count(*) FROM tasks WHERE status = 'cancelled'") == [(0,)]
    answer = await site.request("DELETE", "/keys/ann?cancel=true", scope=OPERATOR)
    assert answer.json == {"name": "ann", "cancelled": 4}
    async with asyncio.timeout(DEADLINE):
        while site.sql("SELECT count(*) FROM tasks WHERE status = 'cancelled'") != [(4,)]:
            await listed(site, "ann")
    assert (await site.get(f"/tasks/{others}", bob)).json["status"] == "pending"
    assert len(waiting) == 3
    assert (await site.request("DELETE", "/keys/ann?cancel=true", scope=OPERATOR)).json["cancelled"] == 0


async def test_a_key_that_is_revoked_while_the_body_arrives_starts_nothing(site: Site) -> None:
    key = await add(site, name="ann")
    keys = site.app.extensions["quart_app"].keys
    headers = {**key, "Content-Type": "application/json", "Content-Length": "2"}
    client = site.app.test_client()
    async with asyncio.timeout(DEADLINE), client.request("/tasks/echo", method="POST", headers=headers) as connection:
        await connection.send(b"{")
        while "ann" not in keys._uses:  # it has been let in
            await keys.list()
        assert (await site.request("DELETE", "/keys/ann", scope=OPERATOR)).status == 204
        await connection.send(b"}")
        await connection.send_complete()
    response = await connection.as_response()
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert site.sql("SELECT count(*) FROM tasks WHERE kind = 'echo'") == [(0,)]


# --- last use


async def test_the_last_use_is_shown_at_once_and_written_rarely(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve() as site:
        key = await add(site, name="ann")
        assert (await listed(site, "ann"))["last_used_at"] is None
        runtime = site.app.extensions["quart_app"].runtime
        writes, write = [], runtime.keys._store.use_keys

        async def counted(used: Any) -> None:
            writes.append(used)
            await write(used)

        monkeypatch.setattr(runtime.keys._store, "use_keys", counted)
        for _ in range(20):
            assert (await site.get("/tasks", key)).status == 200
        shown = (await listed(site, "ann"))["last_used_at"]
        assert shown is not None
        for _ in range(3):
            await runtime.keys.run_once(runtime.clock.now())
        assert len(writes) == 1, "whoever asked for it"
        monkeypatch.undo()
    async with serve() as site:
        assert (await listed(site, "ann"))["last_used_at"] == shown, "the last one is written at the stop"
