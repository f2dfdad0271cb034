"""Tasks over HTTP: create, read, wait, list, cancel, retry, delete, history."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from quart import Blueprint, Request, Response

from quart_app.core.budget import Budget
from quart_app.core.errors import InvalidArgs, InvalidInput, UnknownKind
from quart_app.core.task import STATUSES, Enqueued, Task, TaskFilter
from quart_app.service import TaskRequest
from quart_app.web import options, parse, render
from quart_app.web.auth import caller
from quart_app.web.door import Door, this_request
from quart_app.web.guard import field, fields
from quart_app.web.history import HistoryView

MAX_BATCH: Final = 1000
MAX_PAGE: Final = 4 * 2**20  # bytes of args and results in one page of the listing
# Kinds whose answer says more than "Task created".
MESSAGES: Final = {"send-email": "Email task created"}

_ETAG: Final = re.compile(r'(?:W/)?"([^"]*)"')
WAIT: Final[dict[str, parse.Reader]] = {"wait": parse.seconds(0, parse.MAX_WAIT)}
RESTART: Final[dict[str, parse.Reader]] = {"restart": parse.flag}
FILTERS: Final[dict[str, parse.Reader]] = {
    "status": parse.one_of(*STATUSES),
    "kind": parse.name_text,
    "queue": parse.name_text,
    "tag": parse.tag,
    "created_after": parse.moment,
    "created_before": parse.moment,
    "limit": parse.integer(1, 200),
    "cursor": parse.integer(1, 999_999_999),
    "fields": parse.one_of("args,result", "result,args", "args", "result"),
}


class TaskViews:
    """The views close over the door: on the hot path a proxy's look-ups are worth saving."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_tasks", __name__)
        for rule, method, view in (
            ("/tasks", "POST", self.create_many),
            ("/tasks", "GET", self.find),
            ("/tasks/<kind>", "POST", self.create),
            ("/tasks/<task_id>", "GET", self.show),
            ("/tasks/<task_id>", "DELETE", self.delete),
            ("/tasks/<task_id>/cancel", "POST", self.cancel),
            ("/tasks/<task_id>/retry", "POST", self.retry),
            ("/tasks/<task_id>/history", "GET", HistoryView(self._door).history),
        ):
            made.add_url_rule(rule, view.__name__, view, methods=[method])
        return made

    async def create(self, kind: str, args: Any = None) -> Response:
        """`args`: when they are not the body."""
        request = this_request()
        service = self._door.service
        chosen = options.of_request(request, service.now(), caller(request).name)
        wait = parse.prefer_wait(request)
        if args is None:
            args = await parse.json_body(request, self._door.settings.max_body)
        (made,) = await service.accept([TaskRequest(kind, {} if args is parse.NOTHING else args, chosen)])
        if wait is not None:
            task = await service.wait(made.id, wait)
            if task.ended:
                applied = {"Preference-Applied": f"wait={wait:g}"}
                if made.replayed:
                    applied["Idempotency-Replayed"] = "true"
                return render.answer(render.task(task, self._door.prefix), headers=applied)
            made = msgspec.structs.replace(made, status=task.status)
        response = render.created(made, MESSAGES.get(kind, "Task created"), self._door.prefix)
        if wait is not None:
            response.headers["Preference-Applied"] = f"wait={wait:g}"
        return response

    async def create_many(self) -> Response:
        request = this_request()
        parse.query(request, {})
        if field(request, b"idempotency-key") is not None:
            raise InvalidInput("in a batch each task carries its own idempotency_key, in the body")
        body = await parse.json_body(request, self._door.settings.max_body, max_nodes=500_000)
        single = type(body) is dict
        items = [body] if single else body
        if type(items) is not list or not 1 <= len(items) <= MAX_BATCH:
            raise InvalidArgs([("", f"send one task object or an array of 1 to {MAX_BATCH}")])
        service = self._door.service
        now, traceparent, owner = service.now(), fields(request).get(b"traceparent"), caller(request).name
        asked = [
            options.of_item(item, "" if single else f"/{index}", traceparent, now, owner)
            for index, item in enumerate(items)
        ]
        try:
            made = await service.accept(asked)
        except (InvalidArgs, UnknownKind) as error:
            raise _located(error, single) from None
        prefix = self._door.prefix
        tasks = [
            {"task_id": one.id, "status": one.status, "status_url": f"{prefix}/tasks/{one.id}"}
            | ({"replayed": True} if one.replayed else {})
            for one in made
        ]
        return render.answer({"tasks": tasks}, 202)

    async def show(self, task_id: str) -> Response:
        request = this_request()
        wait = parse.query(request, WAIT).get("wait", 0.0)
        known = known_versions(request)
        task = await self._read(task_id, wait, known, caller(request).sees)
        headers = {"ETag": render.etag(task), "Cache-Control": "no-cache"}
        if not task.ended:
            headers["Retry-After"] = "1"
        if known is not None and ("*" in known or str(task.version) in known):
            return render.empty(304, headers)
        return render.answer(render.task(task, self._door.prefix), headers=headers)

    async def _read(self, task_id: str, wait: float, known: set[str] | None, owner: str | None) -> Task:
        """The task at once; or, when asked to wait, at its end; or, when a version is known, at any change."""
        service = self._door.service
        if not wait:
            return await service.get(task_id, owner)
        if known is None:
            return await service.wait(task_id, wait, owner)
        task = await service.get(task_id, owner)
        if task.ended or str(task.version) not in known:
            return task
        return await service.wait(task_id, wait, owner, version=task.version)

    async def find(self) -> Response:
        request = this_request()
        query = parse.query(request, FILTERS)
        limit = query.get("limit", 50)
        documents = query.get("fields", "").split(",")
        names = ("status", "kind", "queue", "tag", "created_after", "created_before")
        wanted = TaskFilter(
            **{name: query[name] for name in names if name in query},
            owner=caller(request).sees,
            before_seq=query.get("cursor"),
            limit=limit + 1,
            documents=documents != [""],
        )
        budget = Budget(MAX_PAGE)
        rows = await self._door.service.find(wanted, budget)
        views = []
        for row in rows[:limit]:
            view = render.task(row, self._door.prefix, documents=False)
            view |= {name: render.raw(getattr(row, name)) for name in ("args", "result") if name in documents}
            views.append(view)
        if len(rows) <= limit and not budget.spent:
            return render.answer({"tasks": views, "next": None})
        again = [(name, request.args[name]) for name in FILTERS if name in query and name != "cursor"]
        following = f"{self._door.prefix}/tasks?{urlencode([*again, ('cursor', rows[:limit][-1].seq)])}"
        return render.answer({"tasks": views, "next": following}, headers={"Link": f'<{following}>; rel="next"'})

    async def cancel(self, task_id: str) -> Response:
        request = this_request()
        await parse.nothing(request)
        at_once = await self._door.service.cancel(task_id, caller(request).sees)
        task = await self._door.service.get(task_id)
        return render.answer(render.task(task, self._door.prefix), 200 if at_once else 202)

    async def retry(self, task_id: str) -> Response:
        request = this_request()
        query = await parse.nothing(request, RESTART)
        await self._door.service.rerun(task_id, query.get("restart", False), caller(request).sees)
        return render.created(Enqueued(task_id, "pending"), "Task will run again", self._door.prefix)

    async def delete(self, task_id: str) -> Response:
        request = this_request()
        await parse.nothing(request)
        await self._door.service.delete(task_id, caller(request).sees)
        return render.empty(204)


def _located(error: InvalidArgs | UnknownKind, single: bool) -> InvalidArgs | UnknownKind:
    """The error with JSON Pointers into the batch."""
    base = "" if single or error.index is None else f"/{error.index}"
    if isinstance(error, UnknownKind):
        return InvalidArgs([(f"{base}/kind", str(error))])
    error.errors = tuple((f"{base}/args{pointer}", detail) for pointer, detail in error.errors)
    return error


def known_versions(request: Request) -> set[str] | None:
    """The versions that If-None-Match names; `*` stands for any."""
    header = field(request, b"if-none-match")
    if header is None:
        return None
    return {"*"} if header.strip() == "*" else set(_ETAG.findall(header[:4096]))
