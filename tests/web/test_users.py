"""`/users` and `/users/<id>`: rows of the database, page by page."""

from __future__ import annotations

import re

import pytest

from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem

ALL = [{"id": n, "username": f"user{n}", "email": f"user{n}@example.com"} for n in range(1, 101)]
NOBODY = ["101", "0", "-1", "01", "1.0", "+1", "1e1", "x", "%00", "٣", "1_0", "1%20", "9" * 18, "9" * 19, "9" * 5000]


async def test_all_are_listed_by_id(site: Site) -> None:
    answer = await site.get("/users")
    assert (answer.status, answer.json) == (200, ALL)
    assert "Link" not in answer.headers, "a hundred fit on a page"


@pytest.mark.parametrize("limit", [1, 7, 50, 99])
async def test_the_links_lead_through_all_of_them(site: Site, limit: int) -> None:
    found, following = [], f"/users?limit={limit}"
    while following:
        answer = await site.get(following)
        assert len(answer.json) <= limit
        found += answer.json
        link = re.fullmatch(r'<([^>]+)>; rel="next"', answer.headers.get("Link", ""))
        following = link[1] if link else ""
    assert found == ALL


async def test_a_page_behind_the_last_one_is_empty(site: Site) -> None:
    answer = await site.get("/users?cursor=100")
    assert (answer.status, answer.json) == (200, [])


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=-1", "limit=1e2", "limit=", "cursor=0", "cursor=x", "page=2", "limit=1&limit=2"],
)
async def test_a_query_that_means_nothing_is_refused(site: Site, query: str) -> None:
    assert_problem(await site.get(f"/users?{query}"), 400)


async def test_one_is_read_by_the_id(site: Site) -> None:
    for one in (ALL[0], ALL[-1]):
        answer = await site.get(f"/users/{one['id']}")
        assert (answer.status, answer.json) == (200, one)
    assert_problem(await site.get("/users/1?x=1"), 400)


@pytest.mark.parametrize("user_id", NOBODY)
async def test_nobody_has_any_other_id(site: Site, user_id: str) -> None:
    assert assert_problem(await site.get(f"/users/{user_id}"), 404)["error"] == "User not found"


async def test_where_there_are_keys_a_key_that_reads_is_asked_for(serve: Serve) -> None:
    async with serve(api_keys="ann:0123456789abcdef0123") as site:
        assert_problem(await site.get("/users"), 401)
        assert_problem(await site.get("/users/1"), 401)
        assert_problem(await site.get("/users/1/profile"), 401)
        assert (await site.get("/users", {"X-API-Key": "0123456789abcdef0123"})).json == ALL
