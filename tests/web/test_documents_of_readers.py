"""Where there are keys, `/openapi.json` and `/kinds` show each reader what he may use, and a stranger nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from quart_app.web.protection.auth import OPEN
from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem
from tests.web.test_key_limits import add

ADMINS = {"/keys", "/keys/{name}", "/keys/{name}/rotate", "/audit-log", "/tasks/cleanup"}
ADMINS |= {
    "/limits",
    "/limits/{limit}",
    "/queues",
    "/queues/{queue}",
    "/queues/{queue}/pause",
    "/queues/{queue}/resume",
}
ADMINS |= {"/kinds/{kind}/pause", "/kinds/{kind}/resume"}


@pytest.fixture
async def site(serve: Serve) -> AsyncIterator[Site]:
    async with serve() as served:
        yield served


async def paths(site: Site, headers: dict[str, str] | None = None) -> dict[str, set[str]]:
    answer = await site.get("/openapi.json", headers)
    assert answer.status == 200
    assert answer.headers["Vary"] == "Authorization, X-API-Key"
    return {path: set(methods) for path, methods in answer.json["paths"].items()}


async def kinds(site: Site, headers: dict[str, str]) -> set[str]:
    return {one["kind"] for one in (await site.get("/kinds", headers)).json["kinds"]}


async def test_a_stranger_sees_what_is_open(site: Site) -> None:
    whole = await paths(site)
    assert whole.keys() >= ADMINS | {"/tasks/echo"}
    await add(site, name="ann")
    assert await paths(site) == {path: {"get"} for path in (*OPEN, "/docs/{file}")}
    assert await paths(site, {"Authorization": "Bearer wrong-wrong-wrong-wrong"}) == await paths(site)


async def test_a_key_sees_what_it_may_use(site: Site) -> None:
    whole = await paths(site)
    admin = await add(site, name="root", scopes=["admin"])
    writer = await add(site, name="ann")
    reader = await add(site, name="eye", scopes=["read"])
    few = await add(site, name="ci", kinds=["echo", "cleanup"])
    assert await paths(site, admin) == whole
    found = await paths(site, writer)
    assert whole.keys() - found.keys() == ADMINS | {"/tasks/stats-update"}
    found = await paths(site, reader)
    assert {method for methods in found.values() for method in methods} == {"get"}
    assert "/start/{x}/{y}" not in found
    found = await paths(site, few)
    assert {"/tasks/echo", "/tasks/{task_id}"} <= found.keys()
    assert not {"/tasks/cleanup", "/tasks/add"} & found.keys()


async def test_each_reader_has_an_etag_of_his_own(site: Site) -> None:
    ann, ben = await add(site, name="ann"), await add(site, name="ben", kinds=["echo"])
    versions = [(await site.get("/openapi.json", key)).headers["ETag"] for key in (ann, ben)]
    assert versions[0] != versions[1]
    assert (await site.get("/openapi.json", {**ann, "If-None-Match": versions[0]})).status == 304
    assert (await site.get("/openapi.json", {**ben, "If-None-Match": versions[0]})).status == 200


async def test_kinds_are_those_that_the_key_may_start(site: Site) -> None:
    everything = await kinds(site, await add(site, name="root", scopes=["admin"]))
    few = await add(site, name="ci", kinds=["echo"])
    assert await kinds(site, few) == {"echo"}
    assert everything - await kinds(site, await add(site, name="ann")) == {"cleanup", "stats-update"}
    assert_problem(await site.get("/kinds/hold", few), 404)
    assert (await site.get("/kinds/echo", few)).status == 200
