"""Schedules over HTTP: list, add, read, change, delete, trigger."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import urlencode

import msgspec
from msgspec import UNSET, Meta, UnsetType
from quart import Blueprint, Request, Response

from quart_app.core import json_pointers
from quart_app.core.errors import InvalidArgs
from quart_app.core.schedule import MAX_EVERY, MIN_EVERY, NAME_PATTERN, CatchUp, Overlap, Schedule
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import parse, render
from quart_app.web.protection.auth import caller
from quart_app.web.routes.audit_log import on_record

NOBODYS: Final = "/"  # the owner of nothing: no name has a slash
WHOSE: Final[dict[str, parse.Reader]] = {"owner": parse.owner_text}
PAGE: Final[dict[str, parse.Reader]] = {"limit": parse.integer(1, 200), "cursor": parse.key_text, **WHOSE}


class ScheduleChanges(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of `PATCH /schedules/<name>`: the members to change."""

    kind: str | UnsetType = UNSET
    args: dict[str, Any] | UnsetType = UNSET
    cron: Annotated[str, Meta(description="Minute, hour, day, month, weekday")] | UnsetType = UNSET
    every: Annotated[float, Meta(ge=MIN_EVERY, le=MAX_EVERY, description="Seconds, instead of cron")] | UnsetType = (
        UNSET
    )
    timezone: Annotated[str, Meta(description="Of cron: a name of the IANA database")] | UnsetType = UNSET
    overlap: Annotated[Overlap, Meta(description="While the task of the last fire has not ended")] | UnsetType = UNSET
    catch_up: Annotated[CatchUp, Meta(description="With fires that were missed")] | UnsetType = UNSET
    paused: bool | UnsetType = UNSET


class NewSchedule(ScheduleChanges, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /schedules`: with `cron` or `every`."""

    name: Annotated[str, Meta(pattern=rf"^{NAME_PATTERN}\Z", examples=["nightly"])]
    kind: str


class ScheduleViews:
    def __init__(self, state: AppState) -> None:
        self._state = state

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_schedules", __name__)
        for rule, method, view in (
            ("/schedules", "GET", self.find),
            ("/schedules", "POST", self.add),
            ("/schedules/<schedule>", "GET", self.show),
            ("/schedules/<schedule>", "PATCH", self.change),
            ("/schedules/<schedule>", "DELETE", self.delete),
            ("/schedules/<schedule>/trigger", "POST", self.trigger),
        ):
            made.add_url_rule(rule, view.__name__, view, methods=[method])
        return made

    async def find(self) -> Response:
        request = this_request()
        query = parse.query(request, PAGE)
        limit = query.get("limit", 50)
        found = await self._state.schedules.find(_owner(request, query), query.get("cursor", ""), limit + 1)
        views = [_view(one) for one in found[:limit]]
        if len(found) <= limit:
            return render.listing("schedules", views, None)
        again: dict[str, Any] = {name: value for name, value in query.items() if name != "cursor"}
        again["cursor"] = found[limit - 1].key
        following = f"{self._state.prefix}/schedules?{urlencode(again)}"
        return render.listing("schedules", views, following)

    async def add(self) -> Response:
        request = this_request()
        parse.query(request, {})
        fields = await self._fields(NewSchedule)
        name, owner = fields.pop("name"), caller(request).name
        doing = self._state.schedules.add(name, owner, fields)
        made = await on_record(self._state, request, "schedule.add", name, owner, doing, fields["kind"])
        return render.answer(_view(made), 201, {"Location": f"{self._state.prefix}/schedules/{made.name}"})

    async def show(self, schedule: str) -> Response:
        request = this_request()
        owner = _owner(request, parse.query(request, WHOSE))
        return render.answer(_view(await self._state.schedules.get(schedule, owner)))

    async def change(self, schedule: str) -> Response:
        request = this_request()
        owner = _owner(request, parse.query(request, WHOSE))
        fields = await self._fields(ScheduleChanges)
        owned = await self._state.schedules.get(schedule, owner)
        doing = self._state.schedules.change(schedule, owned.owner, fields)
        kinds = {owned.kind, fields.get("kind", owned.kind)}
        changed = await on_record(self._state, request, "schedule.change", schedule, owned.owner, doing, *kinds)
        return render.answer(_view(changed))

    async def delete(self, schedule: str) -> Response:
        request = this_request()
        owner = _owner(request, await parse.nothing(request, WHOSE))
        owned = await self._state.schedules.get(schedule, owner)
        doing = self._state.schedules.delete(schedule, owned.owner)
        await on_record(self._state, request, "schedule.delete", schedule, owned.owner, doing, owned.kind)
        return render.empty(204)

    async def trigger(self, schedule: str) -> Response:
        request = this_request()
        owner = _owner(request, await parse.nothing(request, WHOSE))
        owned = await self._state.schedules.get(schedule, owner)
        doing = self._state.schedules.trigger(schedule, owned.owner, by_owner=caller(request).sees is not None)
        made = await on_record(self._state, request, "schedule.trigger", schedule, owned.owner, doing, owned.kind)
        return render.created(made, "Schedule triggered", self._state.prefix)

    async def _fields(self, shape: type[ScheduleChanges]) -> dict[str, Any]:
        """The fields that the body sets, by the names of Schedule. Raises InvalidArgs."""
        body = await parse.json_body(this_request(), self._state.settings.max_body)
        try:
            asked = msgspec.convert({} if body is parse.NOTHING else body, shape)
        except msgspec.ValidationError as error:
            raise InvalidArgs([json_pointers.explain(str(error))]) from None
        fields = {name: value for name, value in msgspec.structs.asdict(asked).items() if value is not UNSET}
        if "every" in fields:
            fields["every_ms"] = round(fields.pop("every") * 1000)
        return fields


def _owner(request: Request, query: dict[str, Any]) -> str | None:
    """The owner whose schedules are meant; None: all owners. Only administrators find those of others."""
    sees, asked = caller(request).sees, query.get("owner")
    return asked if sees is None else sees if asked in (None, sees) else NOBODYS


def _view(one: Schedule) -> dict[str, Any]:
    return {
        "name": one.name,
        "kind": one.kind,
        "args": render.raw(one.args),
        "cron": one.cron,
        "every": None if one.every_ms is None else render.number(one.every_ms / 1000),
        "timezone": one.timezone,
        "overlap": one.overlap,
        "catch_up": one.catch_up,
        "paused": one.paused,
        "source": one.source,
        "owner": one.owner or None,
        "created_at": render.moment(one.created_at),
        "next_at": render.moment(one.next_at),
        "last_fire_at": render.moment(one.last_fire_at),
        "last_task_id": one.last_task_id,
        "last_error": one.last_error,
    }
