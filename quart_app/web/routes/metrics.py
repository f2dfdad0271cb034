"""`GET /metrics`, and the functions that count requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from prometheus_client import CONTENT_TYPE_LATEST
from quart import Blueprint, Request, Response

from quart_app.core.errors import StoreUnavailable
from quart_app.process import logs
from quart_app.process.metrics import Figures, Metrics, busiest
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import parse
from quart_app.web.protection.auth import caller

if TYPE_CHECKING:
    from quart_app.runtime import Runtime

PATIENCE: Final = 1.0  # seconds that an answer waits for the store


class MetricsViews:
    def __init__(self, state: AppState, metrics: Metrics, lag: Callable[[], float]) -> None:
        self._state = state
        self._metrics = metrics
        self._lag = lag

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_metrics", __name__)
        made.add_url_rule("/metrics", "metrics", self.show)
        return made

    async def show(self) -> Response:
        """Answers 200 in every state of the store: what cannot be read is left out. A caller that does not see the
        tasks of all owners gets no counts over them, as in `/status`."""
        request = this_request()
        parse.query(request, {})
        of_all = caller(request).sees is None
        text = self._metrics.text(await self._figures(self._state.started), of_all)
        return Response(text, content_type=CONTENT_TYPE_LATEST)

    async def _figures(self, runtime: Runtime) -> Figures:
        single: dict[str, float] = {
            "quart_app_store_up": 0,
            "quart_app_log_lines_dropped_total": logs.dropped(),
            "quart_app_slots": runtime.settings.concurrency,
            "quart_app_slots_used": runtime.dispatcher.running,
            "quart_app_streams": runtime.streams.open,
            "quart_app_disk_free_bytes": runtime.disk.free or 0,
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
                figures.suspended = await runtime.family.suspended()
                held = await runtime.claim_limits.held()
                health = await service.store_health()
        except (StoreUnavailable, TimeoutError):
            return figures
        for name, value in zip(("held_tasks", "paused_queues", "paused_kinds"), held, strict=True):
            single[f"quart_app_{name}"] = value
        for name in ("commits", "rows"):
            single[f"quart_app_store_{name}_total"] = float(health[name])
        for name in ("waiting_rows", "database_bytes", "wal_bytes"):
            single[f"quart_app_store_{name}"] = float(health[name])
        single["quart_app_store_up"] = 1
        return figures


def start_watch(request: Request) -> None:
    """Note the start time of a request. Call it before anything else is done for the request."""
    request.scope["quart_app.started"] = time.perf_counter()  # type: ignore[typeddict-unknown-key]


def count(request: Request, response: Response, metrics: Metrics) -> None:
    """Count a request for which `start_watch` was called. Call it after the request."""
    started: float | None = request.scope.get("quart_app.started")  # type: ignore[assignment]
    if started is not None:
        rule = request.url_rule
        seconds = time.perf_counter() - started
        metrics.request_answered(rule.rule if rule else None, request.method, response.status_code, seconds)
