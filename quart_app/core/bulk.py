"""What one bulk task does to many tasks."""

from __future__ import annotations

import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from quart_app.core import error_groups
from quart_app.core.task import KIND_PATTERN, Status

BULK: Final = "bulk"
"""The kind of bulk tasks."""
MAX_REASON: Final = 500  # characters

Action = Literal["cancel", "retry", "delete"]
Name = Annotated[str, Meta(pattern=rf"^{KIND_PATTERN}\Z")]
Moment = Annotated[datetime.datetime, Meta(tz=True)]
Reason = Annotated[str, Meta(min_length=1, max_length=MAX_REASON)]


class BulkFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which tasks: those that all of its members fit; it has at least one. The times are exclusive."""

    status: Status | UnsetType = UNSET
    kind: Name | UnsetType = UNSET
    queue: Name | UnsetType = UNSET
    tag: Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]{1,100}\Z")] | UnsetType = UNSET
    error: Annotated[str, Meta(pattern=rf"^{error_groups.PATTERN}\Z", description="A fingerprint")] | UnsetType = UNSET
    created_after: Moment | UnsetType = UNSET
    created_before: Moment | UnsetType = UNSET

    def __post_init__(self) -> None:
        if not self.given:
            raise ValueError(f"is empty: give at least one of {', '.join(self.__struct_fields__)}")

    @property
    def given(self) -> dict[str, str | int]:
        """The members that are there; times in ms UTC."""
        found = {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not UNSET}
        return {
            name: int(value.timestamp() * 1000) if isinstance(value, datetime.datetime) else value
            for name, value in found.items()
        }


Filter = Annotated[BulkFilter, Meta(extra_json_schema={"minProperties": 1, "examples": [{"kind": "add"}]})]


class BulkSet(msgspec.Struct, frozen=True):
    """The tasks that a bulk task means: those it applies to that were there before it. `until`: the highest number of
    a task; `event`: what is later than this event came after the set was fixed. `owner`: whose tasks; None:
    everybody's."""

    action: Action
    filter: BulkFilter
    owner: str | None
    until: int
    event: int


class BulkTask(msgspec.Struct, frozen=True):
    """One task of a set."""

    seq: int
    id: str
    kind: str
