"""`/api/data`: so many calls for each user of each key, in any window."""

from __future__ import annotations

import asyncio

import pytest

from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem

ANN = {"X-User-ID": "ann"}
KEYS = {"api_keys": f"shop:{'s' * 16},mill:{'m' * 16}"}


async def test_the_data_comes_with_what_is_left(site: Site) -> None:
    answer = await site.get("/api/data", ANN)
    assert (answer.status, list(answer.json)) == (200, ["data"])
    assert answer.headers["RateLimit-Policy"] == '"api-data";q=100;w=3600'
    assert answer.headers["RateLimit"] == '"api-data";r=99;t=3600'
    assert "Retry-After" not in answer.headers


async def test_one_call_more_than_allowed_is_a_429_that_says_when(serve: Serve) -> None:
    async with serve(client_limit=3) as site:
        assert [(await site.get("/api/data", ANN)).status for _ in range(3)] == [200] * 3
        answer = await site.get("/api/data", ANN)
        problem = assert_problem(answer, 429, part="3 calls in any 3600 s")
        assert problem["type"].endswith("too-many-calls")
        assert 3590 <= int(answer.headers["Retry-After"]) <= 3600
        assert answer.headers["RateLimit"] == f'"api-data";r=0;t={answer.headers["Retry-After"]}'
        assert answer.headers["RateLimit-Policy"] == '"api-data";q=3;w=3600'
        assert (await site.get("/api/data", {"X-User-ID": "bob"})).status == 200


async def test_of_many_calls_at_once_as_many_as_allowed_pass(serve: Serve) -> None:
    async with serve(client_limit=5) as site:
        answers = await asyncio.gather(*(site.get("/api/data", ANN) for _ in range(30)))
        assert sorted(answer.status for answer in answers) == [200] * 5 + [429] * 25


async def test_a_restart_forgives_nothing(serve: Serve) -> None:
    for expected in ([200, 200], [200, 429]):
        async with serve(client_limit=3) as site:
            assert [(await site.get("/api/data", ANN)).status for _ in range(2)] == expected


async def test_the_same_user_below_another_key_is_another_user(serve: Serve) -> None:
    async with serve(client_limit=1, **KEYS) as site:
        shop, mill = ({**ANN, "X-API-Key": letter * 16} for letter in "sm")
        assert [(await site.get("/api/data", headers)).status for headers in (shop, mill, shop)] == [200, 200, 429]


async def test_a_look_with_head_counts_nothing_and_says_the_same(serve: Serve) -> None:
    async with serve(client_limit=1) as site:
        looked = await site.request("HEAD", "/api/data", headers=ANN)
        assert (looked.status, looked.headers["RateLimit"]) == (200, '"api-data";r=1')
        assert site.sql("SELECT count(*) FROM client_calls") == [(0,)]
        assert (await site.get("/api/data", ANN)).status == 200
        looked = await site.request("HEAD", "/api/data", headers=ANN)
        assert (looked.status, int(looked.headers["Retry-After"]) > 3590) == (429, True)


async def test_a_refused_call_writes_nothing(serve: Serve) -> None:
    async with serve(client_limit=1) as site:
        await site.get("/api/data", ANN)
        rows = site.sql("SELECT * FROM client_calls")
        assert (await site.get("/api/data", ANN)).status == 429
        assert site.sql("SELECT * FROM client_calls") == rows


@pytest.mark.parametrize(
    "user",
    [None, "", "a b", "\u00e9", "a\tb", "x" * 101, ["ann", "bob"]],
    ids=["none", "empty", "a blank", "not ASCII", "a tab", "too long", "two"],
)
async def test_without_one_user_there_is_no_data(site: Site, user: str | list[str] | None) -> None:
    given = [] if user is None else user if isinstance(user, list) else [user]
    assert_problem(await site.get("/api/data", [("X-User-ID", one) for one in given]), 400, part="X-User-ID")


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Purpose": "prefetch"}])
async def test_what_nobody_asked_for_is_not_served_and_not_counted(site: Site, headers: dict[str, str]) -> None:
    assert (await site.get("/api/data", {**ANN, **headers})).status == 403
    assert site.sql("SELECT count(*) FROM client_calls") == [(0,)]


async def test_the_route_takes_no_query(site: Site) -> None:
    assert_problem(await site.get("/api/data?x=1", ANN), 400)
