"""`/` and `/hello`: every visit starts an audit task in the background and is answered at once."""

from __future__ import annotations

from typing import Any

from quart import Blueprint, Response

from quart_app.service import EnqueueOptions, TaskRequest
from quart_app.web import render
from quart_app.web.auth import caller
from quart_app.web.door import Door, this_request
from quart_app.web.guard import may_start_work
from quart_app.web.health import worker_info

ENDPOINTS = {
    "/": "this page (starts an audit task)",
    "/hello": "a greeting (starts an audit task)",
    "/status": "what the server is doing",
    "/start/<x>/<y>": "start adding two integers",
    "/status/<task_id>": "how a task is doing",
    "/cat_async_limited/<n>": "n cat facts, never faster than their source allows",
    "/api/data": "so many calls an hour for each X-User-ID",
    "/tasks/<kind>": "POST args to start a task",
    "/uploads": "POST a file for a task",
    "/tasks/<task_id>": "the task",
    "/kinds": "what can be started",
    "/docs": "this API, to read and to try",
    "/health": "is it alive",
}


class VisitViews:
    def __init__(self, door: Door) -> None:
        self._door = door

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_visits", __name__)
        made.add_url_rule("/", "root", self.root)
        made.add_url_rule("/hello", "hello", self.hello)
        return made

    async def root(self) -> Response:
        return await self._visit({"message": "Welcome to quart_app, a durable task service", "endpoints": ENDPOINTS})

    async def hello(self) -> Response:
        return await self._visit({"message": "Hello, World!", "status": "success"})

    async def _visit(self, document: dict[str, Any]) -> Response:
        request = this_request()
        if may_start_work(request) and "write" in caller(request).scopes:
            args = {
                "endpoint": request.path,
                "ip": request.remote_addr,
                "user_agent": _text(request.headers.get("User-Agent")),
                "query": _text(request.query_string.decode("latin-1")),
            }
            asked = TaskRequest("request-audit", args, EnqueueOptions(owner=caller(request).name))
            (made,) = await self._door.service.enqueue([asked])
            document |= {
                "request_uuid": made.id,
                "note": "a background task audits this request; see its status_url and the log",
                **render.urls(made.id, self._door.prefix),
            }
        else:
            document |= {"request_uuid": None, "note": "nothing was started for this request"}
        return render.answer({**document, "worker_info": worker_info()})


def _text(value: str | None) -> str | None:
    """What a client sent, cut to a size that an audit needs, without what JSON text cannot hold."""
    return value[:2000].encode("utf-8", "replace").decode().replace("\x00", "\ufffd") if value is not None else None
