"""The audit log over HTTP, for callers with the scope admin; and how a view puts an act into it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final, TypeVar, get_args

from quart import Blueprint, Request, Response

from quart_app.core.acts import Act, ActName
from quart_app.web import parse, render
from quart_app.web.auth import actor, caller, require
from quart_app.web.door import Door, this_request

PAGE: Final[dict[str, parse.Reader]] = {
    "act": parse.one_of(*get_args(ActName)),
    "limit": parse.integer(1, 200),
    "cursor": parse.sequence,
}
T = TypeVar("T")


class ActViews:
    def __init__(self, door: Door) -> None:
        self._door = door

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_acts", __name__)
        made.add_url_rule("/audit-log", "find", self.find)
        return made

    async def find(self) -> Response:
        request = this_request()
        require(request, "admin")
        query = parse.query(request, PAGE)
        limit = query.get("limit", 50)
        found = await self._door.audit_log.find(query.get("cursor"), limit + 1, query.get("act"))
        acts, following = found[:limit], None
        if len(found) > limit:
            again = "&".join(f"{name}={query[name]}" for name in ("act", "limit") if name in query)
            following = f"{self._door.prefix}/audit-log?{again}{'&' * bool(again)}cursor={acts[-1].seq}"
        headers = {"Link": f'<{following}>; rel="next"'} if following else None
        return render.answer({"acts": [_view(act) for act in acts], "next": following}, headers=headers)


async def on_record(door: Door, request: Request, name: ActName, target: str, owner: str, doing: Awaitable[T]) -> T:
    """Do it; and keep that it was done, when it is done to what belongs to somebody else."""
    if owner == caller(request).name:
        return await doing
    act = door.audit_log.act(name, actor(request), target, f"of {owner}" if owner else "of nobody")
    return await door.audit_log.done(act, doing)


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
