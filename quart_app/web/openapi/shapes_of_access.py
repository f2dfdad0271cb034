"""Shapes of answers about keys and recorded acts, for the OpenAPI document alone."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from quart_app.web.openapi.shapes import Moment


class RevokedKey(msgspec.Struct):
    name: str
    cancelled: Annotated[int, Meta(description="Tasks; running ones are asked to end")]


class Act(msgspec.Struct):
    at: Moment
    act: str
    actor: Annotated[str, Meta(description="key:NAME, operator, or local")] | None
    peer: str | None
    target: str | None
    detail: str
    times: Annotated[int, Meta(description="Of refused keys: how many in this minute")]
    last_at: Moment


class Acts(msgspec.Struct):
    acts: list[Act]
    next: str | None
