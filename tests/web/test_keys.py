"""Who may come in: keys of the settings, scopes, and what stays open."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.conftest import Serve
from tests.web.site import Answer, Site, assert_problem

ANN, BOB = "ann-opens-sesame", "bob-opens-sesame"
KEYS = f"ann:{ANN},bob:{BOB}"
EVERY = ("GET /", "GET /hello", "GET /status", "GET /tasks", "POST /tasks/echo", "GET /keys", "GET /nowhere", "PUT /x")


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def stored(site: Site, name: str, *scopes: str) -> dict[str, str]:
    """The header of a new key, made by the operator."""
    made = await site.request("POST", "/keys", {"name": name, "scopes": scopes}, scope={"quart_app.operator": True})
    assert made.status == 201, made.body
    return bearer(made.json["key"])


def assert_unauthorized(answer: Answer) -> None:
    assert_problem(answer, 401)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json["type"].endswith(":unauthorized")


@pytest.mark.parametrize("asked", EVERY)
async def test_without_a_key_nothing_is_answered(serve: Serve, asked: str) -> None:
    method, path = asked.split()
    async with serve(api_keys=KEYS) as site:
        assert_unauthorized(await site.request(method, path))
        assert site.sql("SELECT count(*) FROM tasks") == [(0,)]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/health", 200), ("/ready", 200), ("/docs/x", 404), ("/openapi.json/x", 401), ("/docsx", 401), ("/health/", 401)],
)
async def test_what_tells_nothing_of_tasks_needs_no_key(serve: Serve, path: str, status: int) -> None:
    async with serve(api_keys=KEYS) as site:
        assert (await site.get(path)).status == status


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {ANN}"},
        {"Authorization": f"bearer {ANN}"},
        {"Authorization": f"BEARER   {ANN}"},
        {"X-API-Key": ANN},
        {"X-API-Key": ANN, "Authorization": f"Bearer {ANN}"},
        {"X-API-Key": ANN, "Authorization": "Basic c29tZTpib2R5"},  # a proxy's own sign-in
    ],
)
async def test_a_key_is_shown_in_either_header(serve: Serve, headers: dict[str, str]) -> None:
    async with serve(api_keys=KEYS) as site:
        assert (await site.get("/tasks", headers)).status == 200


async def test_two_different_keys_are_one_too_many(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        answer = await site.get("/tasks", {"X-API-Key": BOB, **bearer(ANN)})
        assert assert_problem(answer, 400)["type"].endswith(":two-keys")


@pytest.mark.parametrize("header", ["X-API-Key", "Authorization"])
@pytest.mark.parametrize(
    "key",
    [
        "",
        " ",
        "x",
        ANN[:-1],
        ANN + "x",
        ANN.upper(),
        "é" * 20,
        "\x7f\x80\xff",
        "k" * 15_000,
        f"{ANN}, {BOB}",
        "\t",
        "a,b",
    ],
)
async def test_any_other_bytes_are_no_key(serve: Serve, header: str, key: str) -> None:
    shown = key if header == "X-API-Key" else f"Bearer {key}"
    async with serve(api_keys=KEYS) as site:
        assert_unauthorized(await site.get("/tasks", {header: shown}))


async def test_a_key_of_64_kilobytes_is_too_much_for_a_header(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        assert_problem(await site.get("/tasks", {"X-API-Key": "k" * 65_536}), 431)


@pytest.mark.parametrize("authorization", ["Bearer", "Basic x", ANN, f"Token {ANN}", f"Bearer:{ANN}", f"Bearer\t{ANN}"])
async def test_another_scheme_is_no_key(serve: Serve, authorization: str) -> None:
    async with serve(api_keys=KEYS) as site:
        assert_unauthorized(await site.get("/tasks", {"Authorization": authorization}))


@pytest.mark.parametrize("name", ["key", "api_key", "access_token", "X-API-Key"])
async def test_a_key_in_the_query_opens_nothing(serve: Serve, name: str) -> None:
    async with serve(api_keys=KEYS) as site:
        assert_unauthorized(await site.get(f"/tasks?{name}={ANN}"))


async def test_a_repeated_header_is_no_key(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        assert_unauthorized(await site.get("/tasks", [("X-API-Key", ANN), ("X-API-Key", ANN)]))


# --- scopes

READING = ("GET /tasks", "GET /status", "GET /hello", "HEAD /tasks")
WRITING = ("POST /tasks/echo", "DELETE /tasks/x", "POST /tasks/x/cancel", "POST /tasks/x/retry")
BOTH = ("GET /start/1/2",)
RULING = ("GET /keys", "POST /keys", "DELETE /keys/x")


@pytest.mark.parametrize(
    ("scopes", "may"),
    [
        (("read",), READING),
        (("write",), WRITING),
        (("read", "write"), READING + WRITING + BOTH),
        (("admin",), READING + WRITING + BOTH + RULING),
    ],
)
async def test_a_scope_opens_what_it_says_and_no_more(
    serve: Serve, scopes: tuple[str, ...], may: tuple[str, ...]
) -> None:
    async with serve() as site:
        key = await stored(site, "somebody", *scopes)
        for asked in READING + WRITING + BOTH + RULING:
            method, path = asked.split()
            answer = await site.request(method, path, headers=key)
            if asked in may:
                assert answer.status not in (401, 403), asked
            else:
                assert answer.status == 403, asked
                assert answer.headers["WWW-Authenticate"].startswith('Bearer error="insufficient_scope"')


async def test_a_visit_with_a_key_that_may_only_read_starts_nothing(serve: Serve) -> None:
    async with serve() as site:
        answer = await site.get("/hello", await stored(site, "reader", "read"))
        assert (answer.status, answer.json["request_uuid"]) == (200, None)
        assert site.sql("SELECT count(*) FROM tasks") == [(0,)]


# --- no keys at all


@pytest.mark.parametrize(
    "server",
    [
        ("127.0.0.1", 8000),
        ("127.8.9.1", 80),
        ("::1", 8000),
        ("::ffff:127.0.0.1", 80),
        ("/run/quart_app.sock", None),
        None,
    ],
)
async def test_without_keys_this_machine_may_do_everything(site: Site, server: Any) -> None:
    for path in ("/tasks", "/keys", "/start/1/2"):
        assert (await site.request("GET", path, scope={"server": server, "client": None})).status == 200


@pytest.mark.parametrize(
    "scope",
    [
        {"server": ("192.0.2.1", 8000)},
        {"server": ("::", 80)},
        {"server": ("2001:db8::1", 80)},
        {"server": ("::ffff:192.0.2.1", 80)},
        {"server": ("localhost.example", 80)},
        {"server": None, "client": ("127.0.0.1", 4000)},
    ],
)
@pytest.mark.parametrize("headers", [{}, bearer(ANN), {"X-Forwarded-For": "127.0.0.1", "Host": "127.0.0.1"}])
async def test_without_keys_nobody_else_may_do_anything(site: Site, scope: Any, headers: dict[str, str]) -> None:
    for asked in ("GET /tasks", "POST /tasks/echo", "GET /hello", "POST /keys"):
        method, path = asked.split()
        problem = assert_problem(await site.request(method, path, headers=headers, scope=scope), 403, part="keys add")
        assert problem["type"].endswith(":no-keys")
    assert (await site.request("GET", "/ready", scope=scope)).status == 200


async def test_anonymous_callers_may_be_allowed_from_anywhere(serve: Serve) -> None:
    async with serve(allow_anonymous=1) as site:
        assert (await site.request("GET", "/tasks", scope={"server": ("192.0.2.1", 80)})).status == 200


async def test_with_keys_a_caller_of_this_machine_needs_one_too(serve: Serve) -> None:
    async with serve(api_keys=KEYS, allow_anonymous=1) as site:
        assert_unauthorized(await site.request("GET", "/tasks", scope={"server": ("127.0.0.1", 80)}))


async def test_the_operator_needs_no_key_and_a_client_cannot_say_that_it_is_the_operator(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        for scope in ({"quart_app.operator": True}, {"quart_app.operator": True, "server": ("192.0.2.1", 80)}):
            assert (await site.request("GET", "/keys", scope=scope)).status == 200
        assert_unauthorized(await site.request("GET", "/keys", scope={"quart_app.operator": "True"}))
        assert_unauthorized(await site.get("/keys", {"Quart-App-Operator": "True", "quart_app.operator": "True"}))


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8000", "1.2.3.4"])
async def test_without_keys_a_name_that_was_made_to_point_here_is_refused(site: Site, host: str) -> None:
    assert_problem(await site.post("/tasks/echo", {}, {"Host": host, "Origin": f"http://{host}"}), 403)
    assert await site.total() == 0


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "app.localhost:80", "127.0.0.1", "127.1.2.3:8000", "[::1]:8000"]
)
async def test_without_keys_this_machine_answers_under_its_own_names(site: Site, host: str) -> None:
    assert (await site.post("/tasks/echo", {}, {"Host": host})).status == 202
