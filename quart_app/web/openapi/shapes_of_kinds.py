"""What `GET /kinds` answers, as types."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from quart_app.core.unique import OnDuplicate


class KindOptions(msgspec.Struct):
    """Defaults of the kind's tasks; times in seconds."""

    queue: str
    priority: int
    max_attempts: int
    backoff: Annotated[tuple[float, float, float], Meta(description="First, factor, cap; with full jitter")]
    timeout: float
    expires: float | None
    retention: float | None
    unique: Annotated[bool | list[str], Meta(description="true: all args make the unique key; or these")]
    on_duplicate: OnDuplicate | None
    debounce: float | None


class KindLimit(msgspec.Struct):
    """As the code declares it; `GET /limits` has what holds."""

    name: str
    key: Annotated[str, Meta(description="The arg whose values have a limit each")] | None
    rate: Annotated[str, Meta(description="Starts and seconds, as in 100/60")] | None
    concurrency: int | None


class Kind(msgspec.Struct):
    kind: str
    description: str
    executor: Annotated[str, Meta(description="async, thread or process")]
    args_schema: Annotated[dict[str, Any], Meta(description="JSON Schema 2020-12")]
    options: KindOptions
    limits: list[KindLimit]
    paused: bool


class Kinds(msgspec.Struct):
    kinds: list[Kind]
