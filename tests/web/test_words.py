"""`stream-words` and its page: what is emitted comes over every way to follow a task; the page loads nothing else."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from quart_app.tasks.stream_words import TEXT
from quart_app.web.examples.words import FILES
from tests.web.conftest import Serve
from tests.web.site import DEADLINE, Site, assert_problem

SAID = "once upon\n a  time"
OUTPUT = [{"run": 1, "n": n + 1, "data": {"at": n, "word": word}} for n, word in enumerate(SAID.split())]


def frames(body: bytes) -> list[tuple[str, dict[str, Any]]]:
    """(event, data) of a text/event-stream."""
    found = re.findall(r"^event: (\w+)\ndata: (.*)$", body.decode(), re.MULTILINE)
    return [(name, json.loads(data)) for name, data in found]


async def test_words_come_over_events_the_websocket_and_the_history(site: Site) -> None:
    task = await site.run("stream-words", {"text": SAID, "delay": 0})
    assert task["result"] == {"words": 4}
    path = f"/tasks/{task['task_id']}"
    streamed = frames((await site.get(f"{path}/events")).body)
    assert [event["data"] for name, event in streamed if name == "output"] == OUTPUT
    history = (await site.get(f"{path}/history")).json
    assert [event["data"] for event in history["events"] if event["event"] == "output"] == OUTPUT
    async with asyncio.timeout(DEADLINE), site.app.test_client().websocket(f"/ws{path}") as socket:
        told = [json.loads(await socket.receive()) for _ in history["events"]]
    assert [event["data"] for event in told if event["event"] == "output"] == OUTPUT


async def test_words_come_over_the_events_of_all_tasks(site: Site) -> None:
    async with site.app.test_client().request("/events?kind=stream-words") as connection:
        await connection.send_complete()
        body = b""
        async with asyncio.timeout(DEADLINE):
            body += await connection.receive()
            task = await site.run("stream-words", {"text": SAID, "delay": 0})
            while b'"cause":"complete"' not in body:
                body += await connection.receive()
        await connection.disconnect()
    told = [event for name, event in frames(body) if name == "output"]
    assert {event["task_id"] for event in told} == {task["task_id"]}
    assert [event["data"] for event in told] == OUTPUT


async def test_without_a_text_it_says_its_own_and_keeps_a_step_for_ten_words(site: Site) -> None:
    task = await site.run("stream-words", {"delay": 0})
    history = (await site.get(f"/tasks/{task['task_id']}/history")).json
    words = [event["data"]["data"]["word"] for event in history["events"] if event["event"] == "output"]
    assert words == TEXT.split()
    assert [step["name"] for step in history["steps"]] == [f"words-{start}" for start in range(0, len(words), 10)]
    assert task["progress"] == {"done": len(words), "total": len(words), "percent": 100, "message": None}


@pytest.mark.parametrize("text", ["\x01" * 10_000, "\U0001f600" * 10_000, '"' * 10_000, " "])
async def test_whatever_is_a_text_can_be_said(site: Site, text: str) -> None:
    task = await site.run("stream-words", {"text": text, "delay": 0})
    assert task["result"] == {"words": len(text.split())}, task["error"]


@pytest.mark.parametrize("args", [{"text": ""}, {"text": "x" * 10_001}, {"delay": -0.1}, {"delay": 2.1}, {"words": 1}])
async def test_args_that_do_not_fit_start_nothing(site: Site, args: dict[str, Any]) -> None:
    assert_problem(await site.post("/tasks/stream-words", args), 422, f"/{next(iter(args))}")


async def test_the_page_may_load_its_own_files_and_nothing_else(site: Site) -> None:
    answer = await site.get("/words")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; ")
    assert "unsafe" not in policy
    page = answer.body.decode()
    assert not re.search(r"<style|style=|\son\w+=|<script>|//", page)
    assert set(re.findall(r'(?:src|href)="words/([^"]*)"', page)) == set(FILES)
    assert (await site.get("/words", {"If-None-Match": answer.headers["ETag"]})).status == 304


@pytest.mark.parametrize("name", FILES)
async def test_its_files_are_served_with_their_type(site: Site, name: str) -> None:
    answer = await site.get(f"/words/{name}")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith(FILES[name])
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "http:" not in answer.body.decode()
    assert "https:" not in answer.body.decode()


@pytest.mark.parametrize(
    "path", ["/words/words.py", "/words/words.html", "/words/..%2Fwords.py", "/words/", "/words/x"]
)
async def test_other_files_are_not_there(site: Site, path: str) -> None:
    assert (await site.get(path)).status in (400, 404)


async def test_it_goes_with_the_examples(serve: Serve) -> None:
    async with serve(examples=0) as site:
        assert (await site.get("/words")).status == 404
        assert_problem(await site.post("/tasks/stream-words", {}), 404, part="stream-words")
