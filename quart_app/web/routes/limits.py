"""Limits of tasks over HTTP, for callers with the scope admin: list them, change them at once."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import urlencode

import msgspec
from msgspec import UNSET, Meta, UnsetType
from quart import Blueprint, Request, Response

from quart_app.core.claim_limits import MAX_CONCURRENCY, NAME_PATTERN, RATE_PATTERN, LimitUse, Off, Rate, rate
from quart_app.core.errors import InvalidArgs
from quart_app.core.schema import explain
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import parse, render
from quart_app.web.protection.auth import actor, require

MAX_BODY: Final = 4_096
PAGE: Final[dict[str, parse.Reader]] = {
    "limit": parse.integer(1, 200),
    "cursor": parse.pattern(NAME_PATTERN, "what came with `next`"),
}
Concurrency = Annotated[int, Meta(ge=1, le=MAX_CONCURRENCY)]
# Checked by `read_rate`, which has a better reason than a pattern.
RateText = Annotated[str, Meta(extra_json_schema={"pattern": RATE_PATTERN, "examples": ["100/60"]})]
RateOrOff = Annotated[str, Meta(extra_json_schema={"pattern": f"^(off|{RATE_PATTERN[1:-1]})$", "examples": ["100/60"]})]
T = TypeVar("T", bound=msgspec.Struct)


class LimitChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of `PATCH /limits/<name>`: null takes an override back, `off` lifts the limit."""

    rate: RateOrOff | UnsetType | None = UNSET
    concurrency: Concurrency | Literal["off"] | UnsetType | None = UNSET


class LimitViews:
    def __init__(self, state: AppState) -> None:
        self._state = state

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_limits", __name__)
        made.add_url_rule("/limits", "find", self.find)
        made.add_url_rule("/limits/<limit>", "change", self.change, methods=["PATCH"])
        return made

    async def find(self) -> Response:
        request = this_request()
        require(request, "admin")
        query = parse.query(request, PAGE)
        limit = query.get("limit", 50)
        found = await self._state.claim_limits.limits(query.get("cursor", ""), limit + 1)
        return page(f"{self._state.prefix}/limits", "limits", [_view(one) for one in found], limit, query)

    async def change(self, limit: str) -> Response:
        request = this_request()
        require(request, "admin")
        parse.query(request, {})
        asked = await body(request, LimitChange)
        starts: Rate | Off | UnsetType | None = (
            "off" if asked.rate == "off" else read_rate(asked.rate) if isinstance(asked.rate, str) else asked.rate
        )
        doing = self._state.claim_limits.change_limit(limit, asked.concurrency, starts)
        act = self._state.audit_log.act("limit.change", actor(request), limit, changes(asked))
        return render.answer(_view(await self._state.audit_log.done(act, doing)))


def page(path: str, name: str, views: list[dict[str, Any]], limit: int, query: dict[str, Any]) -> Response:
    """A page of a listing by name. `views`: one more than `limit` when there is a next page."""
    if len(views) <= limit:
        return render.listing(name, views, None)
    again = {"limit": limit} if "limit" in query else {}
    following = f"{path}?{urlencode({**again, 'cursor': views[limit - 1]['name']})}"
    return render.listing(name, views[:limit], following)


async def body(request: Request, shape: type[T]) -> T:
    """The body as this type. Raises InvalidArgs."""
    read = await parse.json_body(request, MAX_BODY)
    try:
        return msgspec.convert({} if read is parse.NOTHING else read, shape)
    except msgspec.ValidationError as error:
        raise InvalidArgs([explain(shape, error)]) from None


def read_rate(text: str, pointer: str = "/rate") -> Rate:
    """Raises InvalidArgs, which points there."""
    try:
        return rate(text)
    except ValueError as error:
        raise InvalidArgs([(pointer, str(error))]) from None


def changes(asked: msgspec.Struct) -> str:
    """What a body sets, for the audit log."""
    found = msgspec.structs.asdict(asked)
    return "; ".join(f"{name} {value or 'null'}" for name, value in found.items() if value is not UNSET)


def _view(one: LimitUse) -> dict[str, Any]:
    return {
        "name": one.name,
        "rate": text_of(one.rate),
        "concurrency": one.concurrency,
        "running": one.running,
        "started_in_window": one.started,
        "waiting": one.waiting,
        "held_keys": one.held_keys,
        "declared": {"rate": text_of(one.declared.rate), "concurrency": one.declared.concurrency},
        "override": {"rate": text_of(one.override.rate), "concurrency": one.override.concurrency},
    }


def text_of(one: Rate | Off | None) -> str | None:
    return None if one is None else str(one)
