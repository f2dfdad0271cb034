"""Document 003, the async task examples: every address it shows, before and after a kill -9."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest

from tests.acceptance.chatters import Chatter
from tests.acceptance.conftest import MakeServer
from tests.acceptance.documents import LOCAL, answer, curl, start_patient
from tests.acceptance.harness import Server, until
from tests.places import Places, document
from tests.upstream import closed_port

pytestmark = pytest.mark.once

USER, POSTS, COMMENTS = {"id": 1, "name": "Leanne"}, [{"id": 1, "userId": 1}], [{"id": 9, "userId": 1}]
EMAIL = {"to": "user@example.com", "subject": "Hello", "body": "This is a test email"}


def created(server: Server, kind: str, args: Any, query: str = "") -> dict[str, Any]:
    """The 202 to the document's POST."""
    json_line = ("-H", "Content-Type: application/json", "-d", json.dumps(args))
    made = answer(server, "-X", "POST", f"{LOCAL}/tasks/{kind}{query}", *json_line)
    found: dict[str, Any] = made.json
    assert (made.status, found["status"]) == (202, "pending")
    assert found["status_url"] == f"/tasks/{found['task_id']}"
    return found


# --- tasks


def test_a_mail_is_asked_for_until_it_is_sent_over_a_kill(make_server: MakeServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:  # it takes connections and never says a word
        server = make_server(smtp_url=f"smtp://127.0.0.1:{mute.getsockname()[1]}").start().wait_ready()
        made = created(server, "send-email", EMAIL)
        assert made["message"] == "Email task created"
        address = f"{LOCAL}/tasks/{made['task_id']}"
        until(lambda: curl(server, address)["status"] == "processing", "the beginning")
        begun = curl(server, address)
        assert (begun["completed_at"], begun["result"]) == (None, None)
        server.kill9()

    server.environment["QUART_APP_SMTP_URL"] = ""
    server.start().wait_ready()
    server.ended(made["task_id"])
    task = curl(server, address)
    assert (task["task_id"], task["status"]) == (made["task_id"], "completed")
    assert begun["created_at"] == task["created_at"] <= task["completed_at"]
    result = task["result"]
    assert (result["sent_to"], result["subject"]) == (EMAIL["to"], EMAIL["subject"])
    assert result["sent_at"]
    (path,) = (server.data / "outbox").iterdir()
    mail = message_from_bytes(path.read_bytes(), policy=default)
    assert (mail["To"], mail["Subject"]) == (EMAIL["to"], EMAIL["subject"])
    assert made["task_id"] in mail["Message-ID"]
    assert EMAIL["body"] in mail.get_content()


def test_a_task_that_fails_says_why_and_one_that_is_none_is_not_found_over_a_kill(make_server: MakeServer) -> None:
    with closed_port() as url:
        server = make_server(smtp_url=url.removesuffix("/fact").replace("http", "smtp")).start().wait_ready()
        task_id = created(server, "send-email", EMAIL, "?max_attempts=1")["task_id"]
        server.ended(task_id)
        for _ in range(2):
            task = curl(server, f"{LOCAL}/tasks/{task_id}")
            assert (task["status"], task["result"]) == ("failed", None)
            assert task["error"]["message"]
            unknown = answer(server, f"{LOCAL}/tasks/task_1")
            assert (unknown.status, unknown.media) == (404, "application/problem+json")
            assert (unknown.json["status"], unknown.json["error"]) == (404, "Task not found")
            server.kill9()
            server.start().wait_ready()


def test_reports_are_made_over_a_kill(make_server: MakeServer) -> None:
    server = make_server().start().wait_ready()
    with_filters = created(server, "generate-report", {"report_type": "tasks", "filters": {}})
    without = created(server, "generate-report", {"report_type": "users"})
    server.kill9()

    server.start().wait_ready()
    for made, report_type in ((with_filters, "tasks"), (without, "users")):
        server.ended(made["task_id"])
        task = curl(server, f"{LOCAL}/tasks/{made['task_id']}")
        assert (task["status"], task["result"]["report_type"]) == ("completed", report_type)
        assert task["result"]["file_url"] == f"/reports/{report_type}-{made['task_id']}.pdf"
        file = server.client.get(task["result"]["file_url"])
        assert file.headers["Content-Type"] == "application/pdf"
        assert file.content.startswith(b"%PDF-")


def test_the_hourly_and_the_five_minute_task_are_planned_and_work_over_a_kill(make_server: MakeServer) -> None:
    server = make_server().start().wait_ready()
    for life in (1, 2):
        plans = {one["name"]: one for one in curl(server, f"{LOCAL}/schedules")["schedules"]}
        assert {name: plan["cron"] for name, plan in plans.items()} == {
            "cleanup": "0 * * * *",
            "stats-update": "*/5 * * * *",
        }
        for name, plan in plans.items():
            assert plan["next_at"] and not plan["paused"]
            made = curl(server, "-X", "POST", f"{LOCAL}/schedules/{name}/trigger")
            assert server.ended(made["task_id"])["status"] == "completed"
        counted = curl(server, f"{LOCAL}/status")["statistics"]["kinds"]
        assert counted["cleanup"]["tasks"]["completed"] == life
        health = curl(server, f"{LOCAL}/health")
        assert health["status"] == "healthy"
        assert health["timestamp"]
        server.kill9()
        server.start().wait_ready()


# --- users, streams, the chat


@pytest.fixture
def upstream() -> Iterator[Places]:
    """The document's other service."""
    parts = {"/users/1": USER, "/users/1/posts": POSTS, "/users/1/comments": COMMENTS}
    with Places({path: document(part) for path, part in parts.items()}) as started:
        yield started


def test_users_profiles_streams_and_the_chat_over_a_kill(make_server: MakeServer, upstream: Places) -> None:
    server = make_server(profile_url=upstream.base)
    for _ in range(2):
        start_patient(server)
        users = curl(server, f"{LOCAL}/users")
        assert len(users) == 100
        assert users[6] == {"id": 7, "username": "user7", "email": "user7@example.com"}
        assert curl(server, f"{LOCAL}/users/7") == users[6]
        unknown = answer(server, f"{LOCAL}/users/101")
        assert (unknown.status, unknown.json["error"]) == (404, "User not found")
        assert curl(server, f"{LOCAL}/users/1/profile") == {"user": USER, "posts": POSTS, "comments": COMMENTS}
        stream = answer(server, f"{LOCAL}/stream")
        numbers = "".join(f"data: {number}\n\n" for number in range(100))
        assert (stream.status, stream.media, stream.text) == (200, "text/event-stream", numbers)
        table = answer(server, f"{LOCAL}/export/users.csv")
        rows = "".join(f"{number},User{number},user{number}@example.com\n" for number in range(1000))
        assert (table.status, table.media, table.text) == (200, "text/csv", f"id,name,email\n{rows}")
        asyncio.run(chat(server))
        server.kill9()


async def chat(server: Server) -> None:
    found = curl(server, f"{LOCAL}/chat")
    assert found == {"active_connections": 0, "websocket_url": f"ws://127.0.0.1:{server.port}/ws/chat"}
    ann, bob = [await Chatter(server.port).join() for _ in range(2)]
    assert curl(server, f"{LOCAL}/chat")["active_connections"] == 2
    await ann.say("Hello")
    for one in (ann, bob):
        await one.hears("Message: Hello")
        await one.go()


# --- the limit of a client


def test_a_user_has_a_hundred_calls_an_hour_and_a_kill_forgives_none(make_server: MakeServer) -> None:
    server = make_server().start().wait_ready()
    assert "data" in curl(server, "-H", "X-User-ID: ann", f"{LOCAL}/api/data")
    assert calls(server, "ann", 59) == [200] * 59
    server.kill9()

    server.start().wait_ready()
    assert calls(server, "ann", 50) == [200] * 40 + [429] * 10
    refused = server.client.get("/api/data", headers={"X-User-ID": "ann"})
    assert refused.json()["status"] == 429
    assert refused.headers["RateLimit-Policy"] == '"api-data";q=100;w=3600'
    assert 0 < int(refused.headers["Retry-After"]) <= 3600
    assert answer(server, "-H", "X-User-ID: bob", f"{LOCAL}/api/data").status == 200
    assert answer(server, f"{LOCAL}/api/data").status == 400


def calls(server: Server, user: str, times: int) -> list[int]:
    """The statuses of the answers; asked at once."""
    with ThreadPoolExecutor(8) as pool:
        get = server.client.get
        return sorted(pool.map(lambda _: get("/api/data", headers={"X-User-ID": user}).status_code, range(times)))
