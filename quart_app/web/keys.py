"""API keys over HTTP, for callers with the scope admin: list, add, revoke."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from quart import Blueprint, Response

from quart_app.core import pointers
from quart_app.core.errors import InvalidArgs
from quart_app.core.keys import DEFAULT_SCOPES, NAME_PATTERN, Key, Scope
from quart_app.web import parse, render
from quart_app.web.auth import require
from quart_app.web.door import Door, this_request

MAX_BODY: Final = 4096


class NewKey(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /keys`."""

    name: Annotated[str, msgspec.Meta(pattern=rf"^{NAME_PATTERN}\Z")]
    scopes: Annotated[tuple[Scope, ...], msgspec.Meta(min_length=1, max_length=3)] = DEFAULT_SCOPES


class KeyViews:
    def __init__(self, door: Door) -> None:
        self._door = door

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_keys", __name__)
        made.add_url_rule("/keys", "find", self.find)
        made.add_url_rule("/keys", "add", self.add, methods=["POST"])
        made.add_url_rule("/keys/<name>", "revoke", self.revoke, methods=["DELETE"])
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
        body = await parse.json_body(request, MAX_BODY)
        try:
            asked = msgspec.convert({} if body is parse.NOTHING else body, NewKey)
        except msgspec.ValidationError as error:
            raise InvalidArgs([pointers.explain(str(error))]) from None
        scopes = tuple(dict.fromkeys(asked.scopes))
        key = await self._door.keys.add(asked.name, scopes)
        shown = {"name": asked.name, "scopes": scopes, "key": key}
        return render.answer(shown, 201, {"Cache-Control": "no-store"})

    async def revoke(self, name: str) -> Response:
        request = this_request()
        require(request, "admin")
        parse.query(request, {})
        await self._door.keys.revoke(name)
        return render.empty(204)


def _view(key: Key) -> dict[str, Any]:
    return {
        "name": key.name,
        "scopes": key.scopes,
        "created_at": render.moment(key.created_at),
        "revoked_at": render.moment(key.revoked_at),
        "source": key.source,
    }
