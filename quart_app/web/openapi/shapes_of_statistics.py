"""Shapes of the answer about figures over time, for the OpenAPI document alone."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from quart_app.core.statistics import By, Width
from quart_app.web.openapi.shapes import Moment, Natural


class BucketFigures(msgspec.Struct):
    started: Annotated[int, Meta(ge=0, description="Attempts")]
    completed: Natural
    failed: Natural
    cancelled: Natural
    waited_p50_ms: Natural | None
    waited_p95_ms: Annotated[int, Meta(ge=0, description="From when it could start to its start")] | None
    ran_p50_ms: Natural | None
    ran_p95_ms: Annotated[int, Meta(ge=0, description="Of runs that ended a task")] | None


class StatisticsBucket(msgspec.Struct):
    start: Moment
    figures: Annotated[dict[str, BucketFigures], Meta(description="By name; `other`: those beyond 50")]


class Chart(msgspec.Struct, rename={"since": "from", "until": "to"}):
    by: By
    bucket: Width
    since: Moment
    until: Moment
    counted_until: Annotated[Moment, Meta(description="What happened later may be missing")] | None
    buckets: list[StatisticsBucket]
