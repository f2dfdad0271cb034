"""Going back over HTTP: retry a task, from a step on too; fork it; change a pending one."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType
from quart import Request, Response

from quart_app.core import json_pointers
from quart_app.core.errors import InvalidArgs, InvalidInput
from quart_app.core.flow import MAX_STEP_NAME
from quart_app.core.task import KIND_PATTERN, Enqueued
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import options, parse, render
from quart_app.web.protection.auth import caller
from quart_app.web.protection.request_checks import field, fields
from quart_app.web.routes.audit_log import on_record

RETRY: Final[dict[str, parse.Reader]] = {
    "restart": parse.flag,
    "from": parse.text(1, MAX_STEP_NAME),
}
_DATE: Final = {"format": "date-time"}
_STRONG: Final = re.compile(r'(W/)?"([^"]*)"')

Tag = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]{1,100}\Z")]
Seconds = Annotated[float, Meta(ge=0.001, le=parse.MAX_SECONDS)]


class Fork(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /tasks/<id>/fork`."""

    from_step: Annotated[
        Annotated[str, Meta(min_length=1, max_length=MAX_STEP_NAME)] | None,
        Meta(description="It begins before this recorded step; null: after all of them"),
    ] = msgspec.field(default=None, name="from")
    args: Annotated[dict[str, Any], Meta(description="In the place of those of the task")] | UnsetType = UNSET


class TaskChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of `PATCH /tasks/<id>`: the members to change."""

    args: Annotated[dict[str, Any], Meta(description="Only while nothing is recorded")] | UnsetType = UNSET
    priority: Annotated[int, Meta(ge=-100, le=100)] | UnsetType = UNSET
    run_at: (
        Annotated[str, Meta(description="Of a task that does not wait for something else", extra_json_schema=_DATE)]
        | UnsetType
    ) = UNSET
    queue: Annotated[str, Meta(pattern=rf"^{KIND_PATTERN}\Z")] | UnsetType = UNSET
    tags: Annotated[tuple[Tag, ...], Meta(max_length=options.MAX_TAGS)] | UnsetType = UNSET
    max_attempts: Annotated[int, Meta(ge=1, le=1_000_000)] | UnsetType = UNSET
    timeout: Annotated[Seconds, Meta(description="Seconds for one attempt")] | UnsetType = UNSET


class GoingBackViews:
    def __init__(self, state: AppState) -> None:
        self._state = state

    async def retry(self, task_id: str) -> Response:
        request = this_request()
        query = await parse.nothing(request, RETRY)
        restart, step = query.get("restart", False), query.get("from", "")
        if restart and step:
            raise InvalidInput("give restart=true or from, not both")
        owned = await self._state.service.get(task_id, caller(request).sees)
        doing = self._state.going_back.rerun(task_id, caller(request).sees, restart=restart, step=step)
        await on_record(self._state, request, "task.retry", task_id, owned.owner, doing, owned.kind)
        return render.created(Enqueued(task_id, "pending"), "Task will run again", self._state.prefix)

    async def fork(self, task_id: str) -> Response:
        request = this_request()
        parse.query(request, {})
        if field(request, b"idempotency-key") is not None:
            raise InvalidInput("a fork takes no Idempotency-Key: each request makes another task")
        asked = await self._body(request, Fork)
        owned = await self._state.service.get(task_id, caller(request).sees)
        args = None if asked.args is UNSET else asked.args
        traceparent = options.traceparent_of(fields(request).get(b"traceparent"))
        doing = self._state.going_back.fork(task_id, asked.from_step, args, caller(request).sees, traceparent)
        made = await on_record(self._state, request, "task.fork", task_id, owned.owner, doing, owned.kind)
        return render.created(made, "Task forked", self._state.prefix)

    async def change(self, task_id: str) -> Response:
        request = this_request()
        parse.query(request, {})
        asked = await self._body(request, TaskChange)
        given = {name: value for name, value in msgspec.structs.asdict(asked).items() if value is not UNSET}
        if not given:
            raise InvalidArgs([("", f"give one of {', '.join(TaskChange.__struct_fields__)}")])
        args = given.pop("args", None)
        chosen = options.of_item({"kind": "any", **given}, "", None, self._state.service.now(), "").options
        owned = await self._state.service.get(task_id, caller(request).sees)
        doing = self._state.going_back.change(
            task_id, chosen, args, "tags" in given, _versions(request), caller(request).sees
        )
        task = await on_record(self._state, request, "task.change", task_id, owned.owner, doing, owned.kind)
        return render.answer(render.task(task, self._state.prefix), headers={"ETag": render.etag(task)})

    async def _body(self, request: Request, shape: type[Any]) -> Any:
        """Raises InvalidArgs."""
        body = await parse.json_body(request, self._state.settings.max_body)
        try:
            return msgspec.convert({} if body is parse.NOTHING else body, shape)
        except msgspec.ValidationError as error:
            raise InvalidArgs([json_pointers.explain(str(error))]) from None


def _versions(request: Request) -> frozenset[str] | None:
    """The versions of the task that If-Match names; None: any. A weak one matches none (RFC 9110, 13.1.1). After the
    number stands what held the task back, which is no change of it."""
    header = field(request, b"if-match")
    if header is None or header.strip() == "*":
        return None
    return frozenset(version.partition(".")[0] for weak, version in _STRONG.findall(header[:4096]) if not weak)
