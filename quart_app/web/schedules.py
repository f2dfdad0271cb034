"""Schedules over HTTP: list, add, read, change, delete, trigger."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import urlencode

import msgspec
from msgspec import UNSET, Meta, UnsetType
from quart import Blueprint, Request, Response

from quart_app.core import pointers
from quart_app.core.errors import InvalidArgs
from quart_app.core.schedule import MAX_EVERY, MIN_EVERY, NAME_PATTERN, CatchUp, Overlap, Schedule
from quart_app.web import parse, render
from quart_app.web.acts import on_record
from quart_app.web.auth import caller
from quart_app.web.door import Door, this_request

NOBODYS: Final = "/"  # the owner of nothing: no name has a slash
WHOSE: Final[dict[str, parse.Reader]] = {"owner": parse.owner_text}
PAGE: Final[dict[str, parse.Reader]] = {"limit": parse.integer(1, 200), "cursor": parse.key_text, **WHOSE}


class ScheduleChanges(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of `PATCH /schedules/<name>`: what is to be different."""

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
    def __init__(self, door: Door) -> None:
        self._door = door

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
        found = await self._door.schedules.find(_owner(request, query), query.get("cursor", ""), limit + 1)
        document = {"schedules": [_view(one) for one in found[:limit]], "next": None}
        if len(found) <= limit:
            return render.answer(document)
        again: dict[str, Any] = {name: value for name, value in query.items() if name != "cursor"}
        again["cursor"] = found[limit - 1].key
        following = f"{self._door.prefix}/schedules?{urlencode(again)}"
        headers = {"Link": f'<{following}>; rel="next"'}
        return render.answer({**document, "next": following}, headers=headers)

    async def add(self) -> Response:
        request = this_request()
        parse.query(request, {})
        fields = await self._fields(NewSchedule)
        made = await self._door.schedules.add(fields.pop("name"), caller(request).name, fields)
        return render.answer(_view(made), 201, {"Location": f"{self._door.prefix}/schedules/{made.name}"})

    async def show(self, schedule: str) -> Response:
        request = this_request()
        owner = _owner(request, parse.query(request, WHOSE))
        return render.answer(_view(await self._door.schedules.get(schedule, owner)))

    async def change(self, schedule: str) -> Response:
        request = this_request()
        owner = _owner(request, parse.query(request, WHOSE))
        fields = await self._fields(ScheduleChanges)
        owned = await self._door.schedules.get(schedule, owner)
        doing = self._door.schedules.change(schedule, owned.owner, fields)
        changed = await on_record(self._door, request, "schedule.change", schedule, owned.owner, doing)
        return render.answer(_view(changed))

    async def delete(self, schedule: str) -> Response:
        request = this_request()
        owner = _owner(request, await parse.nothing(request, WHOSE))
        owned = await self._door.schedules.get(schedule, owner)
        doing = self._door.schedules.delete(schedule, owned.owner)
        await on_record(self._door, request, "schedule.delete", schedule, owned.owner, doing)
        return render.empty(204)

    async def trigger(self, schedule: str) -> Response:
        request = this_request()
        owner = _owner(request, await parse.nothing(request, WHOSE))
        owned = await self._door.schedules.get(schedule, owner)
        doing = self._door.schedules.trigger(schedule, owned.owner, by_owner=caller(request).sees is not None)
        made = await on_record(self._door, request, "schedule.trigger", schedule, owned.owner, doing)
        return render.created(made, "Schedule triggered", self._door.prefix)

    async def _fields(self, shape: type[ScheduleChanges]) -> dict[str, Any]:
        """What the body gives, by the names of Schedule. Raises InvalidArgs."""
        body = await parse.json_body(this_request(), self._door.settings.max_body)
        try:
            asked = msgspec.convert({} if body is parse.NOTHING else body, shape)
        except msgspec.ValidationError as error:
            raise InvalidArgs([pointers.explain(str(error))]) from None
        fields = {name: value for name, value in msgspec.structs.asdict(asked).items() if value is not UNSET}
        if "every" in fields:
            fields["every_ms"] = round(fields.pop("every") * 1000)
        return fields


def _owner(request: Request, query: dict[str, Any]) -> str | None:
    """Whose schedules are meant; None: whoever has one. Others' are found by admins alone."""
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
