"""Pages of other sites: refused, unless QUART_APP_ALLOWED_ORIGINS names them (S03, S04)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from quart import Quart, websocket
from quart.testing.connections import WebsocketResponseError

from quart_app.app import create_app
from quart_app.settings import Settings
from quart_app.web.protection.auth import caller
from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem
from tests.web.test_keys import ANN, KEYS, bearer

FRIEND = "https://app.example"
EVIL = (
    "https://evil.example", "null", "http://app.example", "https://app.example:444", "https://app.example.evil.example",
    "https://evil-app.example", "https://x.app.example", "HTTPS://APP.EXAMPLE", "https://app.example/", "", "file://",
    "http://localhost:1", "http://localhost.evil.example", "http://evil.example/localhost", "http://[::1",
)  # fmt: skip


@pytest.mark.parametrize("origin", EVIL)
async def test_a_page_of_another_site_may_start_nothing(serve: Serve, origin: str) -> None:
    async with serve(allowed_origins=FRIEND) as site:
        headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
        for one in (headers, {"Origin": origin}):
            for asked in ("POST /tasks/echo", "POST /tasks", "POST /keys", "DELETE /keys/x", "GET /start/1/2"):
                method, path = asked.split()
                answer = await site.request(method, path, headers=one)
                assert assert_problem(answer, 403)["type"].endswith(":cross-site")
                assert "Access-Control-Allow-Origin" not in answer.headers
        assert await site.total() == 0


async def test_a_page_that_is_let_in_may_do_what_its_key_may(serve: Serve) -> None:
    async with serve(allowed_origins=f"http://other:3000, {FRIEND}", api_keys=KEYS) as site:
        headers = {"Origin": FRIEND, "Sec-Fetch-Site": "cross-site", **bearer(ANN)}
        made = await site.post("/tasks/echo", {"value": 1}, headers)
        read = await site.get(f"/tasks/{made.id}?wait=20", headers)
        started = await site.get("/start/1/2", headers)
        for answer, status in ((made, 202), (read, 200), (started, 200)):
            assert answer.status == status
            assert answer.headers["Access-Control-Allow-Origin"] == FRIEND
            assert answer.headers["Vary"] == "Origin"
            exposed = {name.strip() for name in answer.headers["Access-Control-Expose-Headers"].split(",")}
            assert {"Location", "ETag", "Retry-After", "Link", "Idempotency-Replayed"} <= exposed
            assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_a_page_that_is_let_in_can_read_errors_too(serve: Serve) -> None:
    async with serve(allowed_origins=FRIEND, api_keys=KEYS) as site:
        for path, headers, status in (
            ("/tasks", {}, 401),
            ("/nowhere", bearer(ANN), 404),
            ("/tasks?x=1", bearer(ANN), 400),
            ("/keys", bearer(ANN), 403),
        ):
            answer = await site.get(path, {"Origin": FRIEND, **headers})
            assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (status, FRIEND)


async def test_a_preflight_is_answered_without_a_key(serve: Serve) -> None:
    async with serve(allowed_origins=FRIEND, api_keys=KEYS) as site:
        asked = {
            "Origin": FRIEND,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
        }
        for path in ("/tasks/echo", "/tasks", "/nowhere"):
            answer = await site.request("OPTIONS", path, headers=asked)
            assert (answer.status, answer.body) == (204, b"")
            assert answer.headers["Access-Control-Allow-Origin"] == FRIEND
            assert "POST" in answer.headers["Access-Control-Allow-Methods"]
            allowed = answer.headers["Access-Control-Allow-Headers"].lower()
            assert all(name in allowed for name in ("authorization", "x-api-key", "content-type", "idempotency-key"))
            assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize("origin", EVIL)
async def test_the_preflight_of_another_site_allows_nothing(serve: Serve, origin: str) -> None:
    async with serve(allowed_origins=FRIEND) as site:
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        answer = await site.request("OPTIONS", "/tasks/echo", headers=asked)
        assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")]


async def test_without_the_setting_no_site_is_let_in_and_nothing_is_said_of_origins(site: Site) -> None:
    answer = await site.get("/tasks", {"Origin": FRIEND})
    assert not {"Access-Control-Allow-Origin", "Vary"} & set(answer.headers.keys())
    assert_problem(await site.post("/tasks/echo", {}, {"Origin": FRIEND}), 403)


async def test_an_answer_says_that_it_depends_on_the_origin_even_to_those_without_one(serve: Serve) -> None:
    async with serve(allowed_origins=FRIEND) as site:
        answer = await site.get("/tasks")
        assert answer.headers["Vary"] == "Origin"
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert (await site.get("/tasks", [(f"X-{n}", "v") for n in range(150)])).status == 431


# --- WebSockets


@pytest.fixture
async def sockets(tmp_path: Path) -> Quart:
    """An app whose WebSocket says who is connected, behind the same gate."""
    app = create_app(Settings(data_dir=str(tmp_path), drain_seconds=0.0, api_keys=KEYS, allowed_origins=FRIEND))

    @app.websocket("/ws")
    async def ws() -> None:
        await websocket.send(caller(websocket._get_current_object()).name)  # type: ignore[attr-defined]

    return app


async def connected(app: Quart, headers: dict[str, str]) -> str:
    async with app.test_client().websocket("/ws", headers=headers) as connection:
        return str(await asyncio.wait_for(connection.receive(), 20))


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": FRIEND, "Sec-Fetch-Site": "cross-site"}, {"Origin": "http://localhost"}, {"X-API-Key": ANN}],
)
async def test_a_websocket_is_opened_with_a_key(sockets: Quart, headers: dict[str, str]) -> None:
    async with sockets.test_app():
        assert await connected(sockets, {**bearer(ANN), **headers}) == "ann"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer x"}, 401),
        ({"Sec-WebSocket-Protocol": ANN}, 401),
        ({**bearer(ANN), "X-API-Key": "x"}, 400),
        ({**bearer(ANN), "Cookie": "a=b"}, 403),
        ({**bearer(ANN), "Sec-Fetch-Site": "cross-site"}, 403),
        *(({**bearer(ANN), "Origin": origin}, 403) for origin in EVIL),
    ],
)
async def test_any_other_handshake_is_refused_before_it_is_accepted(
    sockets: Quart, headers: dict[str, str], status: int
) -> None:
    async with sockets.test_app():
        with pytest.raises(WebsocketResponseError) as refused:
            await connected(sockets, headers)
        assert refused.value.response.status_code == status
        assert refused.value.response.headers["Content-Type"] == "application/problem+json"
