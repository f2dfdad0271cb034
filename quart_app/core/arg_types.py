"""Types for parameters of a kind whose values the service checks when a task is made."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from quart_app.core import json_pointers, outbound_targets
from quart_app.core.errors import InvalidArgs

_MARK: Final = "quart_app"

UploadId = Annotated[
    str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z", description="The id of an upload", extra={_MARK: "upload"})
]
"""The id that `POST /uploads` returns. An unknown id, or that of another owner's upload, is refused. The file is kept
as long as the task. `await ctx.upload(…)` finds it."""

PublicUrl = Annotated[
    str,
    msgspec.Meta(
        max_length=outbound_targets.MAX_URL,
        pattern=r"^[Hh][Tt][Tt][Pp][Ss]?://",
        description="An http or https URL of the public Internet",
        examples=["https://example.com/"],
        extra={_MARK: "url"},
    ),
]
"""A URL that `ctx.public_http` may fetch, as far as the URL alone shows."""


class UploadRow(msgspec.Struct, frozen=True):
    """An upload as the store has it. The field order is that of the statement `find_upload`."""

    id: str
    owner: str
    file: str
    name: str
    size: int
    sha256: str


def mark_of(annotation: Any) -> str | None:
    """The mark of a parameter's type, also of an optional one."""
    for one in (annotation, *typing.get_args(annotation)):
        for meta in getattr(one, "__metadata__", ()):
            if isinstance(meta, msgspec.Meta) and meta.extra and _MARK in meta.extra:
                return str(meta.extra[_MARK])
    return None


def check(marks: Mapping[str, str], args: Mapping[str, Any], allow_private: bool) -> tuple[str, ...]:
    """The ids of the uploads in these args. Raises InvalidArgs for a URL that is refused."""
    uploads = []
    for name, mark in marks.items():
        value = args.get(name)
        if value is None:
            continue
        if mark == "upload":
            uploads.append(value)
            continue
        try:
            outbound_targets.check(value, allow_private)
        except outbound_targets.TargetRefused as error:
            raise InvalidArgs([(json_pointers.token(name), str(error))]) from None
    return tuple(dict.fromkeys(uploads))


def unknown_upload(marks: Mapping[str, str], args: Mapping[str, Any], upload_id: str) -> InvalidArgs:
    """The error for args with the id of an upload that their owner does not have."""
    named = [name for name in marks if args.get(name) == upload_id]
    return InvalidArgs([(json_pointers.token(name), "there is no such upload") for name in named])
