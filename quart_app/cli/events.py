"""Reads the events of a task as they arrive, from the Server-Sent Events of the API."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import httpx

from quart_app.cli.connect import SLOW, Api

QUIET: Final = 40.0  # seconds without a byte after which the server counts as gone: it sends a comment every 15 s


async def events(api: Api, path: str, after: int) -> AsyncIterator[Mapping[str, Any]]:
    """Yield the events after the number `after`. It ends after the last event of an ended task, and whenever the server
    closes the stream so that the client asks again. Raises Refused, NoAnswer, Held."""
    if api.offline:  # no event will be added, and the transport in this process does not stream
        for event in (await api.call("GET", f"{path}/history")).json()["events"]:
            if event["seq"] > after:
                yield event
        return
    headers = {"Last-Event-ID": str(after)} if after else {}
    timeout = httpx.Timeout(SLOW, read=QUIET)
    try:
        async with api.client.stream("GET", f"{path}/events", headers=headers, timeout=timeout) as answer:
            if answer.status_code >= 400:
                await answer.aread()
                api.check(answer)
            async for name, data in _frames(answer):
                yield {"event": name, **json.loads(data)}
    except httpx.HTTPError as error:
        raise api.no_answer(error) from error


async def _frames(answer: httpx.Response) -> AsyncIterator[tuple[str, str]]:
    """Yield (event, data) of each frame (HTML, 9.2.6). Lines end with LF only: httpx would also split at U+2028."""
    name, data, rest = "message", "", b""
    async for piece in answer.aiter_bytes():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            field, _, value = line.decode("utf-8", "replace").rstrip("\r").partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                name = value
            elif field == "data":
                data = f"{data}\n{value}" if data else value
            elif not line.strip():
                if data:
                    yield name, data
                name, data = "message", ""
