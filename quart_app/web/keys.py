"""API keys over HTTP, for callers with the scope admin: list, add, rotate, revoke."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta
from quart import Blueprint, Response

from quart_app.core import pointers
from quart_app.core.errors import InvalidArgs
from quart_app.core.keys import DEFAULT_SCOPES, NAME_PATTERN, Key, Scope
from quart_app.revocation import cancel_all
from quart_app.web import parse, render
from quart_app.web.auth import actor, require
from quart_app.web.door import Door, this_request

MAX_BODY: Final = 16_384
MAX_LIFE: Final = 315_360_000  # seconds: ten years
DAY: Final = 86_400
CANCEL: Final[dict[str, parse.Reader]] = {"cancel": parse.flag}

Kind = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}\Z")]
T = TypeVar("T")


class NewKey(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /keys`."""

    name: Annotated[str, Meta(pattern=rf"^{NAME_PATTERN}\Z")]
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1, max_length=3)] = DEFAULT_SCOPES
    expires: Annotated[float, Meta(gt=0, le=MAX_LIFE, description="Seconds until it opens nothing any more")] | None = (
        None
    )
    kinds: (
        Annotated[tuple[Kind, ...], Meta(min_length=1, max_length=100, description="Those that it may start")] | None
    ) = None


class Rotation(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /keys/<name>/rotate`."""

    grace: Annotated[float, Meta(ge=0, le=MAX_LIFE, description="Seconds for which the secret before is good")] = DAY


class KeyViews:
    def __init__(self, door: Door) -> None:
        self._door = door

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_keys", __name__)
        made.add_url_rule("/keys", "find", self.find)
        made.add_url_rule("/keys", "add", self.add, methods=["POST"])
        made.add_url_rule("/keys/<name>", "revoke", self.revoke, methods=["DELETE"])
        made.add_url_rule("/keys/<name>/rotate", "rotate", self.rotate, methods=["POST"])
        return made

    async def find(self) -> Response:
        request = this_request()
        require(request, "admin")
        parse.query(request, {})
        return render.answer({"keys": [_view(key) for key in await self._door.keys.list()]})

    async def add(self) -> Response:
        request = this_request()
        require(request, "admin")
        parse.query(request, {})
        asked = await self._body(NewKey)
        scopes = tuple(dict.fromkeys(asked.scopes))
        key, text = await self._door.keys.add(asked.name, scopes, actor(request), asked.expires, asked.kinds or ())
        return _shown_once(key, text, 201)

    async def rotate(self, name: str) -> Response:
        request = this_request()
        require(request, "admin")
        parse.query(request, {})
        asked = await self._body(Rotation)
        key, text = await self._door.keys.rotate(name, asked.grace, actor(request))
        return _shown_once(key, text, 200)

    async def revoke(self, name: str) -> Response:
        """With `cancel` its tasks end, too; asked again it goes on with those that are left."""
        request = this_request()
        require(request, "admin")
        query = parse.query(request, CANCEL)
        await self._door.keys.revoke(name, actor(request))
        if not query.get("cancel", False):
            return render.empty(204)
        cancelled = await asyncio.shield(cancel_all(self._door.service, name))
        return render.answer({"name": name, "cancelled": cancelled})

    async def _body(self, shape: type[T]) -> T:
        body = await parse.json_body(this_request(), MAX_BODY)
        try:
            return msgspec.convert({} if body is parse.NOTHING else body, shape)
        except msgspec.ValidationError as error:
            raise InvalidArgs([pointers.explain(str(error))]) from None


def _shown_once(key: Key, text: str, status: int) -> Response:
    shown = {"name": key.name, "scopes": key.scopes, "key": text, **_limits(key)}
    return render.answer(shown, status, {"Cache-Control": "no-store"})


def _view(key: Key) -> dict[str, Any]:
    return {
        "name": key.name,
        "scopes": key.scopes,
        "created_at": render.moment(key.created_at),
        "revoked_at": render.moment(key.revoked_at),
        "last_used_at": render.moment(key.last_used_at),
        "source": key.source,
        **_limits(key),
    }


def _limits(key: Key) -> dict[str, Any]:
    return {
        "kinds": key.kinds or None,
        "expires_at": render.moment(key.expires_at),
        "old_until": render.moment(key.old_until),
    }
