"""`/health`, `/ready` and `/status`: whether the server is alive and ready, and its counts. None of these starts
anything."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any, Final

from quart import Blueprint, Response

from quart_app.core.errors import StoreUnavailable
from quart_app.core.keys import Caller
from quart_app.core.task import STATUSES, TERMINAL, Count
from quart_app.core.version import __version__
from quart_app.process.metrics import OTHER, busiest
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import parse, render
from quart_app.web.messages.problems import problem
from quart_app.web.protection.auth import caller

# The members of /status that are about the tasks of all owners together.
OF_ALL: Final = ("tasks", "queues", "waiting", "slots", "disk", "abandoned_handlers", "refused_writes", "statistics")


class HealthViews:
    def __init__(self, state: AppState) -> None:
        self._state = state

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_health", __name__)
        made.add_url_rule("/health", "health", self.health)
        made.add_url_rule("/ready", "ready", self.ready)
        made.add_url_rule("/status", "status", self.status)
        return made

    async def health(self) -> Response:
        """200 while the process serves. 503 when too many handlers ignore their cancel: a restart frees them."""
        runtime = self._state.runtime
        if runtime is not None and not runtime.runner.healthy:
            detail = "too many handlers ignore their cancel; restart it"
            return problem(503, "unhealthy", "Unhealthy", detail)
        now = runtime.clock.now() if runtime is not None else None
        return render.answer({"status": "healthy", "timestamp": render.moment(now)})

    async def ready(self) -> Response:
        runtime = self._state.runtime
        reason = ""
        if runtime is None or not runtime.recovered:
            reason = "starting"
        elif runtime.draining.is_set():
            reason = "draining"
        else:
            try:
                await runtime.service.store_health()
            except StoreUnavailable as error:
                reason = str(error)
        if reason:
            return problem(503, "not-ready", "Not ready", reason, headers={"Retry-After": "1"})
        assert runtime is not None
        return render.answer({"status": "ready", "timestamp": render.moment(runtime.clock.now())})

    async def status(self) -> Response:
        request = this_request()
        parse.query(request, {})
        service = self._state.service
        runtime = self._state.runtime
        assert runtime is not None
        counts = await service.counts()
        state = "draining" if runtime.draining.is_set() else "idle" if runtime.idle else "running"
        return _shown(
            caller(request),
            {
                "status": state,
                "timestamp": render.moment(runtime.clock.now()),
                "tasks": {name: sum(one.n for one in counts if one.status == name) for name in STATUSES},
                "queues": _queues(counts),
                "waiting": sum(one.n for one in counts if one.ready),
                "slots": {"running": runtime.dispatcher.running, "total": runtime.settings.concurrency},
                "disk": {"free": runtime.disk.free, "floor": runtime.settings.disk_floor},
                "abandoned_handlers": len(runtime.runner.lingering),
                "refused_writes": runtime.runner.refused_writes,
                "statistics": render.raw(await runtime.maintenance.statistics()),
                "uptime_seconds": round(runtime.clock.monotonic() - runtime.started_at, 1),
                "versions": _versions(service.store_version),
                "worker_info": worker_info(),
            },
        )


def _shown(asking: Caller, document: dict[str, Any]) -> Response:
    """The document for this caller. A caller that does not see the tasks of all owners gets no counts over them."""
    hidden = OF_ALL if asking.sees is not None else ()
    return render.answer({name: value for name, value in document.items() if name not in hidden})


def worker_info() -> dict[str, Any]:
    return {"pid": os.getpid(), "worker_class": "asyncio"}


def _queues(counts: list[Count]) -> dict[str, dict[str, int]]:
    """Counts of the queues with the most tasks that have not ended, in that order; the other queues together."""
    queues = {name: {"waiting": 0, "delayed": 0, "processing": 0} for name in busiest(counts)}
    for one in counts:
        if one.status in TERMINAL:
            continue
        shown = queues.get(one.queue)
        if shown is None:
            shown = queues.setdefault(OTHER, {"waiting": 0, "delayed": 0, "processing": 0})
        shown["processing" if one.status == "processing" else "waiting" if one.ready else "delayed"] += one.n
    return queues


def _versions(sqlite: str) -> dict[str, str]:
    names = ("quart", "hypercorn", "aiosqlite")
    return {
        "quart_app": __version__,
        "python": platform.python_version(),
        "sqlite": sqlite,
        **{name: metadata.version(name) for name in names},
    }
