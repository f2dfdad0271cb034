"""`/keys`: list, add, revoke; and that a key itself is nowhere afterwards."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import Any

import pytest
from quart.testing.app import LifespanError

from quart_app.core.audit_acts import Actor
from quart_app.service.keys import new_text
from tests.web.conftest import Serve
from tests.web.site import DEADLINE, Site, assert_problem
from tests.web.test_keys import ANN, KEYS, assert_unauthorized, bearer, stored

OPERATOR = {"quart_app.operator": True}


async def names(site: Site, headers: dict[str, str]) -> dict[str, Any]:
    return {key["name"]: key for key in (await site.get("/keys", headers)).json["keys"]}


async def test_a_key_is_shown_once_and_works_at_once(site: Site) -> None:
    made = await site.post("/keys", {"name": "ann"})
    assert made.status == 201
    assert made.headers["Cache-Control"] == "no-store"
    assert made.json.keys() == {"name", "scopes", "key", "kinds", "expires_at", "old_until"}
    assert (made.json["name"], made.json["scopes"]) == ("ann", ["read", "write"])
    assert len(made.json["key"]) >= 43  # 256 bits
    assert (await site.get("/tasks", bearer(made.json["key"]))).status == 200
    assert_unauthorized(await site.get("/tasks"))


async def test_two_keys_are_never_the_same(site: Site) -> None:
    admin = await stored(site, "admin", "admin")
    made = [await site.post("/keys", {"name": f"key-{number}"}, admin) for number in range(5)]
    assert len({one.json["key"] for one in made}) == 5


async def test_the_list_has_both_sources_and_no_key(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        admin = await stored(site, "chief", "admin", "admin")
        answer = await site.get("/keys", admin)
        found = {key["name"]: key for key in answer.json["keys"]}
        assert {name: key["source"] for name, key in found.items()} == {
            "ann": "settings",
            "bob": "settings",
            "chief": "store",
        }
        assert found["ann"] == {
            "name": "ann", "scopes": ["read", "write"], "created_at": None, "revoked_at": None, "source": "settings",
            "last_used_at": None, "kinds": None, "expires_at": None, "old_until": None,
        }  # fmt: skip
        assert found["chief"]["created_at"].endswith("Z")
        assert (found["chief"]["scopes"], found["chief"]["revoked_at"]) == (["admin"], None)
        for secret in (ANN, admin["Authorization"].split()[1]):
            assert secret.encode() not in answer.body
            assert hashlib.sha256(secret.encode()).hexdigest().encode() not in answer.body


async def test_a_revoked_key_opens_nothing_at_once_and_after_a_restart(serve: Serve) -> None:
    async with serve() as site:
        admin = await stored(site, "chief", "admin")
        ann = await stored(site, "ann", "read")
        assert (await site.get("/tasks", ann)).status == 200
        assert (await site.delete("/keys/ann", admin)).status == 204
        assert_unauthorized(await site.get("/tasks", ann))
        at = (await names(site, admin))["ann"]["revoked_at"]
        assert at is not None
        assert (await site.delete("/keys/ann", admin)).status == 204
        assert (await names(site, admin))["ann"]["revoked_at"] == at
    async with serve() as site:
        assert_unauthorized(await site.get("/tasks", ann))
        assert (await site.get("/keys", admin)).status == 200


async def test_the_name_of_a_revoked_key_may_be_used_again_and_sees_the_same_tasks(serve: Serve) -> None:
    async with serve() as site:
        admin, old = await stored(site, "chief", "admin"), await stored(site, "ann", "read", "write")
        made = await site.make("echo", {"value": 1}, headers=old)
        await site.delete("/keys/ann", admin)
        new = await stored(site, "ann", "read")
        assert (await site.get(f"/tasks/{made}", new)).status == 200
        assert_unauthorized(await site.get(f"/tasks/{made}", old))
        assert (await names(site, admin))["ann"]["revoked_at"] is None


async def test_a_name_is_used_once_over_both_sources(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        admin = await stored(site, "chief", "admin")
        for name in ("ann", "chief"):
            assert_problem(await site.post("/keys", {"name": name}, admin), 409, part=name)


async def test_of_many_who_add_one_name_at_once_one_gets_a_key_that_works(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        admin = await stored(site, "chief", "admin")
        answers = await asyncio.gather(*(site.post("/keys", {"name": "x"}, admin) for _ in range(20)))
        (made,) = [one for one in answers if one.status == 201]
        assert {one.status for one in answers} == {201, 409}
        assert (await site.get("/tasks", bearer(made.json["key"]))).status == 200


async def test_adding_and_revoking_at_once_leave_store_and_server_of_one_mind(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        admin = await stored(site, "chief", "admin")
        for _ in range(10):
            answers = await asyncio.gather(
                *(site.post("/keys", {"name": "x"}, admin), site.delete("/keys/x", admin)),
                *(site.post("/keys", {"name": "x"}, admin), site.delete("/keys/x", admin)),
            )
            keys = [bearer(one.json["key"]) for one in answers if one.status == 201]
            open_ones = [key for key in keys if (await site.get("/tasks", key)).status == 200]
            ((revoked_at,),) = site.sql("SELECT revoked_at FROM api_keys WHERE name = 'x'")
            assert len(open_ones) == (revoked_at is None)


async def test_a_key_of_the_settings_cannot_be_revoked_here(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        answer = await site.request("DELETE", "/keys/ann", scope=OPERATOR)
        assert_problem(answer, 409, part="QUART_APP_API_KEYS")


@pytest.mark.parametrize(
    "name", ["nobody", "%00", "..", "%2e%2e%2f", "x" * 5000, "%F0%9F%92%A9", "ann%0d%0aX:1", "' OR 1=1"]
)
async def test_an_unknown_key_is_not_found(site: Site, name: str) -> None:
    assert (await site.delete(f"/keys/{name}")).status == 404


@pytest.mark.parametrize(
    "body",
    [
        {}, [], 1, "ann", None, {"name": ""}, {"name": "a b"}, {"name": "a/b"}, {"name": "é"}, {"name": "n" * 65},
        {"name": "a\n"}, {"name": 1}, {"name": "ann", "scopes": []}, {"name": "ann", "scopes": ["root"]},
        {"name": "ann", "scopes": "read"}, {"name": "ann", "scopes": [1]}, {"name": "ann", "scopes": ["read"] * 4},
        {"name": "ann", "key": "chosen"}, {"name": "ann", "owner": "x"},
    ],
)  # fmt: skip
async def test_what_is_no_key_to_make_is_refused(site: Site, body: Any) -> None:
    assert_problem(await site.post("/keys", body), 422)
    assert site.sql("SELECT * FROM api_keys") == []


async def test_a_name_of_the_settings_that_is_stored_too_stops_the_start(serve: Serve) -> None:
    async with serve() as site:
        await stored(site, "ann", "read")
    with pytest.raises(LifespanError, match=r"QUART_APP_API_KEYS.* ann"):
        async with serve(api_keys=KEYS):
            pass
    async with serve() as site:
        assert (await site.request("DELETE", "/keys/ann", scope=OPERATOR)).status == 204
    async with serve(api_keys=KEYS) as site:
        assert (await site.get("/tasks", bearer(ANN))).status == 200


async def test_a_key_is_nowhere_after_it_was_used(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serve(api_keys=KEYS) as site:
        admin = await stored(site, "chief", "admin")
        key = (await site.post("/keys", {"name": "zoe"}, admin)).json["key"]
        secrets = [ANN, key, admin["Authorization"].split()[1]]
        bodies = []
        for shown in (*secrets, key + "x"):
            for header in ({"X-API-Key": shown}, bearer(shown)):
                for asked in ("GET /hello", "GET /tasks", "POST /tasks/echo", "POST /keys", "GET /status", "GET /none"):
                    method, path = asked.split()
                    bodies.append((await site.request(method, path, headers=header)).body)
            bodies.append((await site.get("/tasks", {"X-API-Key": shown, **bearer(shown + "y")})).body)
        bodies.append((await site.request("GET", "/status", scope=OPERATOR)).body)
        folder = site.settings.data_path
    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    for secret in secrets:
        assert all(secret.encode() not in body for body in bodies)
        assert secret.encode() not in written
        assert secret not in caplog.text
    assert hashlib.sha256(key.encode()).hexdigest().encode() in written
    assert hashlib.sha256(ANN.encode()).hexdigest().encode() not in written
    assert "zoe" in caplog.text


async def test_a_key_that_is_revoked_by_a_client_that_hangs_up_is_revoked(site: Site) -> None:
    ann = await stored(site, "ann", "read")
    keys = site.app.extensions["quart_app"].keys
    asking = asyncio.create_task(keys.revoke("ann", Actor("operator")))
    await asyncio.sleep(0)  # it has begun
    asking.cancel()
    async with asyncio.timeout(DEADLINE):
        while "ann" in keys.ring:
            await keys.list()
    assert asking.cancelled()
    ((revoked_at,),) = site.sql("SELECT revoked_at FROM api_keys")
    assert revoked_at is not None
    for headers in (ann, {}):
        assert (await site.get("/tasks", headers)).status == 401, "the end of the last key locks, and never opens"


def test_a_new_key_can_be_an_argument_of_a_command() -> None:
    made = {new_text() for _ in range(2000)}
    assert len(made) == 2000
    assert [text for text in made if text.startswith("-") or len(text) != 43] == []
