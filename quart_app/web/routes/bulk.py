"""Bulk tasks over HTTP: one action on many tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from quart import Blueprint, Request, Response

from quart_app.core.bulk import Action, Filter, Reason
from quart_app.core.errors import InvalidArgs
from quart_app.core.schema import explain
from quart_app.core.task import Enqueued
from quart_app.core.task_request import EnqueueOptions
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import options, parse, render
from quart_app.web.protection.auth import actor, caller
from quart_app.web.protection.request_checks import fields
from quart_app.web.routes.audit_log import bulk_act, on_everybody


class BulkRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /bulk`."""

    action: Annotated[Action, Meta(description="Applies to unfinished tasks, to failed and cancelled, to ended ones")]
    filter: Filter
    dry_run: Annotated[bool, Meta(description="Only count them")] = False
    reason: Annotated[Reason, Meta(description="For the audit log")] | UnsetType = UNSET


class BulkViews:
    def __init__(self, state: AppState) -> None:
        self._state = state

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_bulk", __name__)
        made.add_url_rule("/bulk", "start", self.start, methods=["POST"])
        return made

    async def start(self) -> Response:
        """Count the tasks that an action applies to, or make the task that acts on them."""
        request = this_request()
        parse.query(request, {})
        body = await parse.json_body(request, self._state.settings.max_body)
        try:
            asked = msgspec.convert({} if body is parse.NOTHING else body, BulkRequest)
        except msgspec.ValidationError as error:
            raise InvalidArgs([explain(BulkRequest, error)]) from None
        if asked.dry_run:
            counting = self._state.bulk.count(asked.action, asked.filter, caller(request).sees)
            return render.answer({"matching": await self._state.keys.during(caller(request), counting)})
        return await start_bulk(self._state, {name: body[name] for name in body if name != "dry_run"})


async def start_bulk(state: AppState, args: Mapping[str, Any]) -> Response:
    """Make a bulk task for this request; one on everybody's tasks goes on record. `args`: those of the kind."""
    request = this_request()
    traceparent = options.traceparent_of(fields(request).get(b"traceparent"))
    chosen = EnqueueOptions(
        owner=caller(request).name, idempotency_key=parse.idempotency_key(request), traceparent=traceparent
    )
    made = await asyncio.shield(_start(state, request, args, chosen))  # a client that hangs up leaves no act unrecorded
    return render.created(made, "Bulk task created", state.prefix)


async def _start(state: AppState, request: Request, args: Mapping[str, Any], chosen: EnqueueOptions) -> Enqueued:
    made = await state.bulk.start(args, chosen)
    if on_everybody(request) and not made.replayed:
        await state.audit_log.put([bulk_act(state, actor(request), made.id, args)])
    return made
