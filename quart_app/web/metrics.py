"""`GET /metrics`, and what counts requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from prometheus_client import CONTENT_TYPE_LATEST
from quart import Blueprint, Request, Response

from quart_app import logs
from quart_app.core.errors import StoreUnavailable
from quart_app.metrics import Figures, Metrics, busiest
from quart_app.web import parse
from quart_app.web.auth import caller
from quart_app.web.door import Door, this_request

if TYPE_CHECKING:
    from quart_app.runtime import Runtime

PATIENCE: Final = 1.0  # seconds that an answer waits for the store


class MetricsViews:
    def __init__(self, door: Door, metrics: Metrics, lag: Callable[[], float]) -> None:
        self._door = door
        self._metrics = metrics
        self._lag = lag

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_metrics", __name__)
        made.add_url_rule("/metrics", "metrics", self.show)
        return made

    async def show(self) -> Response:
        """200 whatever state the store is in: what cannot be read is left out. Who does not see everybody's tasks is
        not told how many there are, as in `/status`."""
        request = this_request()
        parse.query(request, {})
        of_all = caller(request).sees is None
        text = self._metrics.text(await self._figures(self._door.started), of_all)
        return Response(text, content_type=CONTENT_TYPE_LATEST)

    async def _figures(self, runtime: Runtime) -> Figures:
        single: dict[str, float] = {
            "quart_app_store_up": 0,
            "quart_app_log_lines_dropped_total": logs.dropped(),
            "quart_app_slots": runtime.settings.concurrency,
            "quart_app_slots_used": runtime.dispatcher.running,
            "quart_app_streams": runtime.streams.open,
            "quart_app_abandoned_handlers": len(runtime.runner.lingering),
            "quart_app_refused_writes_total": runtime.runner.refused_writes,
            "quart_app_refused_keys_total": runtime.audit_log.refused,
            "quart_app_event_loop_lag_seconds": self._lag(),
        }
        figures = Figures(single=single)
        service = runtime.service
        try:
            async with asyncio.timeout(PATIENCE):
                figures.counts = await service.counts()
                figures.oldest = await service.oldest(busiest(figures.counts))
                health = await service.store_health()
        except (StoreUnavailable, TimeoutError):
            return figures
        for name in ("commits", "rows"):
            single[f"quart_app_store_{name}_total"] = float(health[name])
        for name in ("waiting_rows", "database_bytes", "wal_bytes"):
            single[f"quart_app_store_{name}"] = float(health[name])
        single["quart_app_store_up"] = 1
        return figures


def start_watch(request: Request) -> None:
    """Before anything else that is done for a request."""
    request.scope["quart_app.started"] = time.perf_counter()  # type: ignore[typeddict-unknown-key]


def count(request: Request, response: Response, metrics: Metrics) -> None:
    """After it: count a request whose watch was started."""
    started: float | None = request.scope.get("quart_app.started")  # type: ignore[assignment]
    if started is not None:
        rule = request.url_rule
        seconds = time.perf_counter() - started
        metrics.request_answered(rule.rule if rule else None, request.method, response.status_code, seconds)
