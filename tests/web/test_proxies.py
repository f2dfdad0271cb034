"""QUART_APP_TRUSTED_PROXIES: whose word about the client counts."""

from __future__ import annotations

from typing import Any

import pytest

from quart_app.core.trusted_proxies import Trusted, parse
from quart_app.web.protection.proxies import TrustedProxies
from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem

CONNECTION = {"client": ("10.0.0.9", 4000), "server": ("127.0.0.1", 8000)}


async def audited(site: Site, headers: list[tuple[str, str]]) -> str:
    """The client's address as a task sees it."""
    answer = await site.request("GET", "/hello", headers=headers, scope=CONNECTION)
    ip: str = (await site.task(answer.json["request_uuid"]))["args"]["ip"]
    return ip


@pytest.mark.parametrize(
    ("hops", "forwarded", "client"),
    [
        (0, ["1.1.1.1"], "10.0.0.9"),
        (1, [], "10.0.0.9"),
        (1, ["1.1.1.1"], "1.1.1.1"),
        (1, ["6.6.6.6, 1.1.1.1"], "1.1.1.1"),
        (1, ["6.6.6.6", "1.1.1.1"], "1.1.1.1"),
        (2, ["6.6.6.6, 1.1.1.1 ,2.2.2.2"], "1.1.1.1"),
        (2, ["1.1.1.1"], "10.0.0.9"),
        (3, ["6.6.6.6", "1.1.1.1"], "10.0.0.9"),
        (1, [""], "10.0.0.9"),
        (1, ["1.1.1.1,"], "10.0.0.9"),
        (2, [",,"], "10.0.0.9"),
        (1, ["<script>"], "<script>"),
        (1, ["203.0.113.9:4711"], "203.0.113.9"),
        (1, ["[2001:db8::1]:4711"], "2001:db8::1"),
        (1, ["::ffff:203.0.113.9"], "203.0.113.9"),
    ],
)
async def test_the_entry_of_the_first_trusted_proxy_counts(
    serve: Serve, hops: int, forwarded: list[str], client: str
) -> None:
    async with serve(trusted_proxies=hops, allow_anonymous=1) as site:
        assert await audited(site, [("X-Forwarded-For", value) for value in forwarded]) == client


async def test_the_forwarded_host_is_the_origin_of_the_service(serve: Serve) -> None:
    headers = {"X-Forwarded-Host": "tasks.example", "X-Forwarded-Proto": "https", "Origin": "https://tasks.example"}
    async with serve(trusted_proxies=1, allow_anonymous=1) as site:
        assert (await site.post("/tasks/echo", {}, headers)).status == 202
        assert_problem(await site.post("/tasks/echo", {}, headers | {"X-Forwarded-Host": "other.example"}), 403)
    async with serve() as site:
        assert_problem(await site.post("/tasks/echo", {}, headers), 403)


@pytest.mark.parametrize("host", ["a b", "http://x", "é", "x\x7f", "x/y", '"'])
async def test_a_forwarded_host_that_is_no_host_is_refused(serve: Serve, host: str) -> None:
    async with serve(trusted_proxies=1, allow_anonymous=1) as site:
        assert_problem(await site.get("/tasks", {"X-Forwarded-Host": host}), 400)


@pytest.mark.parametrize("proto", ["javascript", "", "https://", "é", "a b", "HTTPS"])
async def test_any_forwarded_scheme_is_answered(serve: Serve, proto: str) -> None:
    async with serve(trusted_proxies=1, allow_anonymous=1) as site:
        assert (await site.get("/tasks", {"X-Forwarded-Proto": proto})).status == 200


async def test_no_forwarded_address_makes_a_stranger_local(serve: Serve) -> None:
    forwarded = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "127.0.0.1", "Forwarded": "for=127.0.0.1"}
    async with serve() as site:
        stranger = {"server": ("192.0.2.1", 80), "client": ("192.0.2.2", 4000)}
        assert_problem(await site.request("GET", "/tasks", headers=forwarded, scope=stranger), 403)


@pytest.mark.parametrize(
    ("kind", "scheme", "proto", "expected"),
    [
        ("http", "http", b"https", "https"),
        ("http", "https", b"http", "http"),
        ("http", "http", b"ftp", "http"),
        ("websocket", "ws", b"https", "wss"),
        ("websocket", "wss", b"http", "ws"),
        ("websocket", "ws", b"wss", "ws"),
    ],
)
async def test_a_websocket_keeps_a_scheme_under_which_it_is_routed(
    kind: str, scheme: str, proto: bytes, expected: str
) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    given = {"type": kind, "scheme": scheme, "headers": [(b"x-forwarded-proto", proto)], "client": None}
    await TrustedProxies(app, Trusted(1))(given, None, None)
    assert seen[0]["scheme"] == expected
    assert given["scheme"] == scheme
    await TrustedProxies(app, Trusted(1))({"type": "lifespan"}, None, None)
    assert seen[1] == {"type": "lifespan"}


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "client"),
    [
        ("10.0.0.0/8", "10.0.0.9", ["1.1.1.1"], "1.1.1.1"),
        ("10.0.0.9", "10.0.0.9", ["6.6.6.6, 1.1.1.1"], "1.1.1.1"),
        ("10.0.0.8", "10.0.0.9", ["1.1.1.1"], "10.0.0.9"),
        ("10.0.0.0/8", "1.2.3.4", ["1.1.1.1"], "1.2.3.4"),
        ("10.0.0.0/8", "10.0.0.9", ["6.6.6.6, 1.1.1.1, 10.0.0.1"], "1.1.1.1"),
        ("10.0.0.0/8", "10.0.0.9", ["6.6.6.6, 1.1.1.1, 10.0.0.1:443"], "1.1.1.1"),
        ("10.0.0.0/8", "10.0.0.9", ["10.0.0.1, 10.0.0.2"], "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.9", [], "10.0.0.9"),
        ("10.0.0.0/8,2001:db8::/32", "2001:db8::7", ["1.1.1.1", "[2001:db8::8]:1234"], "1.1.1.1"),
        ("10.0.0.0/8", "::ffff:10.0.0.9", ["1.1.1.1"], "1.1.1.1"),
        ("10.0.0.0/8", "10.0.0.9", ["1.1.1.1, <script>"], "<script>"),
    ],
)
async def test_named_proxies_are_believed_and_nobody_else(
    serve: Serve, trusted: str, peer: str, forwarded: list[str], client: str
) -> None:
    scope = {"client": (peer, 4000), "server": ("127.0.0.1", 8000)}
    async with serve(trusted_proxies=trusted, allow_anonymous=1) as site:
        headers = [("X-Forwarded-For", one) for one in forwarded]
        answer = await site.request("GET", "/hello", headers=headers, scope=scope)
        assert (await site.task(answer.json["request_uuid"]))["args"]["ip"] == client


def count(trusted: str, peer: str, *forwarded: str) -> int:
    return parse(trusted).count(peer, forwarded)


def test_a_unix_socket_is_a_proxy_when_that_is_said() -> None:
    assert [count("unix", peer, "1.1.1.1") for peer in ("", "/run/x.sock", "127.0.0.1")] == [1, 1, 0]
    assert count("127.0.0.1", "") == 0
    assert (count("unix,10.0.0.1", "", "1.1.1.1", "10.0.0.1"), count("3", "")) == (2, 3)
    assert (bool(parse("0")), bool(parse("1")), bool(parse("unix"))) == (False, True, True)


async def test_the_word_of_a_stranger_about_scheme_and_host_does_not_count() -> None:
    seen: list[Any] = []

    async def app(scope: Any, *_: Any) -> None:
        seen.append((scope["scheme"], dict(scope["headers"]).get(b"host")))

    said = [(b"host", b"a"), (b"x-forwarded-for", b"1.1.1.1"), (b"x-forwarded-proto", b"https")]
    said += [(b"x-forwarded-host", b"b")]
    for peer in ("10.0.0.9", "9.9.9.9"):
        scope = {"type": "http", "scheme": "http", "headers": said, "client": (peer, 1)}
        await TrustedProxies(app, parse("10.0.0.0/8"))(scope, None, None)
    assert seen == [("https", b"b"), ("http", b"a")]
