"""What stands behind the last request of a connection, and an answer that does not wait for its request's body."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.attack import Attack
from tests.hostile.server import Server
from tests.hostile.wire import Reply, Wire, post_json, request

KINDS = Path(__file__).with_name("kinds.py")
CLOSE = (b"Connection", b"close")
ECHO = post_json("/tasks/echo", b'{"value": 1}')
BEHIND = {
    "line end": b"\r\n",
    "line ends": b"\r\n" * 5,
    "request": ECHO,
    "half of a request": ECHO[:30],
    "garbage": b"\x00\xff" * 40,
    "chunks": b"5\r\nhello\r\n0\r\n\r\n",
}


@pytest.fixture(scope="module")
def endings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("endings"), tasks=str(KINDS))
    yield started
    assert started.stop() == 0
    assert b"Traceback" not in started.written()
    assert b"Protocol" not in started.written()


def closing_posts() -> dict[str, bytes]:
    body = b'{"value": 1}'
    plain = post_json("/tasks/echo", body, CLOSE)
    chunked = post_json("/tasks/echo", body, CLOSE).replace(b"Content-Length: 12", b"Transfer-Encoding: chunked")
    chunked = chunked.replace(body, b"c\r\n" + body + b"\r\n0\r\n\r\n")
    return {"close": plain, "HTTP/1.0": ECHO.replace(b"HTTP/1.1", b"HTTP/1.0", 1), "chunked": chunked}


def made(server: Server) -> int:
    with Wire(server.port) as wire:
        return len(wire.ask(request("GET", "/tasks?kind=echo&limit=200")).json["tasks"])


@pytest.mark.parametrize("how", ["close", "HTTP/1.0", "chunked"])
@pytest.mark.parametrize("behind", BEHIND)
def test_what_follows_the_last_request_is_passed_over(endings: Server, how: str, behind: str) -> None:
    before = made(endings)
    for split in (False, True):
        with Wire(endings.port) as wire:
            wire.send(closing_posts()[how] + (b"" if split else BEHIND[behind]))
            if split:
                wire.send(BEHIND[behind])
            reply = wire.read()
            assert (reply.status, reply.headers.get(b"connection")) == (202, b"close"), reply
    assert made(endings) == before + 2


def test_a_body_that_breaks_off_into_garbage_leaves_no_traceback(endings: Server) -> None:
    """The 400 is the server's; what the handler says later is for nobody. The fixture looks at the log."""
    for target in ("/tasks/echo", "/tasks/unknown", "/nowhere"):
        raw = post_json(target, b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + b"zz\r\n"
        for cut in (len(raw), len(raw) - 4):
            with Wire(endings.port) as wire:
                wire.send(raw[:cut])
                wire.send(raw[cut:])
                reply = wire.read()
                assert 400 <= reply.status < 500, reply


def test_an_answer_that_does_not_wait_for_the_body_ends_the_connection_and_says_so(endings: Server) -> None:
    for name, head in {
        "no route": request("POST", "/nowhere", b"x" * 9),
        "wrong method": request("PUT", "/tasks", b"x" * 9),
        "a GET with a body": request("GET", "/health", b"x" * 9),
        "another site": post_json("/tasks/echo", b"x" * 9, (b"Origin", b"null")),
        "too large": post_json("/tasks/echo", b"").replace(b"Length: 0", b"Length: 99999999") + b"x" * 9,
        "no path": request("POST", "nowhere", b"x" * 9),
    }.items():
        with Wire(endings.port) as wire:
            wire.send(head[:-9])
            reply = wire.read()
            assert reply.status in (200, 400, 403, 404, 405, 413, 415), (name, reply)
            assert reply.headers.get(b"connection") == b"close", (name, reply)


def test_a_stranger_is_told_that_the_connection_ends(tmp_path: Path) -> None:
    server = Server(tmp_path, tasks=str(KINDS), api_keys="one:0123456789abcdef0123456789abcdef")
    try:
        for _ in range(50):
            with Wire(server.port) as wire:
                wire.send(ECHO[:-9])
                reply = wire.read()
                assert (reply.status, reply.headers.get(b"connection")) == (401, b"close")
                wire.send(ECHO)  # on the connection that it has kept, or on a new one
                assert wire.read().status == 401
    finally:
        assert server.stop() == 0


def test_a_body_that_was_read_keeps_the_connection_and_one_that_was_not_ends_it_with_a_word(endings: Server) -> None:
    """Quart 0.23 leaves with the server what nobody reads; before it takes all that comes."""
    with Wire(endings.port) as wire:
        for raw in (ECHO, request("POST", "/nowhere", b"x" * 9), request("PUT", "/tasks", b"x" * 9), ECHO, ECHO):
            wire.send(raw)  # on a new connection where the last answer said `close`
            reply = wire.read()
            assert reply.status == (202 if raw == ECHO else reply.status) != 0, reply
            assert reply.headers.get(b"connection") in ((None,) if raw == ECHO else (None, b"close")), reply


def test_a_client_that_goes_on_sending_still_gets_its_answer(endings: Server) -> None:
    """A connection that ends with bytes unread is reset, and a reset takes the answer away from a client that has not
    read it yet."""
    for _ in range(20):
        with Wire(endings.port) as wire:
            wire.send(request("POST", "/nowhere", b"x" * 3_000_000))
            assert reply_of(wire).status in (404, 413)


def reply_of(wire: Wire) -> Reply:
    with contextlib.suppress(ConnectionError):
        return wire.read()
    return Reply(0)


@pytest.mark.parametrize("method", ["post", "Post", "get", "gET", "head", "options", "delete"])
def test_methods_are_case_sensitive(attack: Attack, method: str) -> None:
    for target in ("/tasks/echo", "/health", "/tasks", "/hello"):
        attack.refused(f"{method} {target}", request(method, target), 405)
        attack.refused(f"{method} {target}", post_json(target, b"{}").replace(b"POST", method.encode(), 1), 405)


@pytest.mark.parametrize(
    "path",
    [
        *("//metrics", "///metrics", "//health", "//", "//hello", "/metrics/", "/metrics//", "/./metrics"),
        *("/x/../metrics", "/metrics%2f", "/%2fmetrics", "/%2Fhealth", "%2fhealth", "/tasks%2fecho", "/tasks%2Fecho"),
        *("http://localhost//health", "http://localhost/%2fhealth", "http://localhost/tasks%2fecho"),
    ],
)
def test_a_path_is_that_of_a_route_to_the_letter(attack: Attack, path: str) -> None:
    for method in ("GET", "POST"):
        attack.refused(f"{method} {path}", request(method, path), 400, 404)
