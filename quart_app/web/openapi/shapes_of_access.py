"""Shapes of answers about keys and recorded acts, for the OpenAPI document alone."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from quart_app.core.keys import Scope
from quart_app.core.quotas import Quotas
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


class Key(msgspec.Struct):
    name: str
    scopes: list[Scope]
    created_at: Moment | None
    revoked_at: Moment | None
    last_used_at: Annotated[Moment, Meta(description="To the minute")] | None
    source: Annotated[str, Meta(description="settings or store")]
    kinds: Annotated[list[str], Meta(description="Those that it may start; null: all")] | None
    expires_at: Moment | None
    old_until: Annotated[Moment, Meta(description="How long the secret before the rotation is good")] | None
    quotas: Annotated[Quotas, Meta(description="Its own; for the others the settings hold")] | None


class Keys(msgspec.Struct):
    keys: list[Key]


class AddedKey(msgspec.Struct):
    name: str
    scopes: list[Scope]
    key: Annotated[str, Meta(description="Shown here and never again")]
    kinds: list[str] | None
    quotas: Quotas | None
    expires_at: Moment | None
    old_until: Moment | None
