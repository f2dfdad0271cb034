"""Sign-in and sign-out: who gets a session, what it opens, and when it ends."""

from __future__ import annotations

import hashlib

import pytest

from quart_app.core.sessions import MOST_OF_ONE
from tests.dashboard.visitor import Visitor
from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem
from tests.web.test_keys import ANN, KEYS, stored

OPERATOR = {"quart_app.operator": True}
PLACES = ("", "/tasks", "/tasks/x", "/kinds", "/kinds/echo", "/schedules", "/errors", "/waiting", "/queues", "/limits")


async def key_of(site: Site, name: str, *scopes: str) -> str:
    return (await stored(site, name, *scopes))["Authorization"].removeprefix("Bearer ")


@pytest.mark.parametrize("place", [*PLACES, "/nowhere", "/changes"])
async def test_without_a_session_every_page_leads_to_the_sign_in(serve: Serve, place: str) -> None:
    async with serve(api_keys=KEYS) as site:
        visitor = Visitor(site)
        answer = await visitor.once("GET", f"/dashboard{place}")
        assert (answer.status, answer.body) == (303, b"")
        page = await visitor.open(place)
        assert page.status == 200
        assert page.form("Sign in").fields["next"] == f"dashboard{place}"
        assert "Tasks" not in page.links, "nothing of the service is told"


async def test_a_key_opens_a_session_whose_cookie_is_for_this_site_alone(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        visitor = Visitor(site)
        await visitor.open("/tasks?q=status:failed")
        page = await visitor.press(await visitor.open("/tasks?q=status:failed"), "Sign in", key=ANN)
        assert (page.status, visitor.place) == (200, "/dashboard/tasks?q=status:failed")
        (cookie,) = [text for text in visitor.set_cookies if text.startswith("quart_app_session=")]
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        assert "Secure" not in cookie
        token = visitor.cookies["quart_app_session"]
        ((kept, name),) = site.sql("SELECT hash, name FROM sessions")
        assert (kept, name) == (hashlib.sha256(token.encode()).hexdigest(), "ann")
        assert token.encode() not in site.settings.database_path.read_bytes()
        assert ANN not in page.answer.body.decode()


async def test_behind_tls_the_cookies_are_secure(serve: Serve) -> None:
    async with serve(api_keys=KEYS, trusted_proxies=1) as site:
        visitor = Visitor(site, headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"})
        await visitor.sign_in(ANN)
        assert len(visitor.set_cookies) >= 2
        assert all("Secure" in text.split("; ") for text in visitor.set_cookies)


@pytest.mark.parametrize("key", ["no-such-key-is-here", "", " ", "\u00e9\ud7ff", "x" * 5000])
async def test_a_wrong_key_opens_nothing(serve: Serve, key: str) -> None:
    async with serve(api_keys=KEYS) as site:
        visitor = Visitor(site)
        page = await visitor.sign_in(key)
        assert page.status in (401, 422)
        assert page.form("Sign in").fields["key"] == ""
        assert "quart_app_session" not in visitor.cookies
        assert site.sql("SELECT count(*) FROM sessions") == [(0,)]


async def test_who_guesses_is_held_back(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        visitor = Visitor(site)
        for _ in range(10):
            assert (await visitor.sign_in("no-such-key-is-here")).status == 401
        page = await visitor.sign_in("no-such-key-is-here")
        assert (page.status, page.answer.headers["Retry-After"]) == (429, "2")


async def test_without_keys_nobody_has_to_sign_in(site: Site, visitor: Visitor) -> None:
    page = await visitor.open("/sign-in")
    assert (page.status, visitor.place) == (200, "/dashboard")
    assert "Sign out" not in page.text


async def test_signing_out_ends_the_session_for_good(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        visitor = Visitor(site)
        page = await visitor.sign_in(ANN)
        kept = dict(visitor.cookies)
        await visitor.press(page, "Sign out")
        assert "quart_app_session" not in visitor.cookies
        assert site.sql("SELECT count(*) FROM sessions") == [(0,)]
        visitor.cookies = kept  # somebody has copied it
        assert (await visitor.once("GET", "/dashboard")).status == 303


async def test_a_session_ends_with_its_key(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        visitor = Visitor(site)
        await visitor.sign_in(await key_of(site, "eve", "read"))
        assert (await visitor.once("GET", "/dashboard")).status == 200
        assert (await site.request("DELETE", "/keys/eve", scope=OPERATOR)).status == 204
        assert (await visitor.once("GET", "/dashboard")).status == 303
        assert site.sql("SELECT count(*) FROM sessions") == [(0,)], "in the same transaction"
        await key_of(site, "eve", "read", "write")
        assert (await visitor.once("GET", "/dashboard")).status == 303, "a new key of the name is another key"


async def test_a_session_of_an_exchanged_secret_ends_with_its_grace(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        visitor = Visitor(site)
        await visitor.sign_in(await key_of(site, "eve", "read"))
        await site.request("POST", "/keys/eve/rotate", {"grace": 600}, scope=OPERATOR)
        assert (await visitor.once("GET", "/dashboard")).status == 200
        await site.request("POST", "/keys/eve/rotate", {"grace": 0}, scope=OPERATOR)
        assert (await visitor.once("GET", "/dashboard")).status == 303


async def test_a_session_ends_when_its_key_expires_and_after_its_age(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        made = await site.request("POST", "/keys", {"name": "eve", "expires": 60}, scope=OPERATOR)
        visitor, other = Visitor(site), Visitor(site)
        await visitor.sign_in(made.json["key"])
        await other.sign_in(ANN)
        sessions = site.app.extensions["quart_app"].sessions
        now = site.app.extensions["quart_app"].service.now()
        token, others = visitor.cookies["quart_app_session"].encode(), other.cookies["quart_app_session"].encode()
        caller = sessions.find(token, now)
        assert caller is not None
        assert sessions.find(token, caller.until - 1) == caller
        assert sessions.find(token, caller.until) is None
        assert sessions.find(others, caller.until) is not None
        week = sessions.find(others, now)
        assert week is not None
        assert now < week.until <= now + 7 * 86_400_000
        assert sessions.find(others, week.until) is None
        await sessions.run_once(week.until)
        assert site.sql("SELECT count(*) FROM sessions") == [(0,)]
        assert len(sessions) == 0


async def test_a_session_goes_on_over_a_restart(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        visitor = Visitor(site)
        page = await visitor.sign_in(ANN)
        await visitor.open("/kinds/echo")
    async with serve(api_keys=KEYS) as site:
        visitor.site = site
        page = await visitor.press(await visitor.open("/kinds/echo"), "Start")
        assert "/dashboard/tasks/" in visitor.place
        assert page.status == 200
    async with serve(api_keys="bob:another-key-that-opens") as site:  # ann's key was taken out of the settings
        visitor.site = site
        assert (await visitor.once("GET", "/dashboard")).status == 303
        await site.app.extensions["quart_app"].sessions.run_once(site.app.extensions["quart_app"].service.now())
        assert site.sql("SELECT count(*) FROM sessions") == [(0,)]


async def test_the_oldest_session_of_a_key_makes_room(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        visitors = [Visitor(site) for _ in range(MOST_OF_ONE + 1)]
        for visitor in visitors:
            await visitor.sign_in(ANN)
        assert site.sql("SELECT count(*) FROM sessions") == [(MOST_OF_ONE,)]
        opened = [(await visitor.once("GET", "/dashboard")).status for visitor in visitors]
        assert opened == [303, *[200] * MOST_OF_ONE]


async def test_signing_in_again_ends_the_session_before(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        visitor = Visitor(site)
        token = (await visitor.sign_in(ANN)).form("Sign out").fields["csrf"]
        before = dict(visitor.cookies)
        assert (await visitor.once("POST", "/dashboard/sign-in", {"csrf": token, "key": ANN})).status == 303
        assert (await visitor.once("GET", "/dashboard")).status == 200
        assert site.sql("SELECT count(*) FROM sessions") == [(1,)]
        visitor.cookies = before
        assert (await visitor.once("GET", "/dashboard")).status == 303


async def test_who_is_signed_in_is_led_on(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        visitor = Visitor(site)
        await visitor.sign_in(ANN)
        page = await visitor.open("/sign-in?next=dashboard/kinds")
        assert (page.status, visitor.place) == (200, "/dashboard/kinds")


@pytest.mark.parametrize(
    "leads",
    [
        "https://evil.example/",
        "//evil.example",
        "dashboard/../keys",
        "/\\evil",
        "dashboard//evil",
        "javascript:alert(1)",
    ],
)
async def test_the_sign_in_leads_to_our_own_pages_alone(serve: Serve, leads: str) -> None:
    async with serve(api_keys=KEYS) as site:
        visitor = Visitor(site)
        page = await visitor.open("/sign-in")
        form = page.form("Sign in").fields
        answer = await visitor.once("POST", "/dashboard/sign-in", {**form, "key": ANN, "next": leads})
        assert answer.status == 303
        assert answer.headers["Location"].startswith("../dashboard")
        assert "evil" not in answer.headers["Location"] or answer.headers["Location"] == "../dashboard//evil"


async def test_a_link_of_another_site_asks_the_browser_for_its_cookie_first(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        visitor = Visitor(site, headers={"Sec-Fetch-Site": "cross-site"})
        answer = await visitor.once("GET", "/dashboard/tasks")
        assert answer.status == 200
        assert b'http-equiv="refresh"' in answer.body
        assert "Set-Cookie" not in answer.headers


async def test_the_cookie_opens_what_pages_follow_and_nothing_else_of_the_api(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        visitor = Visitor(site)
        await visitor.sign_in(ANN)
        task = await site.make("echo", {"value": 1}, headers={"X-API-Key": ANN})
        assert (await visitor.once("GET", f"/tasks/{task}/events")).status == 200
        cookie = f"quart_app_session={visitor.cookies['quart_app_session']}"
        headers = {"Cookie": cookie, "Origin": "http://localhost", "Host": "localhost"}
        async with site.app.test_client().websocket(f"/ws/tasks/{task}", headers=headers) as socket:
            assert b'"task_id"' in (await socket.receive()).encode()
        for method, path in (
            ("POST", "/tasks/echo"),
            ("POST", f"/tasks/{task}/cancel"),
            ("DELETE", f"/tasks/{task}"),
            ("GET", "/tasks"),
            ("GET", "/start/1/2"),
            ("GET", "/keys"),
        ):
            assert_problem(await site.request(method, path, headers={"Cookie": cookie}), 401)


async def test_another_owners_task_is_not_there(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        visitor = Visitor(site)
        await visitor.sign_in(ANN)
        others = await site.make("echo", {"value": "of-bob"}, headers={"X-API-Key": "bob-opens-sesame"})
        page = await visitor.open(f"/tasks/{others}")
        assert page.status == 404
        assert "of-bob" not in page.text
        assert others not in (await visitor.open("/tasks")).answer.body.decode()
        assert (await visitor.open(f"/tasks/{others}/args.json")).status == 404
