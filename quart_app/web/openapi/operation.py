"""What the OpenAPI document says of one route: inputs, answers, problems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from quart_app.web.messages import parse
from quart_app.web.openapi.texts import TEXTS

JSON: Final = "application/json"
# A server that starts or stops answers 503; the request checks refuse what two servers could read differently.
ALWAYS: Final = (400, 431, 503)
WITH_KEY: Final = (401, 403)
WITH_BODY: Final = (408, 413, 415)


class Answer(NamedTuple):
    """An answer of an operation. `shape`: the content of the body, as a type or a JSON Schema, or None for no body.
    `page`: whether a client that prefers HTML gets a page. `always`: header fields that it always has."""

    text: str
    shape: type | dict[str, Any] | None = None
    media: str = JSON
    always: tuple[str, ...] = ()
    sometimes: tuple[str, ...] = ()
    page: bool = False


class Operation(NamedTuple):
    """`problems`: error statuses in addition to those that every operation has. `form`: the part of a form that holds
    the file, when it takes one. `needs_body`: also when no member of it is required. `never`: a JSON Schema of
    the bodies that are refused, though their members are right one by one."""

    tag: str
    summary: str
    answers: Mapping[int, Answer]
    problems: tuple[int, ...] = ()
    text: str = ""
    query: Mapping[str, parse.Reader] = {}
    texts: Mapping[str, str] = TEXTS
    headers: tuple[str, ...] = ()
    body: type | dict[str, Any] | None = None
    needs_body: bool = False
    never: Mapping[str, Any] = {}
    form: str = ""
    needs_key: bool = True
