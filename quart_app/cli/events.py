"""Reads the events of a task as they arrive, from the Server-Sent Events of the API."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import httpx

from quart_app.cli.connect import SLOW, Api
from quart_app.client.frames import Frames

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
            frames = Frames()
            async for piece in answer.aiter_bytes():
                for frame in frames.take(piece):
                    yield {"event": frame.event, **json.loads(frame.data)}
    except httpx.HTTPError as error:
        raise api.no_answer(error) from error
