"""Without keys only this machine is served, and nobody behind a proxy; the end of the last key locks."""

from __future__ import annotations

import asyncio

import pytest

from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem
from tests.web.test_keys import assert_unauthorized, bearer, stored

FORWARDED = [
    ("X-Forwarded-For", "203.0.113.9"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "tasks.example.com"),
    ("X-Forwarded", "x"),
    ("Forwarded", "for=203.0.113.9"),
    ("X-Real-IP", "203.0.113.9"),
    ("Via", "1.1 proxy"),
    ("CF-Connecting-IP", "203.0.113.9"),
    ("True-Client-IP", ""),
]
LOCAL = {"server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 4000)}
EVERY = ("POST /keys", "GET /keys", "POST /tasks/echo", "GET /hello", "GET /tasks", "DELETE /keys/x")


@pytest.mark.parametrize("field", FORWARDED, ids=lambda field: field[0])
async def test_without_keys_what_a_proxy_passes_on_is_never_the_operator(
    site: Site, field: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    for scope in (LOCAL, {"server": None, "client": None}, {**LOCAL, "quart_app.operator": True}):
        for asked in EVERY:
            method, path = asked.split()
            body = {"name": "mallory", "scopes": ["admin"]} if asked == "POST /keys" else {}
            headers = {field[0]: field[1], "Host": "127.0.0.1"}
            answer = await site.request(method, path, body, headers, scope=scope)
            document = assert_problem(answer, 403, part=field[0])
            assert document["type"].endswith(":forwarded")
            assert "keys add" in document["detail"]
    assert site.sql("SELECT count(*) FROM tasks") == site.sql("SELECT count(*) FROM api_keys") == [(0,)]
    assert (await site.request("GET", "/ready", headers={field[0]: field[1]}, scope=LOCAL)).status == 200
    said = [record for record in caplog.records if "came through a proxy" in record.getMessage()]
    assert len(said) == 1, "why it is refused stands in the log, once"


async def test_who_allows_everybody_allows_those_behind_a_proxy(serve: Serve) -> None:
    async with serve(allow_anonymous=1) as site:
        assert (await site.get("/tasks", {"X-Forwarded-For": "203.0.113.9"})).status == 200


async def test_with_keys_the_socket_of_the_operator_is_no_way_around_for_a_proxy(serve: Serve) -> None:
    async with serve(api_keys=f"ann:{'a' * 20}") as site:
        operator = {"quart_app.operator": True}
        assert (await site.request("GET", "/keys", scope=operator)).status == 200
        assert_unauthorized(await site.request("GET", "/keys", headers={"Via": "1.1 x"}, scope=operator))


async def assert_locked(site: Site, *keys: dict[str, str]) -> None:
    for headers in ({}, *keys, {"X-Forwarded-For": "127.0.0.1", "Host": "127.0.0.1"}):
        assert_unauthorized(await site.request("GET", "/tasks", headers=headers, scope=LOCAL))
        body = {"name": "mallory", "scopes": ["admin"]}
        assert_unauthorized(await site.request("POST", "/keys", body, headers, scope=LOCAL))


@pytest.mark.parametrize(
    "settings", [{}, {"allow_anonymous": 1}, {"trusted_proxies": 1, "allow_anonymous": 1}], ids=str
)
async def test_the_revocation_of_the_last_key_locks_and_never_opens(serve: Serve, settings: dict[str, object]) -> None:
    async with serve(**settings) as site:
        admin = await stored(site, "chief", "admin")
        assert (await site.delete("/keys/chief", admin)).status == 204
        await assert_locked(site, admin)
    async with serve(**settings) as site:
        await assert_locked(site, admin)
        assert (await site.get("/keys", await stored(site, "chief", "admin"))).status == 200, "the operator's way back"


async def test_behind_trusted_proxies_the_end_of_the_last_key_locks_after_a_restart_too(serve: Serve) -> None:
    async with serve() as site:
        admin = await stored(site, "chief", "admin")
    async with serve(trusted_proxies=1) as site:
        assert (await site.delete("/keys/chief", admin)).status == 204
        await assert_locked(site, admin)
    async with serve(trusted_proxies="10.0.0.0/8") as site:
        await assert_locked(site, admin)


async def test_the_expiry_of_the_last_key_locks_and_never_opens(serve: Serve) -> None:
    async with serve() as site:
        body = {"name": "short", "scopes": ["admin"], "expires": 0.001}
        made = await site.request("POST", "/keys", body, scope={"quart_app.operator": True})
        assert made.json["expires_at"] is not None
        keys = site.app.extensions["quart_app"].keys
        async with asyncio.timeout(10):
            while keys.of("short") is not None:
                await keys.list()
        await assert_locked(site, bearer(made.json["key"]))
    async with serve() as site:
        await assert_locked(site)
