"""`/users/<id>/profile`: three calls to another service, whatever that does."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from quart_app.web.examples import users
from tests.places import Places, document
from tests.upstream import Behaviour, Upstream, answering, closed_port, dripping, endless, no_http, resetting, silent
from tests.web.conftest import Serve
from tests.web.site import NOT_ASKED_FOR, Site, assert_problem

USER = {"id": 7, "name": "Zoë"}
POSTS = [{"id": 1, "title": "first"}, {"id": 2, "big": 10**30}]
COMMENTS: list[Any] = []
PATHS = ["/users/7", "/users/7/posts", "/users/7/comments"]

BAD: dict[str, tuple[Behaviour, str]] = {
    "500": (answering(500), "answered 500"),
    "429": (answering(429), "answered 429"),
    "204": (answering(204, b""), "answered 204"),
    "redirect": (answering(302, b"[]", "Location: /elsewhere"), "answered 302"),
    "too large": (answering(200, b"[" + b" " * 1_048_576 + b"]"), "more than 1048576 bytes"),
    "endless": (endless, "more than 1048576 bytes"),
    "compressed": (answering(200, gzip.compress(b"[]"), "Content-Encoding: gzip"), "Content-Encoding"),
    "no JSON": (answering(200, b"<html>"), "no JSON"),
    "nothing": (answering(200, b""), "no JSON"),
    "no UTF-8": (answering(200, b'"\xff"'), "no JSON"),
    "two keys": (answering(200, b'{"a":1,"a":2}'), "no JSON"),
    "NaN": (answering(200, b"[NaN]"), "no JSON"),
    "deep": (answering(200, b"[" * 9000 + b"]" * 9000), "no JSON"),
    "reset": (resetting, "broke off"),
    "no HTTP": (no_http, "broke off"),
}


@pytest.fixture
def upstream() -> Iterator[Places]:
    with Places(dict(zip(PATHS, map(document, (USER, POSTS, COMMENTS)), strict=True))) as started:
        yield started


@pytest.fixture
async def site(serve: Serve, upstream: Places) -> AsyncIterator[Site]:
    async with serve(profile_url=f"{upstream.base}/") as served:
        yield served


async def test_the_three_answers_become_one(site: Site, upstream: Places) -> None:
    found = await site.get("/users/7/profile")
    assert (found.status, found.json) == (200, {"user": USER, "posts": POSTS, "comments": COMMENTS})
    assert sorted(upstream.paths) == sorted(PATHS)


async def test_the_calls_are_made_at_the_same_time(site: Site, upstream: Places) -> None:
    meeting = asyncio.Barrier(3)

    async def wait_for_the_others(there: Upstream, writer: asyncio.StreamWriter) -> None:
        await meeting.wait()
        await document({})(there, writer)

    upstream.answers = dict.fromkeys(PATHS, wait_for_the_others)
    assert (await site.get("/users/7/profile")).json == {"user": {}, "posts": {}, "comments": {}}


@pytest.mark.parametrize("name", BAD)
async def test_a_part_that_cannot_be_had_is_null_and_named(site: Site, upstream: Places, name: str) -> None:
    upstream.answers["/users/7/posts"], reason = BAD[name]
    found = await site.get("/users/7/profile")
    assert found.status == 200, found.body
    assert reason in found.json["errors"].pop("posts")
    assert found.json | {"errors": {}} == {"user": USER, "posts": None, "comments": COMMENTS, "errors": {}}
    assert "/elsewhere" not in upstream.paths


async def test_a_part_that_does_not_come_in_time_is_null_and_named(
    site: Site, upstream: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "TIMEOUT", 2.0)
    upstream.answers["/users/7"] = silent
    found = await site.get("/users/7/profile")
    assert (found.status, found.json["user"], found.json["posts"]) == (200, None, POSTS)
    assert found.json["errors"] == {"user": "no answer within 2 s"}


async def test_when_all_fail_it_is_a_bad_gateway(site: Site, upstream: Places) -> None:
    upstream.answers = {PATHS[0]: resetting, PATHS[1]: answering(200, b"?"), PATHS[2]: answering(503)}
    detail = assert_problem(await site.get("/users/7/profile"), 502)["detail"]
    assert all(f"{name}: " in detail for name in ("user", "posts", "comments"))


async def test_when_all_are_late_it_is_a_gateway_timeout(
    site: Site, upstream: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "TIMEOUT", 0.05)
    upstream.answers = dict(zip(PATHS, (silent, dripping, silent), strict=True))
    assert_problem(await site.get("/users/7/profile"), 504)


async def test_when_nobody_is_there_it_is_a_bad_gateway(serve: Serve) -> None:
    with closed_port() as nobody:
        async with serve(profile_url=nobody) as site:
            assert_problem(await site.get("/users/7/profile"), 502, part="cannot be reached")


@pytest.mark.parametrize("user_id", ["0", "-7", "07", "x", "7%2F..%2F8", "..", "9" * 19])
async def test_what_is_no_id_asks_nobody(site: Site, upstream: Places, user_id: str) -> None:
    assert_problem(await site.get(f"/users/{user_id}/profile"), 404)
    assert upstream.paths == []


@pytest.mark.parametrize(("method", "headers"), NOT_ASKED_FOR)
async def test_only_a_persons_own_get_asks_the_other_service(
    site: Site, upstream: Places, method: str, headers: dict[str, str]
) -> None:
    answer = await site.request(method, "/users/7/profile", headers=headers)
    assert answer.status == 403
    assert upstream.paths == []


async def test_what_a_caller_sends_is_not_passed_on(site: Site, upstream: Places) -> None:
    await site.get(
        "/users/7/profile", {"Authorization": "Bearer secret", "Cookie": "a=b", "X-Forwarded-For": "1.2.3.4"}
    )
    heads = b"".join(upstream.heads).lower()
    assert not [word for word in (b"secret", b"cookie", b"forwarded") if word in heads]


async def test_cookies_of_the_other_service_are_not_kept(site: Site, upstream: Places) -> None:
    upstream.answers["/users/7"] = answering(200, b"{}", "Set-Cookie: seen=1")
    await site.get("/users/7/profile")
    await site.get("/users/7/profile")
    assert b"cookie" not in b"".join(upstream.heads).lower()
