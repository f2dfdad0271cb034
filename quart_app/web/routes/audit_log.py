"""The audit log over HTTP, for callers with the scope admin, and the functions by which views record acts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, TypeVar, get_args

from quart import Blueprint, Request, Response

from quart_app.core.audit_acts import LOCAL, Act, ActName, Actor
from quart_app.core.bulk import BULK
from quart_app.core.task import Enqueued
from quart_app.core.task_request import TaskRequest
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import parse, render
from quart_app.web.protection.auth import actor, caller, require

PAGE: Final[dict[str, parse.Reader]] = {
    "act": parse.one_of(*get_args(ActName)),
    "limit": parse.integer(1, 200),
    "cursor": parse.sequence,
}
T = TypeVar("T")


class ActViews:
    def __init__(self, state: AppState) -> None:
        self._state = state

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_acts", __name__)
        made.add_url_rule("/audit-log", "find", self.find)
        return made

    async def find(self) -> Response:
        request = this_request()
        require(request, "admin")
        query = parse.query(request, PAGE)
        limit = query.get("limit", 50)
        found = await self._state.audit_log.find(query.get("cursor"), limit + 1, query.get("act"))
        acts, following = found[:limit], None
        if len(found) > limit:
            again = "&".join(f"{name}={query[name]}" for name in ("act", "limit") if name in query)
            following = f"{self._state.prefix}/audit-log?{again}{'&' * bool(again)}cursor={acts[-1].seq}"
        return render.listing("acts", [_view(act) for act in acts], following)


async def on_record(
    state: AppState, request: Request, name: ActName, target: str, owner: str, doing: Awaitable[T], *starts: str
) -> T:
    """Await `doing`, and record the act when the target belongs to another owner. `starts`: the kinds concerned; when
    one of them is for administrators the act is recorded in any case. Raises as `doing`."""
    ruling = [kind for kind in starts if state.service.for_admins(kind)]
    if owner == caller(request).name and not ruling:
        return await doing
    detail = "; ".join([f"of {owner}" if owner else "of nobody", *ruling])
    return await state.audit_log.done(state.audit_log.act(name, actor(request), target, detail), doing)


def on_everybody(request: Request) -> bool:
    """Whether a bulk task of this caller acts on the tasks of everybody, as administrator."""
    return caller(request).sees is None and actor(request).name != LOCAL


def ruling(state: AppState, request: Request, kind: str) -> bool:
    """Whether it goes on record that this caller starts a task of this kind."""
    return state.service.for_admins(kind) or (kind == BULK and on_everybody(request))


def bulk_act(state: AppState, who: Actor, task_id: str, args: Mapping[str, Any]) -> Act:
    """The act of starting a bulk task with these args."""
    chosen = " ".join(f"{name}={value}" for name, value in args["filter"].items())
    reason = f": {args['reason']}" if args.get("reason") else ""
    return state.audit_log.act("task.bulk", who, task_id, f"{args['action']} {chosen}{reason}")


async def start_on_record(state: AppState, request: Request, asked: Sequence[TaskRequest]) -> list[Enqueued]:
    """Accept tasks, some of which go on record, and record who started these. A client that hangs up ends neither.
    Raises as `TaskService.accept`."""
    recorded = {one.kind for one in asked if ruling(state, request, one.kind)}
    return await asyncio.shield(_start(state, actor(request), asked, recorded))


async def _start(state: AppState, who: Actor, asked: Sequence[TaskRequest], recorded: set[str]) -> list[Enqueued]:
    made = await state.service.accept(asked)
    await state.audit_log.put(
        [
            bulk_act(state, who, one.id, wanted.args)
            if wanted.kind == BULK
            else state.audit_log.act("task.start", who, one.id, wanted.kind)
            for one, wanted in zip(made, asked, strict=True)
            if not one.replayed and wanted.kind in recorded
        ]
    )
    return made


def _view(act: Act) -> dict[str, Any]:
    return {
        "at": render.moment(act.at),
        "act": act.act,
        "actor": act.actor or None,
        "peer": act.peer or None,
        "target": act.target or None,
        "detail": act.detail,
        "times": act.times,
        "last_at": render.moment(act.last_at),
    }
