"""`/` and `/hello`: every visit starts an audit task in the background and is answered at once."""

from __future__ import annotations

from html import escape
from typing import Any, Final

from quart import Blueprint, Response

from quart_app.core.task_request import EnqueueOptions, TaskRequest
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import render
from quart_app.web.protection.auth import caller, may_start
from quart_app.web.protection.request_checks import may_start_work
from quart_app.web.routes.health import worker_info

WELCOME: Final = "Welcome to quart_app, a durable task service"
ENDPOINTS: Final = {
    "/": "this page (starts an audit task)",
    "/hello": "a greeting (starts an audit task)",
    "/status": "what the server is doing",
    "/docs": "this API, to read and to try",
    "/openapi.json": "the same for programs",
    "/kinds": "what can be started, and with which args",
    "/tasks": "the newest tasks",
    "/tasks/<kind>": "POST args to start a task: add, send-email, send-bulk-email, generate-report, crawl and more",
    "/tasks/<task_id>": "the task",
    "/start/<x>/<y>": "start adding two integers",
    "/status/<task_id>": "how a task is doing, in short",
    "/cat/<n>": "n cat facts, asked for one by one",
    "/cat_async/<n>": "n cat facts at once, fewer when their source refuses some",
    "/cat_async_limited/<n>": "n cat facts, never faster than their source allows",
    "/users": "a hundred users",
    "/users/<user_id>": "one of them",
    "/users/<user_id>/profile": "with posts and comments from another service",
    "/stream": "a hundred numbers as Server-Sent Events",
    "/export/users.csv": "a table that is sent while it is made",
    "/words": "a text that appears word by word, also when the server is killed in the middle",
    "/chat": "who talks, and where (a WebSocket)",
    "/api/data": "so many calls an hour for each X-User-ID",
    "/schedules": "what starts by itself",
    "/uploads": "POST a file for a task",
    "/tasks/detect-faces": "POST a photo",
    "/reports/<report>": "a file that a task made",
    "/health": "is it alive",
}
PAGE: Final = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>quart_app</title>
    <link rel="icon" type="image/png" href="docs/favicon-32x32.png">
  </head>
  <body>
    <h1>{message}</h1>
    <p><a href="docs">Read and try the API</a></p>
    <p>{note}</p>
    <ul>
{items}
    </ul>
  </body>
</html>
"""
PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


class VisitViews:
    def __init__(self, state: AppState) -> None:
        self._state = state

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_visits", __name__)
        made.add_url_rule("/", "root", self.root)
        made.add_url_rule("/hello", "hello", self.hello)
        return made

    async def root(self) -> Response:
        """Answers with JSON, or with a page when the client prefers HTML, as browsers do."""
        document = await self._visit({"message": WELCOME, "endpoints": ENDPOINTS})
        media = this_request().accept_mimetypes.best_match(("application/json", "text/html"))
        response = render.answer(document)
        if media == "text/html":
            response = Response(_page(document), headers=PAGE_HEADERS, content_type="text/html; charset=utf-8")
        response.headers["Vary"] = "Accept"
        response.headers["Cache-Control"] = "no-store"
        return response

    async def hello(self) -> Response:
        return render.answer(await self._visit({"message": "Hello, World!", "status": "success"}))

    async def _visit(self, document: dict[str, Any]) -> dict[str, Any]:
        request = this_request()
        if may_start_work(request) and may_start(request, "request-audit"):
            args = {
                "endpoint": request.path,
                "ip": request.remote_addr,
                "user_agent": _text(request.headers.get("User-Agent")),
                "query": _text(request.query_string.decode("latin-1")),
            }
            asked = TaskRequest("request-audit", args, EnqueueOptions(owner=caller(request).name))
            (made,) = await self._state.service.accept([asked])
            document |= {
                "request_uuid": made.id,
                "note": "a background task audits this request; see its status_url and the log",
                **render.urls(made.id, self._state.prefix),
            }
        else:
            document |= {"request_uuid": None, "note": "nothing was started for this request"}
        return {**document, "worker_info": worker_info()}


def _page(document: dict[str, Any]) -> str:
    """The page. Its links are relative, like those of /docs, because a proxy may serve the app below another path."""
    note = escape(document["note"])
    if document["request_uuid"] is not None:
        note += f' (<a href="tasks/{document["request_uuid"]}">{document["request_uuid"]}</a>)'
    items = "\n".join(f"      <li>{_link(path)}: {escape(text)}</li>" for path, text in ENDPOINTS.items())
    return PAGE.format(message=escape(WELCOME), note=note, items=items)


def _link(path: str) -> str:
    """A link to a path that can be opened as it is; other paths, which need a value, a header or a POST, as text."""
    shown = f"<code>{escape(path)}</code>"
    opens = "<" not in path and path not in ("/uploads", "/api/data", "/tasks/detect-faces")
    return f'<a href=".{path}">{shown}</a>' if opens else shown


def _text(value: str | None) -> str | None:
    """A text of a client, cut to a size that an audit needs, without characters that JSON text cannot hold."""
    return value[:2000].encode("utf-8", "replace").decode().replace("\x00", "\ufffd") if value is not None else None
