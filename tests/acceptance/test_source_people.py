"""Users, profiles, streams and the chat of the source documents, by their own addresses, before and after a kill -9."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.acceptance.chatters import Chatter
from tests.acceptance.conftest import MakeServer
from tests.acceptance.followers import open_stream, open_websocket
from tests.acceptance.harness import Server, until
from tests.acceptance.test_source_examples import curl, curled
from tests.places import Places, document
from tests.upstream import silent

USER, POSTS, COMMENTS = {"id": 1, "name": "Leanne"}, [{"id": 1, "userId": 1}], [{"id": 9, "userId": 1}]
LOCAL = "http://localhost:8000"

# No call ends because time is up; PAUSE seconds between two numbers.
PATIENT = """
import runpy, sys
import httpx
from quart_app.web.examples import exports, users
users.TIMEOUT = 600
httpx.Timeout = lambda *_, **__: None
exports.PAUSE = PAUSE
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def upstream() -> Iterator[Places]:
    """The documents' other service."""
    with Places(
        {"/users/1": document(USER), "/users/1/posts": document(POSTS), "/users/1/comments": document(COMMENTS)}
    ) as started:
        yield started


def start(server: Server, pause: float = 0.01) -> Server:
    return server.start(prefix=("-c", PATIENT.replace("= PAUSE", f"= {pause}"))).wait_ready()


@pytest.fixture
def documented(make_server: MakeServer, upstream: Places) -> Server:
    return start(make_server(profile_url=upstream.base, simulated_add_seconds=0.5))


def test_users_profiles_exports_and_the_chat_answer_as_documented_over_a_kill(documented: Server) -> None:
    for _ in range(2):
        users = curl(documented, f"{LOCAL}/users")
        assert len(users) == 100
        assert users[6] == {"id": 7, "username": "user7", "email": "user7@example.com"}
        assert curl(documented, f"{LOCAL}/users/7") == users[6]
        assert curl(documented, f"{LOCAL}/users/101")["status"] == 404
        assert curl(documented, f"{LOCAL}/users/1/profile") == {"user": USER, "posts": POSTS, "comments": COMMENTS}
        lines = curled(documented, f"{LOCAL}/export/users.csv").splitlines()
        assert lines[:2] == ["id,name,email", "0,User0,user0@example.com"]
        assert (len(lines), lines[-1]) == (1001, "999,User999,user999@example.com")
        asyncio.run(chat(documented))
        documented.kill9()
        start(documented)


async def chat(server: Server) -> None:
    found = curl(server, f"{LOCAL}/chat")
    assert found == {"active_connections": 0, "websocket_url": f"ws://127.0.0.1:{server.port}/ws/chat"}
    ann, bob = [await Chatter(server.port).join() for _ in range(2)]
    assert curl(server, f"{LOCAL}/chat")["active_connections"] == 2
    await ann.say("Hello")
    for one in (ann, bob):
        await one.hears("Message: Hello")
        await one.go()


def test_the_stream_counts_to_99_and_its_first_event_comes_at_once(documented: Server) -> None:
    with open_stream(documented.port, "/stream") as stream:
        data = b""
        while b"data: 0\n\n" not in data:
            data += stream.recv(65536)
        assert b"text/event-stream" in data
        assert b"data: 99" not in data, "it is not kept until the end"
    whole = curled(documented, f"{LOCAL}/stream")
    assert whole == "".join(f"data: {number}\n\n" for number in range(100))


def test_who_hangs_up_ends_what_was_done_for_him(documented: Server, upstream: Places) -> None:
    documented.kill9()
    start(documented, pause=3600)
    upstream.answers = dict.fromkeys(upstream.answers, silent)
    asking = open_stream(documented.port, "/users/1/profile")
    until(lambda: upstream.open == 3, "the three calls")
    asking.close()
    until(lambda: upstream.open == 0, "the end of the calls")
    streams = [open_stream(documented.port, path) for path in ("/stream", "/export/users.csv") * 20]
    until(lambda: open_streams(documented) >= 20, "the streams")
    for one in streams:
        one.close()
    until(lambda: open_streams(documented) == 0, "the end of the streams")
    assert "Traceback" not in documented.stderr + documented.log


def open_streams(server: Server) -> int:
    text = server.client.get("/metrics").text
    return int(float(text.partition("\nquart_app_streams ")[2].split()[0]))


def test_whatever_others_wait_for_a_request_is_checked_and_answered_at_once(
    documented: Server, upstream: Places
) -> None:
    """What the notes ask of a web server: receive, validate, dispatch, answer; and update the user later."""
    upstream.answers = dict.fromkeys(upstream.answers, silent)
    with ExitStack() as opened:
        waiting: list[socket.socket] = []
        for path in ("/users/1/profile", "/stream", "/export/users.csv") * 20:
            waiting.append(opened.enter_context(open_stream(documented.port, path, small=True)))
        for _ in range(20):
            waiting.append(opened.enter_context(open_websocket(documented.port, "/ws/chat", small=True)))
        until(lambda: upstream.open == 60, "all calls of the profiles")
        post = ("-X", "POST", f"{LOCAL}/tasks/add", "-H", "Content-Type: application/json", "-d")
        assert curl(documented, *post, json.dumps({"x": "ten"}))["status"] == 422
        created = curl(documented, *post, json.dumps({"x": 10, "y": 5}))
        assert created["status"] == "pending"
        assert len(curl(documented, f"{LOCAL}/users")) == 100
        assert upstream.open == 60, "they wait still"
        assert documented.ended(created["task_id"])["result"] == 15
        documented.kill9()
    start(documented)
    assert curl(documented, f"{LOCAL}{created['status_url']}")["result"] == 15
