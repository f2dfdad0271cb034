"""The doors of the streams: what is refused, where a stream begins and ends, how many there may be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest
from quart.testing.connections import WebsocketResponseError

from quart_app.core.errors import TooManyStreams
from quart_app.service.streams import MAX_OF_ONE, Streams
from tests.clock import VirtualClock
from tests.web.conftest import Serve
from tests.web.site import DEADLINE, Site, assert_problem


@asynccontextmanager
async def streaming(site: Site, path: str) -> AsyncIterator[Any]:
    """An open stream whose first chunk has come."""
    async with site.app.test_client().request(path) as connection:
        await connection.send_complete()
        async with asyncio.timeout(DEADLINE):
            assert b"retry: " in await connection.receive()
        yield connection
        await connection.disconnect()


def open_streams(site: Site) -> int:
    count: int = site.app.extensions["quart_app"].runtime.streams.open
    return count


async def test_a_stream_of_an_ended_task_tells_it_all_and_ends(site: Site) -> None:
    task = await site.run("fail-twice")
    answer = await site.get(f"/tasks/{task['task_id']}/events")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Accel-Buffering"] == "no"
    history = (await site.get(f"/tasks/{task['task_id']}/history")).json["events"]
    frames = answer.body.decode().strip().split("\n\n")[1:]
    assert [frame.splitlines()[:2] for frame in frames] == [
        [f"id: {one['seq']}", f"event: {one['event']}"] for one in history
    ]
    assert open_streams(site) == 0


@pytest.mark.parametrize("how", ["after", "header", "both"])
async def test_a_stream_goes_on_after_the_event_that_is_named(site: Site, how: str) -> None:
    task = await site.run("echo")
    path, headers = f"/tasks/{task['task_id']}/events", {}
    if how != "header":
        path += "?after=" + ("1" if how == "both" else "2")
    if how != "after":
        headers["Last-Event-ID"] = "2"
    answer = await site.get(path, headers)
    assert [line for line in answer.body.splitlines() if line.startswith(b"id:")] == [b"id: 3"]


@pytest.mark.parametrize("after", ["3", "4", "999999999999999999"])
async def test_whoever_knows_all_of_an_ended_task_is_told_to_stop_asking(site: Site, after: str) -> None:
    task = await site.run("echo")
    answer = await site.get(f"/tasks/{task['task_id']}/events", {"Last-Event-ID": after})
    assert (answer.status, answer.body) == (204, b"")
    assert open_streams(site) == 0


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", "1e3", "0x1", "٣", "1_0", " 1", "9" * 19, "1" * 5000, "null"])
async def test_a_number_that_is_none_is_refused(site: Site, text: str) -> None:
    task_id = await site.make("echo")
    for path in ("/events", f"/tasks/{task_id}/events"):
        assert_problem(await site.get(f"{path}?after={quote(text)}"), 400)
        if text.isascii() and text.strip() == text:
            assert_problem(await site.get(path, {"Last-Event-ID": text}), 400)


@pytest.mark.parametrize("query", ["kind=UPPER", "status=running", "owner=ann", "after=1&after=2"])
async def test_a_filter_that_is_none_is_refused(site: Site, query: str) -> None:
    assert_problem(await site.get(f"/events?{query}"), 400)


async def test_head_opens_no_stream(site: Site) -> None:
    task_id = await site.make("echo")
    for path in ("/events", f"/tasks/{task_id}/events"):
        answer = await site.request("HEAD", path)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
    assert open_streams(site) == 0


async def test_an_unknown_task_has_no_stream(site: Site) -> None:
    assert_problem(await site.get("/tasks/nope/events"), 404)
    with pytest.raises(WebsocketResponseError) as refused:
        async with site.app.test_client().websocket("/ws/tasks/nope") as websocket:
            await websocket.receive()
    assert refused.value.response.status_code == 404


async def test_past_the_limit_streams_are_refused_until_one_ends(serve: Serve) -> None:
    async with serve(max_streams=2) as site:
        task_id = await site.held()
        async with streaming(site, "/events"), streaming(site, f"/tasks/{task_id}/events"):
            assert open_streams(site) == 2
            for path in ("/events", f"/tasks/{task_id}/events"):
                answer = await site.get(path)
                assert_problem(answer, 503, part="limit is 2")
                assert answer.headers["Retry-After"] == "5"
            with pytest.raises(WebsocketResponseError) as refused:
                async with site.app.test_client().websocket(f"/ws/tasks/{task_id}") as websocket:
                    await websocket.receive()
            assert refused.value.response.status_code == 503
        async with streaming(site, "/events"):
            assert open_streams(site) == 1
        site.open_gate("hold")


def test_one_named_caller_has_a_limit_of_its_own() -> None:
    streams = Streams(2000, VirtualClock())
    for _ in range(MAX_OF_ONE):
        last = streams.enter("ann", None)
        streams.enter("", None)
    with pytest.raises(TooManyStreams):
        streams.enter("ann", None)
    streams.enter("bob", None)
    streams.enter("", None)
    streams.leave(last)
    streams.enter("ann", None)
    assert streams.open == 2 * MAX_OF_ONE + 2


async def test_a_quiet_stream_has_a_comment_and_a_task_that_is_gone_ends_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quart_app.web.routes.events.HEARTBEAT", 0.01)
    async with streaming(site, "/events") as connection:
        async with asyncio.timeout(DEADLINE):
            assert (await connection.receive()).startswith(b":\n\nid: ")


async def test_a_stream_lives_only_so_long_and_says_when_to_come_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quart_app.web.routes.events.MAX_LIFE", 0.01)
    monkeypatch.setattr("quart_app.web.routes.events.JITTER", 0)
    answer = await site.get("/events")
    assert answer.status == 200
    assert answer.body.count(b"retry: ") == 2


async def test_a_websocket_tells_the_same_and_closes(site: Site) -> None:
    task = await site.run("echo")
    async with site.app.test_client().websocket(f"/ws/tasks/{task['task_id']}?after=1") as websocket:
        found = [await websocket.receive_json() for _ in range(2)]
    history = (await site.get(f"/tasks/{task['task_id']}/history")).json["events"]
    assert found == history[1:]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost.evil.example", "https://"])
async def test_a_websocket_of_another_site_is_refused(site: Site, origin: str) -> None:
    task_id = await site.make("echo")
    with pytest.raises(WebsocketResponseError) as refused:
        async with site.app.test_client().websocket(f"/ws/tasks/{task_id}", headers={"Origin": origin}) as websocket:
            await websocket.receive()
    assert refused.value.response.status_code == 403


async def test_open_streams_are_counted_in_the_metrics(site: Site) -> None:
    async with streaming(site, "/events"), streaming(site, "/events"):
        assert b"quart_app_streams 2.0\n" in (await site.get("/metrics")).body
