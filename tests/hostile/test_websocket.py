"""WebSockets from people who mean no good: handshakes, frames, bombs and floods."""

from __future__ import annotations

import socket
import struct
import zlib
from contextlib import closing

import pytest

from tests.hostile.attack import Attack
from tests.hostile.wire import TIMEOUT, Wire, request

KEY = (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ==")
UPGRADE = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Version", b"13")]
DEFLATE = (b"Sec-WebSocket-Extensions", b"permessage-deflate; client_max_window_bits")


def frame(first: int, payload: bytes, masked: bool = True, length: int | None = None) -> bytes:
    """RFC 6455, 5.2; the mask is of zeros. `length`: what is claimed instead."""
    size = len(payload) if length is None else length
    bit = 0x80 if masked else 0
    if size < 126:
        head = bytes([first, bit | size])
    elif size < 65_536:
        head = bytes([first, bit | 126]) + struct.pack("!H", size)
    else:
        head = bytes([first, bit | 127]) + struct.pack("!Q", size)
    return head + (bytes(4) if masked else b"") + payload


BOMB = zlib.compressobj(9, zlib.DEFLATED, -15)
INFLATES = BOMB.compress(bytes(200 * 2**20)) + BOMB.flush(zlib.Z_SYNC_FLUSH)

FRAMES = {
    "not masked": frame(0x81, b"hello", masked=False),
    "bad UTF-8": frame(0x81, b"\xff\xfe\xed\xa0\x80"),
    "reserved opcode": frame(0x83, b"x"),
    "reserved control opcode": frame(0x8F, b"x"),
    "reserved bits": frame(0xF1, b"x"),
    "length of 2^63": frame(0x82, b"x", length=2**63),
    "length of 2^62": frame(0x82, b"x" * 1000, length=2**62),
    "message too big": frame(0x82, bytes(200_000)),
    "fragments without end": frame(0x02, bytes(60_000)) + frame(0x00, bytes(60_000)) * 20,
    "continuation of nothing": frame(0x80, b"x"),
    "ping too long": frame(0x89, bytes(200)),
    "ping in fragments": frame(0x09, b"x"),
    "close with half a code": frame(0x88, b"\x03"),
    "close with a forbidden code": frame(0x88, struct.pack("!H", 1005)),
    "data after the close": frame(0x88, struct.pack("!H", 1000)) + frame(0x81, b"more") * 50,
    "deflate bomb": frame(0xC1, INFLATES),
    "plain HTTP": request("GET", "/health"),
    "zeros": bytes(5000),
    "flood of messages": frame(0x81, b"x") * 20_000,
    "flood of bytes": frame(0x82, bytes(60_000)) * 30,
    "flood of empty messages": frame(0x81, b"") * 20_000,
    "flood of pongs": frame(0x8A, b"") * 20_000,
    "flood of pings": frame(0x89, b"x" * 100) * 20_000,
    "flood of empty fragments": frame(0x01, b"") + frame(0x00, b"") * 20_000,
}


def shaken(attack: Attack) -> socket.socket:
    """An open WebSocket of a task that will not start for years."""
    opened = socket.create_connection(("127.0.0.1", attack.server.port), timeout=TIMEOUT)
    opened.sendall(request("GET", f"/ws/tasks/{attack.later}", headers=[*UPGRADE, KEY, DEFLATE]))
    data = b""
    while b"seq" not in data:
        piece = opened.recv(65536)
        assert piece, data
        data += piece
    head = data.partition(b"\r\n\r\n")[0].lower()
    assert head.startswith(b"http/1.1 101")
    assert b"sec-websocket-extensions" not in head, "compression was agreed to"
    return opened


@pytest.mark.parametrize("name", FRAMES)
def test_frames_that_are_none_end_the_connection(attack: Attack, name: str) -> None:
    with closing(shaken(attack)) as opened:
        try:
            opened.sendall(FRAMES[name])
            opened.shutdown(socket.SHUT_WR)
            while opened.recv(65536):
                pass
        except OSError as error:  # the other end may be gone by now
            assert not isinstance(error, TimeoutError)


def test_a_client_that_says_too_much_is_told_so(attack: Attack) -> None:
    with closing(shaken(attack)) as opened:
        opened.sendall(frame(0x81, b"x") * 60)
        data = b""
        while b"\x88\x02" not in data and (piece := opened.recv(65536)):
            data += piece
        assert b"\x88\x02\x03\xf0" in data


@pytest.mark.parametrize(
    "few",
    [frame(0x8A, b"") * 200, frame(0x89, b"ping") * 200, frame(0x01, b"") + frame(0x00, b"x") * 200],
    ids=["pongs", "pings", "fragments"],
)
def test_frames_that_no_handler_hears_of_are_counted_too(attack: Attack, few: bytes) -> None:
    with closing(shaken(attack)) as opened:
        opened.sendall(few)
        data = b""
        while piece := opened.recv(65536):
            data += piece
        assert b"\x03\xf0too many frames" in data


def test_handshakes_that_are_none_are_refused(attack: Attack) -> None:
    path = f"/ws/tasks/{attack.later}"
    origins = (b"http://evil.example", b"null", b"http://localhost.evil.example", b"file://", b"\xff")
    for name, (target, headers) in {
        "no key": (path, UPGRADE),
        "no version": (path, [*UPGRADE[:2], KEY]),
        "old version": (path, [*UPGRADE[:2], (b"Sec-WebSocket-Version", b"8"), KEY]),
        "plain": (path, []),
        "unknown task": ("/ws/tasks/nope", [*UPGRADE, KEY]),
        "unknown path": ("/ws/nope", [*UPGRADE, KEY]),
        "after garbage": (path + "?after=-1", [*UPGRADE, KEY]),
        "unknown query": (path + "?x=1", [*UPGRADE, KEY]),
        "not a WebSocket": ("/health", [*UPGRADE, KEY]),
        "cross-site": (path, [*UPGRADE, KEY, (b"Sec-Fetch-Site", b"cross-site")]),
        "many headers": (path, [*UPGRADE, KEY, *[(b"X-%d" % n, b"x") for n in range(120)]]),
        **{f"Origin {origin!r}": (path, [*UPGRADE, KEY, (b"Origin", origin)]) for origin in origins},
    }.items():
        with Wire(attack.server.port) as wire:
            reply = wire.ask(request("GET", target, headers=headers))
        attack.sent += 1
        if not (400 <= reply.status < 500):
            attack.fail(name, reply)


def test_garbage_in_last_event_id_is_refused(attack: Attack) -> None:
    for value in (b"-1", b"9" * 30, b"1e3", b"\xff\xfe", b"0x10", b"1, 2", b"x" * 5000, b"1;DROP TABLE events"):
        for path in ("/events", f"/tasks/{attack.done}/events", f"/tasks/{attack.later}/events"):
            attack.refused(f"{path} {value!r}", request("GET", path, headers=[(b"Last-Event-ID", value)]), 400)
