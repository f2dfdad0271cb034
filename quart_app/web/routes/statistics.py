"""`GET /stats`: what happened to tasks over time, by kind or by queue."""

from __future__ import annotations

from typing import Any, Final

from quart import Blueprint, Response

from quart_app.core.statistics import WIDTHS, Figures
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import parse, render
from quart_app.web.protection.auth import require

WINDOW: Final[dict[str, parse.Reader]] = {
    "by": parse.one_of("kind", "queue"),
    "from": parse.moment,
    "to": parse.moment,
    "bucket": parse.one_of(*WIDTHS),
}


class StatisticsViews:
    def __init__(self, state: AppState) -> None:
        self._state = state

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_statistics", __name__)
        made.add_url_rule("/stats", "show", self.show)
        return made

    async def show(self) -> Response:
        """Figures over the tasks of all owners, so for callers who see those."""
        request = this_request()
        require(request, "admin")
        query = parse.query(request, WINDOW)
        by, bucket = query.get("by", "kind"), query.get("bucket", "5m")
        chart = await self._state.started.statistics.chart(by, bucket, query.get("from"), query.get("to"))
        document = {
            "by": by,
            "bucket": bucket,
            "from": render.moment(chart.first),
            "to": render.moment(chart.end),
            "counted_until": render.moment(chart.counted_until),
            "buckets": [
                {"start": render.moment(start), "figures": {one.name: _view(one) for one in rows}}
                for start, rows in chart.buckets
            ],
        }
        return render.answer(document)


def _view(one: Figures) -> dict[str, Any]:
    return {
        "started": one.started,
        "completed": one.completed,
        "failed": one.failed,
        "cancelled": one.cancelled,
        "waited_p50_ms": one.waited_p50,
        "waited_p95_ms": one.waited_p95,
        "ran_p50_ms": one.ran_p50,
        "ran_p95_ms": one.ran_p95,
    }
