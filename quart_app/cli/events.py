"""The events of a task, as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from quart_app.cli.reach import Api


async def events(api: Api, path: str, after: int) -> AsyncIterator[Mapping[str, Any]]:
    """The events after that number. It ends after the last one of an ended task, and whenever the server wants to be
    asked again. Raises Refused, NoAnswer."""
    if not api.offline:
        await api.call("GET", path, wait=1, params={"wait": "1"})
    for event in (await api.call("GET", f"{path}/history")).json()["events"]:
        if event["seq"] > after:
            yield event
