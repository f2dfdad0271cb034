"""Schedules: adds, lists, changes, deletes and triggers them, and stores those of the code."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec

from quart_app.clock import Clock
from quart_app.core import codec
from quart_app.core.errors import (
    ArgsTooLarge,
    ConfigError,
    InvalidArgs,
    KeyGone,
    ScheduleConflict,
    ScheduleNotFound,
    UnknownKind,
    UploadNotFound,
)
from quart_app.core.schedule import MAX_ARGS, MAX_OWNED, TAG, Schedule, first_fire, key_of
from quart_app.core.task import Enqueued
from quart_app.core.task_request import EnqueueOptions, TaskRequest
from quart_app.engine.kind import TaskKind
from quart_app.service.tasks import TaskService
from quart_app.store.protocols.tasks import ScheduleStore

log = logging.getLogger("quart_app.schedules")


def declared_schedules(kinds: Iterable[TaskKind[..., Any]], now: int) -> dict[str, Schedule]:
    """The schedules of the code by name, as they begin at `now` (ms). Raises ConfigError for a name that is used
    twice."""
    declared: dict[str, Schedule] = {}
    for kind in kinds:
        for one in kind.schedules:
            if one.name in declared:
                kinds_of_it = f"{declared[one.name].kind} and {one.kind}"
                raise ConfigError(f"@schedule: two have the name {one.name!r}, of {kinds_of_it}; name one anew")
            next_at = first_fire(one.plan, now)
            declared[one.name] = msgspec.structs.replace(one, created_at=now, next_at=next_at)
    return declared


class Schedules:
    """`owner` None reads and changes the schedules of all owners; another owner's schedule is not found."""

    def __init__(
        self,
        store: ScheduleStore,
        service: TaskService,
        clock: Clock,
        find_upload: Callable[[str, str], Awaitable[object]],
    ) -> None:
        """`find_upload` takes an id and its owner, and raises UploadNotFound."""
        self._store = store
        self._find_upload = find_upload
        self._service = service
        self._clock = clock

    async def declare(self, kinds: Iterable[TaskKind[..., Any]]) -> None:
        """Store the schedules of the code, once, at the start. Raises ConfigError for a name that is used twice."""
        declared = declared_schedules(kinds, self._clock.now())
        for name in await self._store.declare_schedules(list(declared.values())):
            log.warning("the schedule %s of the code is left out: one of this name was made over the API", name)

    # --- reading

    async def find(self, owner: str | None, after: str, limit: int) -> list[Schedule]:
        """Schedules with keys above `after`, by key (the owner, then the name)."""
        return await self._store.find_schedules(owner, after, limit)

    async def get(self, name: str, owner: str | None) -> Schedule:
        """`owner` None: of any owner. Raises ScheduleNotFound, and ScheduleConflict when several owners have one."""
        if owner is not None:
            one = await self._store.get_schedule(key_of(name, owner))
            found = [one] if one is not None else []
        else:
            found = await self._store.schedules_named(name)
        if not found:
            raise ScheduleNotFound(name)
        if len(found) > 1:
            raise ScheduleConflict("several owners have a schedule of this name; say whose it is: ?owner=NAME")
        return found[0]

    # --- changing

    async def add(self, name: str, owner: str, fields: Mapping[str, Any]) -> Schedule:
        """`fields` are the fields of Schedule that its owner sets; `args` is decoded JSON. Raises InvalidInput,
        InvalidArgs, ScheduleConflict, StoreUnavailable."""
        now = self._clock.now()
        args = await self._checked(fields["kind"], fields.get("args", {}), owner, now)
        made = Schedule(**{**fields, "name": name, "owner": owner, "args": args, "created_at": now})
        made = _planned(made, now)
        if not await self._store.add_schedule(made, MAX_OWNED):
            if await self._store.get_schedule(made.key) is not None:
                raise ScheduleConflict(f"there is a schedule of the name {name} already")
            raise ScheduleConflict(f"one owner has at most {MAX_OWNED} schedules")
        return made

    async def change(self, name: str, owner: str | None, fields: Mapping[str, Any]) -> Schedule:
        """As `add`, for the given fields; a kind that the schedule's owner may not start is refused. A new plan, and a
        plan that was paused, starts from now."""
        now = self._clock.now()
        before = await self.get(name, owner)
        if before.source == "code" and fields.keys() - {"paused"}:
            raise ScheduleConflict("this schedule stands in the code; only `paused` can be changed here")
        changes = dict(fields)
        if changes.keys() & {"kind", "args"}:
            args = fields.get("args", codec.loads(before.args))
            changes["args"] = await self._checked(fields.get("kind", before.kind), args, before.owner, now)
        if "cron" in changes and "every_ms" not in changes:
            changes["every_ms"] = None
        if "every_ms" in changes and "cron" not in changes:
            changes["cron"] = None
        after = msgspec.structs.replace(before, **changes)
        planned = (after.plan, after.paused) != (before.plan, before.paused)
        if planned:
            after = _planned(after, now)
        if not await self._store.change_schedule(after, planned):
            raise ScheduleConflict("somebody else has just changed it; look again")
        return await self.get(name, before.owner)

    async def delete(self, name: str, owner: str | None) -> None:
        found = await self.get(name, owner)
        if found.source == "code":
            raise ScheduleConflict("this schedule stands in the code; pause it instead")
        await self._store.delete_schedule(found.key)

    async def trigger(self, name: str, owner: str | None, by_owner: bool = False) -> Enqueued:
        """Fire outside the plan, also when the schedule is paused. Raises ScheduleConflict when the owner's key is no
        longer valid, and as `TaskService.accept`."""
        found = await self.get(name, owner)
        options = EnqueueOptions(owner=found.owner, tags=(TAG + name,))
        try:
            (made,) = await self._service.accept([TaskRequest(found.kind, codec.loads(found.args), options)])
        except KeyGone as error:
            if by_owner:
                raise
            raise ScheduleConflict(f"it does not fire: {error}") from None
        await self._store.note_task(found.key, made.id)
        return made

    async def _checked(self, kind: str, args: Any, owner: str, now: int) -> str:
        """Check that the kind takes the args and the owner has the uploads in them. Returns the args as JSON text."""
        self._service.check_start(owner, kind)
        request = TaskRequest(kind, args, EnqueueOptions(owner=owner))
        try:
            made = self._service.prepare(request, now)
            for upload in made.uploads:
                await self._find_upload(upload, owner)
        except UnknownKind as error:
            raise InvalidArgs([("/kind", str(error))]) from None
        except UploadNotFound as error:
            raise _below_args(self._service.unknown_upload([request], [made], str(error))) from None
        except ArgsTooLarge:
            raise
        except InvalidArgs as error:
            raise _below_args(error) from None
        if len(made.args.encode()) > MAX_ARGS:
            raise ArgsTooLarge(f"the args of a schedule are limited to {MAX_ARGS} bytes of JSON")
        return made.args


def _below_args(error: InvalidArgs) -> InvalidArgs:
    return InvalidArgs([(f"/args{pointer}", detail) for pointer, detail in error.errors])


def _planned(schedule: Schedule, now: int) -> Schedule:
    first = first_fire(schedule.plan, now)
    return msgspec.structs.replace(schedule, next_at=None if schedule.paused else first)
