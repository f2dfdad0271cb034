"""Reads the options of a new task from a query string or from an entry of a batch."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from quart import Request

from quart_app.core import json_pointers
from quart_app.core.errors import InvalidArgs, InvalidInput
from quart_app.core.task_request import EnqueueOptions, TaskRequest
from quart_app.core.unique import POLICIES
from quart_app.web.messages import parse
from quart_app.web.protection.request_checks import fields

MAX_TAGS: Final = 20

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_NO_OPTIONS: Final = EnqueueOptions()

OPTIONS: Final[dict[str, parse.Reader]] = {
    "delay": parse.seconds(0, parse.MAX_SECONDS),
    "run_at": parse.moment,
    "priority": parse.integer(-100, 100),
    "queue": parse.name_text,
    "max_attempts": parse.integer(1, 1_000_000),
    "timeout": parse.seconds(0.001, parse.MAX_SECONDS),
    "expires": parse.seconds(0.001, parse.MAX_SECONDS),
    "unique_key": parse.unique_key,
    "on_duplicate": parse.one_of(*POLICIES),
    "debounce": parse.seconds(0.001, parse.MAX_SECONDS),
    "tag": parse.tag,
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
    unique_key: str | None = None
    on_duplicate: str | None = None
    debounce: float | None = None
    tags: tuple[str, ...] = ()
    idempotency_key: str | None = None


def of_request(request: Request, now: int, owner: str) -> EnqueueOptions:
    """The options in the query and the header fields. `now`: ms UTC. Raises InvalidInput."""
    found = fields(request)
    if not request.query_string and b"idempotency-key" not in found and b"traceparent" not in found:
        return EnqueueOptions(owner=owner) if owner else _NO_OPTIONS
    query = parse.query(request, OPTIONS, repeatable="tag")
    return _options(query, parse.idempotency_key(request), traceparent_of(found.get(b"traceparent")), now, owner)


def of_item(item: Any, base: str, traceparent: bytes | None, now: int, owner: str) -> TaskRequest:
    """One entry of a batch. `base`: its JSON Pointer. `now`: ms UTC. Raises InvalidArgs."""
    try:
        checked = msgspec.convert(item, BatchItem)
    except msgspec.ValidationError as error:
        pointer, detail = json_pointers.explain(str(error))
        raise InvalidArgs([(base + pointer, detail)]) from None
    place = ""
    try:
        query: dict[str, Any] = {}
        for name, reader in OPTIONS.items():
            value = getattr(checked, name, None)
            if value is not None:
                place = f"/{name}"
                query[name] = reader(name, f"{value:.6f}" if isinstance(value, float) else str(value))
        tags = []
        for index, one in enumerate(checked.tags):
            place = f"/tags/{index}"
            tags.append(parse.tag("tags", one))
        key = checked.idempotency_key
        if key is not None:
            place = "/idempotency_key"
            parse.check_key("idempotency_key", key)
        place = "/tags" if len(tags) > MAX_TAGS else "/run_at" if checked.run_at is not None else ""
        options = _options({**query, "tag": tuple(tags)}, key, traceparent_of(traceparent), now, owner)
        return TaskRequest(checked.kind, checked.args, options)
    except InvalidInput as error:
        raise InvalidArgs([(base + place, str(error)[:500])]) from None


def _options(query: dict[str, Any], key: str | None, traceparent: str | None, now: int, owner: str) -> EnqueueOptions:
    if "delay" in query and "run_at" in query:
        raise InvalidInput("give delay or run_at, not both")
    if query.get("run_at", 0) > now + parse.MAX_SECONDS * 1000:
        raise InvalidInput("run_at is more than ten years ahead")
    tags = query.pop("tag", ())
    if len(tags) > MAX_TAGS:
        raise InvalidInput(f"at most {MAX_TAGS} tags")
    tags = tuple(dict.fromkeys(tags))
    return EnqueueOptions(**query, tags=tags, idempotency_key=key, traceparent=traceparent, owner=owner)


def traceparent_of(value: bytes | None) -> str | None:
    """The field as W3C Trace Context; a value that cannot be read is ignored."""
    text = value.decode("latin-1") if value is not None else ""
    return text if _TRACEPARENT.fullmatch(text) else None
