"""The documents of limits and queues, as types for the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from quart_app.web.openapi.shapes import Natural

Rate = Annotated[str, Meta(description="Starts and seconds, as in 100/60")]
Next = Annotated[str, Meta(description="The next page", extra_json_schema={"format": "uri-reference"})]


class DeclaredLimit(msgspec.Struct):
    rate: Rate | None
    concurrency: int | None


class OverriddenLimit(msgspec.Struct):
    rate: Annotated[str, Meta(description="As in 100/60, or off")] | None
    concurrency: int | Literal["off"] | None


class Limit(msgspec.Struct):
    """What holds, and how it is used, over all owners and keys."""

    name: str
    rate: Rate | None
    concurrency: int | None
    running: Natural
    started_in_window: Natural
    waiting: Annotated[int, Meta(ge=0, description="Tasks that it holds back")]
    held_keys: Annotated[int, Meta(ge=0, description="Values of its key for which it does")]
    declared: Annotated[DeclaredLimit, Meta(description="What the code says")]
    override: Annotated[OverriddenLimit, Meta(description="What was set by PATCH; null: nothing")]


class LimitPage(msgspec.Struct):
    limits: list[Limit]
    next: Next | None


class Queue(msgspec.Struct):
    name: str
    paused: bool
    waiting: Annotated[int, Meta(ge=0, description="Tasks that are due")]
    ready: Annotated[int, Meta(ge=0, description="Those of them that no limit and no pause holds back")]
    delayed: Annotated[int, Meta(ge=0, description="Not due yet, or asleep, or waiting for something else")]
    processing: Natural
    oldest_age: Annotated[float, Meta(ge=0, description="Seconds for which the first of them is due; 0: none is")]
    slots_wanted: Annotated[int, Meta(ge=0, description="Slots that its tasks would take now, with those that run")]
    concurrency: int | None
    rate_limit: Rate | None


class QueuePage(msgspec.Struct):
    queues: list[Queue]
    next: Next | None
