"""Types for parameters of a kind whose values mean something to the service, and are checked when a task is made."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from quart_app.core import pointers, targets
from quart_app.core.errors import InvalidArgs

_MARK: Final = "quart_app"

UploadId = Annotated[
    str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z", description="The id of an upload", extra={_MARK: "upload"})
]
"""The id that `POST /uploads` answers. An unknown one, or another owner's, is refused; the file is kept as long as the
task. `await ctx.upload(…)` finds it."""

PublicUrl = Annotated[
    str,
    msgspec.Meta(
        max_length=targets.MAX_URL,
        pattern=r"^[Hh][Tt][Tt][Pp][Ss]?://",
        description="An http or https URL of the public Internet",
        examples=["https://example.com/"],
        extra={_MARK: "url"},
    ),
]
"""A URL that `ctx.public_http` will agree to fetch, as far as the URL alone can tell."""


class UploadRow(msgspec.Struct, frozen=True):
    """An upload as the store knows it. The field order is that of the statement `find_upload`."""

    id: str
    owner: str
    file: str
    name: str
    size: int
    sha256: str


def mark_of(annotation: Any) -> str | None:
    """The mark of a parameter's type, also where it may be None."""
    for one in (annotation, *typing.get_args(annotation)):
        for meta in getattr(one, "__metadata__", ()):
            if isinstance(meta, msgspec.Meta) and meta.extra and _MARK in meta.extra:
                return str(meta.extra[_MARK])
    return None


def check(marks: Mapping[str, str], args: Mapping[str, Any], allow_private: bool) -> tuple[str, ...]:
    """The uploads that these args name. Raises InvalidArgs for a URL we do not go to."""
    uploads = []
    for name, mark in marks.items():
        value = args.get(name)
        if value is None:
            continue
        if mark == "upload":
            uploads.append(value)
            continue
        try:
            targets.check(value, allow_private)
        except targets.TargetRefused as error:
            raise InvalidArgs([(pointers.token(name), str(error))]) from None
    return tuple(dict.fromkeys(uploads))


def unknown_upload(marks: Mapping[str, str], args: Mapping[str, Any], upload_id: str) -> InvalidArgs:
    """What is wrong with args that name an upload which is not there for their owner."""
    named = [name for name in marks if args.get(name) == upload_id]
    return InvalidArgs([(pointers.token(name), "there is no such upload") for name in named])
