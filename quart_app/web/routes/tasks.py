"""Tasks over HTTP: create, read, wait, list, cancel, delete, history."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from quart import Blueprint, Request, Response

from quart_app.core import error_groups
from quart_app.core.errors import InvalidArgs, InvalidInput, UnknownKind
from quart_app.core.size_budget import SizeBudget
from quart_app.core.task import STATUSES, Task, TaskFilter
from quart_app.core.task_request import TaskRequest
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import options, parse, render
from quart_app.web.protection.auth import caller
from quart_app.web.protection.request_checks import field, fields
from quart_app.web.routes.audit_log import on_record, ruling, start_on_record
from quart_app.web.routes.going_back import GoingBackViews
from quart_app.web.routes.history import HistoryView

MAX_BATCH: Final = 1000
MAX_BATCH_VALUES: Final = 100_000  # JSON values of all its tasks: more would delay other callers while they are made
MAX_PAGE: Final = 4 * 2**20  # bytes of args and results in one page of the listing
# Kinds whose answer has another message than "Task created".
MESSAGES: Final = {"send-email": "Email task created"}

_ETAG: Final = re.compile(r'(?:W/)?"([^"]*)"')
WAIT: Final[dict[str, parse.Reader]] = {"wait": parse.seconds(0, parse.MAX_WAIT)}
FILTERS: Final[dict[str, parse.Reader]] = {
    "status": parse.one_of(*STATUSES),
    "kind": parse.name_text,
    "queue": parse.name_text,
    "tag": parse.tag,
    "created_after": parse.moment,
    "created_before": parse.moment,
    "parent": parse.task_id,
    "waiting_for": parse.waiting_for,
    "unique_key": parse.unique_key,
    "code_version": parse.code_version,
    "error": parse.pattern(error_groups.PATTERN, "a fingerprint of GET /errors"),
    "limit": parse.integer(1, 200),
    "cursor": parse.integer(1, 999_999_999),
    "fields": parse.one_of("args,result", "result,args", "args", "result"),
}


class TaskViews:
    """The views keep the state themselves, which saves the look-ups of a proxy on the hot path."""

    def __init__(self, state: AppState) -> None:
        self._state = state

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_tasks", __name__)
        back = GoingBackViews(self._state)
        for rule, method, view in (
            ("/tasks", "POST", self.create_many),
            ("/tasks", "GET", self.find),
            ("/tasks/<kind>", "POST", self.create),
            ("/tasks/<task_id>", "GET", self.show),
            ("/tasks/<task_id>", "DELETE", self.delete),
            ("/tasks/<task_id>", "PATCH", back.change),
            ("/tasks/<task_id>/cancel", "POST", self.cancel),
            ("/tasks/<task_id>/retry", "POST", back.retry),
            ("/tasks/<task_id>/fork", "POST", back.fork),
            ("/tasks/<task_id>/history", "GET", HistoryView(self._state).history),
        ):
            made.add_url_rule(rule, view.__name__, view, methods=[method])
        return made

    async def create(self, kind: str, args: Any = None) -> Response:
        """Start a task. `args`: its args, when they are not the body."""
        request = this_request()
        service = self._state.service
        chosen = options.of_request(request, service.now(), caller(request).name)
        wait = parse.prefer_wait(request)
        if args is None:
            args = await parse.json_body(request, self._state.settings.max_body)
        asked = [TaskRequest(kind, {} if args is parse.NOTHING else args, chosen)]
        recorded = ruling(self._state, request, kind)
        (made,) = await (start_on_record(self._state, request, asked) if recorded else service.accept(asked))
        if wait is not None:
            task = await self._state.keys.during(caller(request), service.wait(made.id, wait))
            if task.ended:
                applied = {"Preference-Applied": f"wait={wait:g}"}
                if made.replayed:
                    applied["Idempotency-Replayed"] = "true"
                return render.answer(render.task(task, self._state.prefix), headers=applied)
            made = msgspec.structs.replace(made, status=task.status)
        response = render.created(made, MESSAGES.get(kind, "Task created"), self._state.prefix)
        if wait is not None:
            response.headers["Preference-Applied"] = f"wait={wait:g}"
        return response

    async def create_many(self) -> Response:
        request = this_request()
        parse.query(request, {})
        if field(request, b"idempotency-key") is not None:
            raise InvalidInput("in a batch each task carries its own idempotency_key, in the body")
        body = await parse.json_body(request, self._state.settings.max_body, MAX_BATCH_VALUES)
        single = type(body) is dict
        items = [body] if single else body
        if type(items) is not list or not 1 <= len(items) <= MAX_BATCH:
            raise InvalidArgs([("", f"send one task object or an array of 1 to {MAX_BATCH}")])
        service = self._state.service
        now, traceparent, owner = service.now(), fields(request).get(b"traceparent"), caller(request).name
        asked = [
            options.of_item(item, "" if single else f"/{index}", traceparent, now, owner)
            for index, item in enumerate(items)
        ]
        try:
            recorded = any(ruling(self._state, request, one.kind) for one in asked)
            made = await (start_on_record(self._state, request, asked) if recorded else service.accept(asked))
        except (InvalidArgs, UnknownKind) as error:
            raise _located(error, single) from None
        prefix = self._state.prefix
        tasks = [
            {"task_id": one.id, "status": one.status, "status_url": f"{prefix}/tasks/{one.id}"}
            | ({"replayed": True} if one.replayed else {})
            | ({"duplicate": True} if one.duplicate else {})
            for one in made
        ]
        return render.answer({"tasks": tasks}, 202)

    async def show(self, task_id: str) -> Response:
        request = this_request()
        wait = parse.query(request, WAIT).get("wait", 0.0)
        known = known_versions(request)
        reading = self._read(task_id, wait, known, caller(request).sees)
        task = await (self._state.keys.during(caller(request), reading) if wait else reading)
        headers = {"ETag": render.etag(task), "Cache-Control": "no-cache"}
        if not task.ended:
            headers["Retry-After"] = "1"
        if known is not None and ("*" in known or render.version(task) in known):
            return render.empty(304, headers)
        return render.answer(render.task(task, self._state.prefix), headers=headers)

    async def _read(self, task_id: str, wait: float, known: set[str] | None, owner: str | None) -> Task:
        """The task now; with `wait` (seconds) at its end; with `wait` and `known` versions at any change."""
        service = self._state.service
        if not wait:
            return await service.get(task_id, owner)
        if known is None:
            return await service.wait(task_id, wait, owner)
        task = await service.get(task_id, owner)
        if task.ended or render.version(task) not in known:
            return task
        return await service.wait(task_id, wait, owner, version=task.version)

    async def find(self) -> Response:
        request = this_request()
        query = parse.query(request, FILTERS)
        limit = query.get("limit", 50)
        documents = query.get("fields", "").split(",")
        names = (
            "status",
            "kind",
            "queue",
            "tag",
            "created_after",
            "created_before",
            "parent",
            "waiting_for",
            "unique_key",
            "code_version",
            "error",
        )
        wanted = TaskFilter(
            **{name: query[name] for name in names if name in query},
            owner=caller(request).sees,
            before_seq=query.get("cursor"),
            limit=limit + 1,
            documents=documents != [""],
        )
        budget = SizeBudget(MAX_PAGE)
        rows = await self._state.service.find(wanted, budget)
        views = []
        for row in rows[:limit]:
            view = render.task(row, self._state.prefix, documents=False)
            view |= {name: render.raw(getattr(row, name)) for name in ("args", "result") if name in documents}
            views.append(view)
        if len(rows) <= limit and not budget.spent:
            return render.listing("tasks", views, None)
        again = [(name, request.args[name]) for name in FILTERS if name in query and name != "cursor"]
        following = f"{self._state.prefix}/tasks?{urlencode([*again, ('cursor', rows[:limit][-1].seq)])}"
        return render.listing("tasks", views, following)

    async def cancel(self, task_id: str) -> Response:
        request = this_request()
        await parse.nothing(request)
        owned = await self._state.service.get(task_id, caller(request).sees)
        doing = self._state.service.cancel(task_id)
        at_once = await on_record(self._state, request, "task.cancel", task_id, owned.owner, doing)
        task = await self._state.service.get(task_id)
        return render.answer(render.task(task, self._state.prefix), 200 if at_once else 202)

    async def delete(self, task_id: str) -> Response:
        request = this_request()
        await parse.nothing(request)
        owned = await self._state.service.get(task_id, caller(request).sees)
        doing = self._state.service.delete(task_id)
        await on_record(self._state, request, "task.delete", task_id, owned.owner, doing)
        return render.empty(204)


def _located(error: InvalidArgs | UnknownKind, single: bool) -> InvalidArgs | UnknownKind:
    """The error with JSON Pointers into the batch."""
    base = "" if single or error.index is None else f"/{error.index}"
    if isinstance(error, UnknownKind):
        return InvalidArgs([(f"{base}/kind", str(error))])
    error.errors = tuple((f"{base}/args{pointer}", detail) for pointer, detail in error.errors)
    return error


def known_versions(request: Request) -> set[str] | None:
    """The versions that If-None-Match names; None without the field. `*` means any."""
    header = field(request, b"if-none-match")
    if header is None:
        return None
    return {"*"} if header.strip() == "*" else set(_ETAG.findall(header[:4096]))
