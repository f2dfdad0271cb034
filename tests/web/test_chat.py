"""`/chat` and `/ws/chat`: who hears what, who must go, and that nobody else suffers for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import pytest
from quart.testing import connections
from quart.testing.connections import WebsocketResponseError

from quart_app.core.audit_acts import Actor
from quart_app.web.examples import chat
from quart_app.web.examples.chat import BURST, MAX_BYTES, MAX_UNHEARD, Member, Room
from tests.web.conftest import Serve
from tests.web.site import DEADLINE, Site, assert_problem

KEY = "0123456789abcdef0123"


class Closed(Exception):
    """The server's close, with its code."""


class Talker(connections.TestWebsocketConnection):
    """Quart's, which in 0.23 forgets the code of a close."""

    async def _asgi_send(self, message: Any) -> None:
        if message["type"] == "websocket.close":
            await self._receive_queue.put(Closed(message["code"]))
        else:
            await super()._asgi_send(message)


@asynccontextmanager
async def joined(site: Site, headers: dict[str, str] | None = None) -> AsyncIterator[Any]:
    """A client that is in the room."""
    before = site.app.extensions["quart_app"].runtime.streams.open
    client = site.app.test_client()
    client.websocket_connection_class = Talker
    async with client.websocket("/ws/chat", headers=headers) as websocket:
        async with asyncio.timeout(DEADLINE):
            while (await site.get("/chat", headers)).json["active_connections"] <= before:
                pass
            yield websocket


@contextmanager
def dropped(code: int) -> Iterator[None]:
    with pytest.raises(Closed) as caught:
        yield
    assert caught.value.args == (code,)


async def test_it_says_where_to_chat_and_how_many_do(site: Site) -> None:
    answer = await site.get("/chat", {"Host": "localhost:8000"})
    assert (answer.status, answer.json) == (
        200,
        {"active_connections": 0, "websocket_url": "ws://localhost:8000/ws/chat"},
    )
    async with joined(site), joined(site):
        assert (await site.get("/chat")).json["active_connections"] == 2
    assert (await site.get("/chat")).json["active_connections"] == 0
    assert_problem(await site.get("/chat?x=1"), 400)


async def test_what_one_says_all_hear_in_the_same_order(site: Site) -> None:
    async with joined(site) as ann, joined(site) as bob:
        for number in range(10):
            await ann.send(f"ann {number}")
            await bob.send(f"bob {number}")
        heard = [await ann.receive() for _ in range(20)]
        assert [await bob.receive() for _ in range(20)] == heard
    for name in ("ann", "bob"):
        assert [text for text in heard if name in text] == [f"Message: {name} {number}" for number in range(10)]


async def test_who_comes_later_hears_what_is_said_from_then_on(site: Site) -> None:
    async with joined(site) as ann:
        await ann.send("early")
        assert await ann.receive() == "Message: early"
        async with joined(site) as bob:
            await ann.send("late")
            assert await bob.receive() == "Message: late"


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("", ""),
        ("<b>ü€😀</b>", "<b>ü€😀</b>"),
        ("hi\r\nMessage: forged", "hi\ufffd\ufffdMessage: forged"),
        ("\x00\x1b[2J\x7f\x9b", "\ufffd\ufffd[2J\ufffd\ufffd"),
        ("a\u2028b\u202ec\u2066", "a\ufffdb\ufffdc\ufffd"),
        ("x" * MAX_BYTES, "x" * MAX_BYTES),
    ],
)
async def test_a_message_is_one_line_that_steers_nothing(site: Site, said: str, heard: str) -> None:
    async with joined(site) as ann:
        await ann.send(said)
        assert await ann.receive() == f"Message: {heard}"


@pytest.mark.parametrize(
    ("said", "code"), [(b"bytes", 1003), ("x" * (MAX_BYTES + 1), 1009), ("€" * (MAX_BYTES // 2), 1009)]
)
async def test_what_is_no_message_ends_its_sender_alone(site: Site, said: str | bytes, code: int) -> None:
    async with joined(site) as ann, joined(site) as bob:
        await ann.send(said)
        with dropped(code):
            await ann.receive()
        await bob.send("still here")
        assert await bob.receive() == "Message: still here"


async def test_who_says_too_much_is_dropped_and_most_of_it_never_heard(site: Site) -> None:
    async with joined(site) as flooder, joined(site) as bob:
        for _ in range(BURST + 1):
            await flooder.send("spam")
        with dropped(1008):
            while True:
                assert await flooder.receive() == "Message: spam"
        await bob.send("last")
        heard = []
        while not heard or heard[-1] != "Message: last":
            heard.append(await bob.receive())
        assert len(heard) <= BURST


async def test_a_stop_sends_all_away_for_a_while(site: Site) -> None:
    async with joined(site) as ann, joined(site) as bob:
        site.app.extensions["quart_app"].runtime.begin_drain()
        for one in (ann, bob):
            with dropped(1012):
                await one.receive()
    with pytest.raises(WebsocketResponseError) as refused:
        async with site.app.test_client().websocket("/ws/chat") as late:
            await late.receive()
    assert refused.value.response.status_code == 503


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/ws/chat", {"X-API-Key": KEY, "Origin": "http://evil.example"}, 403),
        ("/ws/chat", {"X-API-Key": KEY, "Origin": "null"}, 403),
        ("/ws/chat", {"X-API-Key": KEY, "Cookie": "a=b"}, 403),
        ("/ws/chat", {}, 401),
        ("/ws/chat", {"X-API-Key": "wrong"}, 401),
        ("/ws/chat", {"X-API-Key": f"{KEY}-reads"}, 403),
        ("/ws/chat?x=1", {"X-API-Key": KEY}, 400),
    ],
)
async def test_a_handshake_that_may_not_come_in_is_refused(
    serve: Serve, path: str, headers: dict[str, str], status: int
) -> None:
    async with serve(api_keys=f"ann:{KEY}") as site:
        _, admin = await site.app.extensions["quart_app"].keys.add("reader", ["read"], Actor("operator"))
        if headers.get("X-API-Key", "").endswith("-reads"):
            headers = {"X-API-Key": admin}
        with pytest.raises(WebsocketResponseError) as refused:
            async with site.app.test_client().websocket(path, headers=headers) as websocket:
                await websocket.receive()
        assert refused.value.response.status_code == status
        async with joined(site, {"X-API-Key": KEY, "Origin": "http://localhost"}) as ann:
            await ann.send("hi")
            assert await ann.receive() == "Message: hi"


async def test_the_room_has_as_many_places_as_there_may_be_streams(serve: Serve) -> None:
    async with serve(max_streams=2) as site, AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(joined(site))
        with pytest.raises(WebsocketResponseError) as refused:
            async with site.app.test_client().websocket("/ws/chat") as third:
                await third.receive()
        assert refused.value.response.status_code == 503


# --- the room itself


@pytest.fixture
async def room() -> AsyncIterator[tuple[Room, Member, Member]]:
    """A room with two members that nobody writes to."""
    made, draining = Room(), asyncio.Event()
    ann, bob = made.join(draining), made.join(draining)
    yield made, ann, bob
    made.leave(ann)
    made.leave(bob)


async def heard(member: Member, count: int) -> list[str]:
    """What the member has been given, once it is so much."""
    async with asyncio.timeout(DEADLINE):
        while len(member.unheard) < count:
            member.bell.clear()
            await member.bell.wait()
    return list(member.unheard)


async def test_who_does_not_listen_is_dropped_and_nothing_is_kept_for_him(room: tuple[Room, Member, Member]) -> None:
    made, ann, bob = room
    for number in range(MAX_UNHEARD + 1):
        made.say(ann, f"{number}")
        assert await heard(ann, 1) == [f"{number}"]
        ann.unheard.clear()
    assert (bob.code, len(bob.unheard)) == (1013, 0)
    assert ann.code == 0


async def test_who_has_said_nothing_goes_before_who_has_a_lot_to_say(room: tuple[Room, Member, Member]) -> None:
    made, ann, bob = room
    for number in range(3):
        made.say(ann, f"ann {number}")
    made.say(bob, "bob")
    assert await heard(bob, 4) == ["ann 0", "bob", "ann 1", "ann 2"]


async def test_what_somebody_says_and_leaves_does_not_pile_up(room: tuple[Room, Member, Member]) -> None:
    made, ann, bob = room
    draining = asyncio.Event()
    for _ in range(1000):
        passing = made.join(draining)
        made.say(passing, "hello, and goodbye")
        made.leave(passing)
    made.say(ann, "still here")
    assert await heard(bob, 1) == ["still here"]


async def test_who_is_ahead_of_the_room_is_dropped(room: tuple[Room, Member, Member]) -> None:
    made, ann, bob = room
    for _ in range(BURST + 1):  # nothing is passed on meanwhile
        made.say(ann, "spam")
    assert (ann.code, len(ann.unsaid)) == (1008, 0)
    made.say(ann, "more")
    made.say(bob, "finally")
    assert await heard(bob, 1) == ["finally"]


async def test_an_empty_room_forgets(room: tuple[Room, Member, Member]) -> None:
    made, ann, bob = room
    made.say(ann, "said")
    made.leave(ann)
    made.leave(bob)
    assert len(made) == 0
    carl = made.join(asyncio.Event())
    made.say(carl, "first")
    assert await heard(carl, 1) == ["first"]
    made.leave(carl)


def test_the_limits_are_those_of_its_page() -> None:
    assert (MAX_BYTES, BURST, MAX_UNHEARD) == (4096, 40, 256)
    assert chat.clean("\t") == "\ufffd"
