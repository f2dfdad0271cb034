"""What a form must carry before anything changes, and that the server refuses keys that may not do it."""

from __future__ import annotations

import pytest

from tests.dashboard.visitor import HOST, Visitor
from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem
from tests.web.test_keys import KEYS, stored

POSTS = (
    "/dashboard/kinds/echo/start",
    "/dashboard/kinds/echo/pause",
    "/dashboard/kinds/echo/resume",
    "/dashboard/tasks/{task}/cancel",
    "/dashboard/tasks/{task}/retry",
    "/dashboard/tasks/{task}/fork",
    "/dashboard/tasks/{task}/signal",
    "/dashboard/queues/default/pause",
    "/dashboard/queues/default/resume",
    "/dashboard/queues/default/set",
    "/dashboard/limits/queue:audit/set",
    "/dashboard/schedules/cleanup/pause",
    "/dashboard/schedules/cleanup/resume",
    "/dashboard/schedules/cleanup/trigger",
    "/dashboard/errors/0123456789abcdef/retry",
    "/dashboard/waiting/{task}",
)


def everything(site: Site) -> list[object]:
    """What a form could change."""
    tables = ("tasks", "signals", "limits", "queues", "laned_kinds", "schedules", "audit_log")
    return [site.sql(f"SELECT * FROM {table}") for table in tables]


async def test_these_are_all_the_forms_there_are(site: Site) -> None:
    rules = {
        rule.rule
        for rule in site.app.url_map.iter_rules()
        if rule.rule.startswith("/dashboard") and "POST" in (rule.methods or ())
    }
    assert len(rules - {"/dashboard/sign-in", "/dashboard/sign-out"}) == len(POSTS)


@pytest.mark.parametrize("path", POSTS)
async def test_a_form_without_the_token_of_this_browser_changes_nothing(
    site: Site, visitor: Visitor, path: str
) -> None:
    task = await site.held()
    other = Visitor(site)
    await other.open()
    foreign = (await other.open("/kinds/echo")).form("Start").fields["csrf"]
    await visitor.open()
    before = everything(site)
    path = path.format(task=task)
    for token in ({}, {"csrf": ""}, {"csrf": "0" * 64}, {"csrf": foreign}, {"csrf": "\u00e9"}):
        answer = await visitor.once("POST", path, {"key": "k" * 16, **token})
        assert answer.status == 403, (token, answer.body)
        assert b"out of date" in answer.body
    visitor.cookies.clear()
    assert (await visitor.once("POST", path, {"csrf": foreign})).status == 403
    assert everything(site) == before
    site.open_gate("hold")


@pytest.mark.parametrize("path", POSTS)
async def test_another_sites_form_is_refused_whatever_it_carries(site: Site, visitor: Visitor, path: str) -> None:
    page = await visitor.open("/kinds/echo")
    token = page.form("Start").fields["csrf"]
    before = everything(site)
    for headers in (
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Origin": HOST},
        {"Origin": "null"},
    ):
        cookie = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
        answer = await site.request(
            "POST",
            path.format(task="x"),
            f"csrf={token}".encode(),
            {"Host": "localhost", "Cookie": cookie, **headers},
            "application/x-www-form-urlencoded",
        )
        assert_problem(answer, 403)
    assert everything(site) == before


@pytest.mark.parametrize("path", POSTS)
async def test_a_key_that_may_only_read_is_refused_by_the_server(serve: Serve, path: str) -> None:
    async with serve(api_keys=KEYS) as site:
        reader = (await stored(site, "eve", "read"))["Authorization"].removeprefix("Bearer ")
        visitor = Visitor(site)
        page = await visitor.sign_in(reader)
        token = page.form("Sign out").fields["csrf"]
        before = everything(site)
        answer = await visitor.once("POST", path.format(task="x"), {"csrf": token, "key": "k" * 16})
        assert answer.status == 403
        assert b"this needs a key with the scope" in answer.body
        assert everything(site) == before


async def test_a_key_that_may_only_read_sees_no_button(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        reader = (await stored(site, "eve", "read"))["Authorization"].removeprefix("Bearer ")
        visitor = Visitor(site)
        await visitor.sign_in(reader)
        for place in ("", "/tasks", "/kinds", "/kinds/echo", "/schedules", "/errors", "/waiting"):
            page = await visitor.open(place)
            assert page.status == 200
            assert {button for form in page.forms for button in form.buttons} <= {
                "Sign out",
                "Find",
                "No",
                "Yes",
                "Close",
            }
        for place in ("/queues", "/limits"):
            page = await visitor.open(place)
            assert page.status == 403
            assert "scope admin" in page.text


@pytest.mark.parametrize(
    ("body", "media", "status"),
    [
        (b"{}", "application/json", 415),
        (b"csrf=%ff", "application/x-www-form-urlencoded", 400),
        (b"csrf=\xff", "application/x-www-form-urlencoded", 400),
        (b"csrf=a&csrf=b", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a%d=1" % n for n in range(301)), "application/x-www-form-urlencoded", 400),
        (b"csrf=" + b"x" * 1_100_000, "application/x-www-form-urlencoded", 413),
    ],
)
async def test_a_body_that_is_no_form_is_told_so(site: Site, body: bytes, media: str, status: int) -> None:
    answer = await site.request("POST", "/dashboard/kinds/echo/start", body, content_type=media)
    assert answer.status == status


async def test_the_same_form_sent_twice_starts_one_task(site: Site, visitor: Visitor) -> None:
    page = await visitor.open("/kinds/echo")
    form = {**page.form("Start").fields, "arg.value": "1"}
    places = set()
    for _ in range(2):
        await visitor.ask("POST", "/dashboard/kinds/echo/start", dict(form))
        places.add(visitor.place.partition("?")[0])
    assert len(places) == 1
    assert site.sql("SELECT count(*) FROM tasks") == [(1,)]
