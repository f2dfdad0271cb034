"""The documents of tasks that wait, as types for the OpenAPI document."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from quart_app.core.error_groups import PATTERN
from quart_app.core.explanation import Reason
from quart_app.web.openapi.shapes import Moment, Url


class WaitingTask(msgspec.Struct):
    task_id: uuid.UUID
    kind: str
    signal: str
    since: Moment
    timeout_at: Moment | None
    links: list[dict[str, Any]]


class WaitingPage(msgspec.Struct):
    tasks: list[WaitingTask]
    next: Annotated[str, Meta(description="The next page", extra_json_schema={"format": "uri-reference"})] | None


class KeptSignal(msgspec.Struct):
    task_id: uuid.UUID
    signal: str
    status_url: Url


class LimitOfTask(msgspec.Struct):
    name: str
    until: Annotated[Moment, Meta(description="When its rate allows the next start")] | None
    running: Annotated[int, Meta(ge=0)]
    allowed: Annotated[int, Meta(ge=1, description="Tasks that may run at once")] | None


class Explained(msgspec.Struct):
    task_id: uuid.UUID
    reason: Reason
    text: str
    position: int | Literal["1000+"] | None
    limits: list[LimitOfTask]
    expected_start: Moment | None
    expected_end: Moment | None
    based_on: int | None


class StackFrame(msgspec.Struct):
    file: Annotated[str, Meta(description="Relative to where Python imports from, else the name alone")]
    line: Annotated[int, Meta(ge=0)]
    function: str
    code: Annotated[str, Meta(description="The text of the line; empty when its file is not there")]


class Stack(msgspec.Struct):
    at: Moment
    frames: list[StackFrame]


class Matching(msgspec.Struct):
    matching: Annotated[int, Meta(ge=0)]


class ErrorGroup(msgspec.Struct):
    fingerprint: Annotated[str, Meta(pattern=f"^{PATTERN}$")]
    kind: str
    type: str
    message: Annotated[str, Meta(description="Of the newest of these tasks")]
    place: (
        Annotated[str, Meta(description="In the handler's own code; null when the error came from nowhere there")]
        | None
    )
    count: Annotated[int, Meta(ge=1)]
    first_seen: Moment
    last_seen: Moment
    task_id: Annotated[uuid.UUID, Meta(description="The newest of them")]


class ErrorPage(msgspec.Struct):
    errors: list[ErrorGroup]
    next: Annotated[str, Meta(description="The next page", extra_json_schema={"format": "uri-reference"})] | None
