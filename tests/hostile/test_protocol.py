"""Bytes below HTTP: framing, garbage, pipelines, other protocols."""

from __future__ import annotations

from tests.hostile.attack import Attack
from tests.hostile.corpus import protocol
from tests.hostile.corpus.protocol import CODING, HYPERCORN, OURS, Who
from tests.hostile.wire import Reply, post_json, request

MARK = request("OPTIONS", "/health")
MAKE = post_json("/tasks/echo", b'{"value": "smuggled"}')


def expected(reply: Reply, who: Who) -> bool:
    if who == OURS:
        return 400 <= reply.status < 500 and reply.is_problem
    if who == HYPERCORN:
        return reply.is_hypercorns
    if who == CODING:
        return reply.status == 501 and not reply.body
    return reply.status == 200


def send_each(attack: Attack, table: dict[str, tuple[bytes, Who]]) -> None:
    for name, (raw, who) in table.items():
        if attack.server.kind == "uvicorn" and name in protocol.LEGAL:
            continue  # its parser takes them for what they are
        reply = attack.ask(raw, end=who == HYPERCORN)
        attack.wire.close()
        refused_by_uvicorn = attack.server.kind == "uvicorn" and reply.is_of_the_parser
        if not expected(reply, who) and not refused_by_uvicorn:
            attack.fail(f"{name} (by {who})", reply)


def test_lengths_that_two_servers_could_read_differently(attack: Attack) -> None:
    send_each(attack, protocol.LENGTHS)


def test_chunks_that_are_none(attack: Attack) -> None:
    send_each(attack, protocol.CHUNKS)


def test_lines_that_are_no_request(attack: Attack) -> None:
    send_each(attack, protocol.LINES)


def test_other_protocols_on_our_port(attack: Attack) -> None:
    send_each(attack, protocol.SWITCHES)


def test_a_preface_of_http_2_does_not_keep_its_connection(attack: Attack) -> None:
    """Nothing says here that no more will come."""
    attack.wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
    assert attack.wire.read().status == 400
    assert attack.wire.read().status == 0


def test_a_request_that_ends_too_early_starts_nothing(attack: Attack) -> None:
    for name, raw in protocol.CUT.items():
        reply = attack.ask(raw, end=True)
        attack.wire.close()
        if not (reply.is_hypercorns or reply.is_problem):
            attack.fail(name, reply)


def test_a_client_that_goes_away_in_the_middle_leaves_nothing_behind(attack: Attack) -> None:
    for raw in protocol.CUT.values():
        for _ in range(5):
            attack.wire.send(raw)
            attack.wire.close()


def test_a_body_is_never_read_as_the_next_request(attack: Attack) -> None:
    """Whatever we think of a request, its body is its body."""
    chunked = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(MAKE), MAKE)
    for name, raw in {
        "not JSON": post_json("/tasks/echo", MAKE),
        "wrong type": request("POST", "/tasks/echo", MAKE, [(b"Content-Type", b"text/plain")]),
        "unknown kind": post_json("/tasks/unknown", MAKE),
        "no route": request("POST", "/nowhere", MAKE),
        "wrong method": request("PUT", "/tasks", MAKE),
        "another site": post_json("/tasks/echo", MAKE, (b"Origin", b"null")),
        "bad query": post_json("/tasks/echo?a=b", MAKE),
        "a GET with a body": request("GET", "/health", MAKE),
        "another protocol": request(
            "POST", "/nowhere", MAKE, [(b"Connection", b"Upgrade, HTTP2-Settings"), (b"Upgrade", b"h2c")]
        ),
        "chunked": b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\n" + chunked,
        "chunked, and a length": b"POST /tasks/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n" + chunked,
        "empty chunks, then a request": b"POST /tasks/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + MAKE,
    }.items():
        attack.wire.close()
        attack.wire.send(raw + MARK)
        first, second = attack.wire.read(), attack.wire.read()
        if first.status not in (200, 400, 403, 404, 405, 415):
            attack.fail(name, first)
        if second.status and b"allow" not in second.headers:  # neither closed nor the answer to MARK
            attack.fail(f"behind {name}", second)


def test_nothing_behind_garbage_in_a_pipeline_is_done(attack: Attack) -> None:
    healthy = request("GET", "/health")
    for garbage in (
        b"\x00\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /tasks/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
    ):
        attack.wire.send(healthy * 3 + garbage + MAKE)
        assert [attack.wire.read().status for _ in range(3)] == [200] * 3
        reply = attack.wire.read()
        if not reply.is_hypercorns:
            attack.fail(repr(garbage), reply)
        attack.wire.close()


def test_trailers_are_no_fields_of_the_request(attack: Attack) -> None:
    """Else 150 of them would be too many."""
    head = b"POST /tasks/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    body = b"Transfer-Encoding: chunked\r\n\r\n1\r\n[\r\n0\r\n" + b"X: y\r\n" * 150 + b"\r\n"
    attack.refused("trailers", head + body, 400)


def test_what_follows_a_close_is_not_done(attack: Attack) -> None:
    close = (b"Connection", b"close")
    for name, raw in {
        "a request": request("GET", "/health", headers=[close]) + MAKE,
        "line ends": request("GET", "/health", headers=[close]) + b"\r\n\r\n",
        "garbage": request("GET", "/health", headers=[close]) + b"\x00\x01",
        "of HTTP/1.0": b"GET /health HTTP/1.0\r\n\r\n" + MAKE,
    }.items():
        attack.wire.close()
        attack.wire.send(raw)
        first, second = attack.wire.read(), attack.wire.read()
        if (first.status, second.status) != (200, 0):
            attack.fail(f"behind a close: {name}", first)


def test_a_long_pipeline_is_answered_in_its_order(attack: Attack) -> None:
    cases = [("/health", 200), ("/nowhere", 404), ("/tasks?limit=0", 400), ("/tasks/x", 404)] * 25
    attack.wire.send(b"".join(request("GET", path) for path, _ in cases))
    assert [attack.wire.read().status for _ in cases] == [status for _, status in cases]
