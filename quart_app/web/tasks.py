"""Tasks over HTTP: create, read, wait, list, cancel, retry, delete, history."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from quart import Blueprint, Response, request

from quart_app.core.errors import InvalidArgs, InvalidInput, UnknownKind
from quart_app.core.task import STATUSES, Enqueued, TaskFilter
from quart_app.service import EnqueueOptions, TaskRequest, TaskService
from quart_app.web import parse, render
from quart_app.web.door import door

MAX_BATCH: Final = 1000
MAX_TAGS: Final = 20
# Kinds whose answer says more than "Task created".
MESSAGES: Final = {"send-email": "Email task created"}

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_ETAG: Final = re.compile(r'(?:W/)?"([^"]*)"')

OPTIONS: Final[dict[str, parse.Reader]] = {
    "delay": parse.seconds(0, parse.MAX_SECONDS),
    "run_at": parse.moment,
    "priority": parse.integer(-100, 100),
    "queue": parse.name_text,
    "max_attempts": parse.integer(1, 1_000_000),
    "timeout": parse.seconds(0.001, parse.MAX_SECONDS),
    "expires": parse.seconds(0.001, parse.MAX_SECONDS),
    "tag": parse.tag,
}
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


class BatchItem(msgspec.Struct, forbid_unknown_fields=True):
    """One entry of `POST /tasks`."""

    kind: str
    args: Any = msgspec.field(default_factory=dict)
    delay: float | None = None
    run_at: str | None = None
    priority: int | None = None
    queue: str | None = None
    max_attempts: int | None = None
    timeout: float | None = None
    expires: float | None = None
    tags: tuple[str, ...] = ()
    idempotency_key: str | None = None


async def create(kind: str) -> Response:
    options = parse.query(request, OPTIONS, repeatable="tag") if request.query_string else {}
    wait = parse.prefer_wait(request)
    args = await parse.json_body(request, door().settings.max_body)
    service = door().service
    (made,) = await service.enqueue([TaskRequest(kind, {} if args is None else args, _options(options))])
    if wait is not None:
        task = await service.wait(made.id, wait)
        if task.ended:
            response = render.answer(render.task(task, door().prefix))
            response.headers["Preference-Applied"] = f"wait={wait:g}"
            return response
        made = msgspec.structs.replace(made, status=task.status)
    return created(made, MESSAGES.get(kind, "Task created"))


def created(made: Enqueued, message: str, **members: Any) -> Response:
    """202 with the place to look."""
    urls = render.urls(made.id, door().prefix)
    document = {"task_id": made.id, "status": made.status, "message": message, **urls, **members}
    response = render.answer(document, 202)
    response.headers["Location"] = urls["status_url"]
    response.headers["Retry-After"] = "1"
    if made.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response


async def create_many() -> Response:
    parse.query(request, {})
    if request.headers.get("Idempotency-Key") is not None:
        raise InvalidInput("in a batch each task carries its own idempotency_key, in the body")
    body = await parse.json_body(request, door().settings.max_body, max_nodes=500_000)
    single = type(body) is dict
    items = [body] if single else body
    if type(items) is not list or not 1 <= len(items) <= MAX_BATCH:
        raise InvalidArgs([("", f"send one task object or an array of 1 to {MAX_BATCH}")])
    requests = [_batch_request(item, "" if single else f"/{index}") for index, item in enumerate(items)]
    try:
        made = await door().service.enqueue(requests)
    except (InvalidArgs, UnknownKind) as error:
        base = "" if single or error.index is None else f"/{error.index}"
        if isinstance(error, UnknownKind):
            raise InvalidArgs([(f"{base}/kind", str(error))]) from None
        error.errors = tuple((f"{base}/args{pointer}", detail) for pointer, detail in error.errors)
        raise
    prefix = door().prefix
    tasks = [
        {"task_id": one.id, "status": one.status, "status_url": f"{prefix}/tasks/{one.id}"}
        | ({"replayed": True} if one.replayed else {})
        for one in made
    ]
    return render.answer({"tasks": tasks}, 202)


async def show(task_id: str) -> Response:
    query = parse.query(request, {"wait": parse.seconds(0, parse.MAX_WAIT)}) if request.query_string else {}
    service = door().service
    known = _known_versions()
    wait = query.get("wait", 0.0)
    if wait and known is not None:
        task = await service.get(task_id)
        if not task.ended and str(task.version) in known:
            task = await service.wait(task_id, wait, version=task.version)
    elif wait:
        task = await service.wait(task_id, wait)
    else:
        task = await service.get(task_id)
    if known is not None and ("*" in known or str(task.version) in known):
        response = Response(b"", 304)
        del response.headers["Content-Type"]
    else:
        response = render.answer(render.task(task, door().prefix))
    response.headers["ETag"] = render.etag(task)
    response.headers["Cache-Control"] = "no-cache"
    if not task.ended:
        response.headers["Retry-After"] = "1"
    return response


async def find() -> Response:
    query = parse.query(request, FILTERS)
    limit = query.get("limit", 50)
    fields = query.get("fields", "").split(",")
    names = ("status", "kind", "queue", "tag", "created_after", "created_before")
    wanted = TaskFilter(
        **{name: query[name] for name in names if name in query},
        before_seq=query.get("cursor"),
        limit=limit + 1,
        documents=fields != [""],
    )
    rows = await door().service.find(wanted)
    views = [render.task(row, door().prefix, documents=False) for row in rows[:limit]]
    for view, row in zip(views, rows, strict=False):
        view |= {name: render.raw(getattr(row, name)) for name in ("args", "result") if name in fields}
    following = None
    if len(rows) > limit:
        again = [(name, request.args[name]) for name in FILTERS if name in request.args and name != "cursor"]
        following = f"{door().prefix}/tasks?{urlencode([*again, ('cursor', rows[limit - 1].seq)])}"
    response = render.answer({"tasks": views, "next": following})
    if following is not None:
        response.headers["Link"] = f'<{following}>; rel="next"'
    return response


async def cancel(task_id: str) -> Response:
    await _no_body()
    service: TaskService = door().service
    at_once = await service.cancel(task_id)
    task = await service.get(task_id)
    return render.answer(render.task(task, door().prefix), 200 if at_once else 202)


async def retry(task_id: str) -> Response:
    query = parse.query(request, {"restart": parse.flag})
    await _no_body(query=False)
    await door().service.rerun(task_id, query.get("restart", False))
    return created(Enqueued(task_id, "pending"), "Task will run again")


async def delete(task_id: str) -> Response:
    await _no_body()
    await door().service.delete(task_id)
    response = Response(b"", 204)
    del response.headers["Content-Type"]
    return response


async def history(task_id: str) -> Response:
    parse.query(request, {})
    events, steps, errors = await door().service.history(task_id)
    return render.answer(render.history(events, steps, errors))


def _options(query: dict[str, Any]) -> EnqueueOptions:
    if "delay" in query and "run_at" in query:
        raise InvalidInput("give delay or run_at, not both")
    if "run_at" in query:
        _check_run_at(query["run_at"])
    tags = query.pop("tag", ())
    if len(tags) > MAX_TAGS:
        raise InvalidInput(f"at most {MAX_TAGS} tags")
    traceparent = request.headers.get("traceparent")
    if traceparent is not None and not _TRACEPARENT.fullmatch(traceparent):
        traceparent = None  # W3C Trace Context: what cannot be read is ignored
    return EnqueueOptions(
        **query, tags=tuple(dict.fromkeys(tags)), idempotency_key=parse.idempotency_key(request), traceparent=traceparent
    )


def _check_run_at(at: int) -> None:
    runtime = door().runtime
    if runtime is not None and at > runtime.clock.now() + parse.MAX_SECONDS * 1000:
        raise InvalidInput("run_at is more than ten years ahead")


def _batch_request(item: Any, base: str) -> TaskRequest:
    try:
        checked = msgspec.convert(item, BatchItem)
        query: dict[str, Any] = {}
        for name, reader in OPTIONS.items():
            value = getattr(checked, name, None)
            if value is not None:
                text = value if isinstance(value, str) else f"{value:.6f}" if isinstance(value, float) else str(value)
                query[name] = reader(name, text)
        query["tag"] = tuple(parse.tag("tags", one) for one in checked.tags)
        options = _options(query)
        key = checked.idempotency_key
        if key is not None and not re.fullmatch(r"[\x21-\x7e]{1,255}", key):
            raise InvalidInput("idempotency_key must be 1 to 255 visible ASCII characters")
        return TaskRequest(checked.kind, checked.args, msgspec.structs.replace(options, idempotency_key=key))
    except (msgspec.ValidationError, InvalidInput) as error:
        raise InvalidArgs([(base, str(error)[:500])]) from None


def _known_versions() -> set[str] | None:
    """The versions that If-None-Match names; `*` stands for any."""
    header = request.headers.get("If-None-Match")
    if header is None:
        return None
    return {"*"} if header.strip() == "*" else set(_ETAG.findall(header[:4096]))


async def _no_body(query: bool = True) -> None:
    """These actions take nothing; something else than an empty object is a misunderstanding worth an answer."""
    if query:
        parse.query(request, {})
    if await parse.json_body(request, 1024) not in (None, {}):
        raise InvalidInput("this request takes no body")


def blueprint() -> Blueprint:
    made = Blueprint("quart_app_tasks", __name__)
    made.add_url_rule("/tasks", "create_many", create_many, methods=["POST"])
    made.add_url_rule("/tasks", "find", find, methods=["GET"])
    made.add_url_rule("/tasks/<kind>", "create", create, methods=["POST"])
    made.add_url_rule("/tasks/<task_id>", "show", show, methods=["GET"])
    made.add_url_rule("/tasks/<task_id>", "delete", delete, methods=["DELETE"])
    made.add_url_rule("/tasks/<task_id>/cancel", "cancel", cancel, methods=["POST"])
    made.add_url_rule("/tasks/<task_id>/retry", "retry", retry, methods=["POST"])
    made.add_url_rule("/tasks/<task_id>/history", "history", history, methods=["GET"])
    return made
