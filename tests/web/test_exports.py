"""`/stream` and `/export/users.csv`: what is sent while it is made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from quart_app.web.examples import exports
from tests.web.conftest import Serve
from tests.web.site import DEADLINE, Site, assert_problem

PATHS = ["/stream", "/export/users.csv"]
NUMBERS = [b"data: %d\n\n" % number for number in range(100)]
FILE = "id,name,email\n" + "".join(f"{n},User{n},user{n}@example.com\n" for n in range(1000))


@asynccontextmanager
async def asked(site: Site, path: str) -> AsyncIterator[Any]:
    async with site.app.test_client().request(path) as connection:
        await connection.send_complete()
        async with asyncio.timeout(DEADLINE):
            yield connection


def open_streams(site: Site) -> int:
    count: int = site.app.extensions["quart_app"].runtime.streams.open
    return count


async def test_the_numbers_are_events_and_then_it_ends(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "PAUSE", 0)
    answer = await site.get("/stream")
    assert (answer.status, answer.body) == (200, b"".join(NUMBERS))
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store"
    assert open_streams(site) == 0


async def test_the_first_number_comes_at_once_and_a_client_that_leaves_ends_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "PAUSE", 3600)
    async with asked(site, "/stream") as connection:
        assert await connection.receive() == NUMBERS[0]
        assert open_streams(site) == 1
        await connection.disconnect()
    assert open_streams(site) == 0


async def test_a_stop_ends_the_numbers(site: Site) -> None:
    async with asked(site, "/stream") as connection:
        first = await connection.receive()
        site.app.extensions["quart_app"].runtime.begin_drain()
    body = first + bytes(connection.response_data)  # all of it: leaving waits for the end
    assert body != b"".join(NUMBERS)
    assert b"".join(NUMBERS).startswith(body)


async def test_the_file_is_the_documents_and_safe_to_open(site: Site) -> None:
    answer = await site.get("/export/users.csv")
    assert (answer.status, answer.body.decode()) == (200, FILE)
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == "attachment; filename=users.csv"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Connection"] == "close"
    assert open_streams(site) == 0


async def test_the_file_comes_in_pieces_its_head_first(site: Site) -> None:
    async with asked(site, "/export/users.csv") as connection:
        assert await connection.receive() == b"id,name,email\n"
        assert await connection.receive() == "".join(FILE.splitlines(True)[1:101]).encode()
        await connection.disconnect()
    assert open_streams(site) == 0


@pytest.mark.parametrize("path", PATHS)
async def test_a_head_has_the_headers_and_counts_no_stream(serve: Serve, path: str) -> None:
    async with serve(max_streams=1) as site:
        answer = await site.request("HEAD", path)
        assert (answer.status, answer.body) == (200, b"")
        assert "text/" in answer.headers["Content-Type"]


@pytest.mark.parametrize("path", PATHS)
async def test_they_count_against_the_streams_and_start_none_at_a_stop(serve: Serve, path: str) -> None:
    async with serve(max_streams=1) as site:
        async with asked(site, "/stream") as connection:
            await connection.receive()
            assert assert_problem(await site.get(path), 503)["type"].endswith("too-many-streams")
            await connection.disconnect()
        assert_problem(await site.get(f"{path}?x=1"), 400)
        site.app.extensions["quart_app"].runtime.begin_drain()
        assert assert_problem(await site.get(path), 503)["type"].endswith("draining")
