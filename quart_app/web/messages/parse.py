"""Strict readers for the contents of a request. All that does not have the required form raises InvalidInput (400)."""

from __future__ import annotations

import asyncio
import datetime
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

from quart import Request
from quart.wrappers.base import BaseRequestWebsocket

from quart_app.core import codec
from quart_app.core.errors import InvalidInput
from quart_app.core.unique import KEY_PATTERN, MAX_KEY
from quart_app.web.messages.problems import Problem
from quart_app.web.protection.request_checks import field

MAX_SECONDS: Final = 10 * 366 * 86400  # ten years: a longer time is a mistaken unit
_INTEGER: Final = re.compile(r"-?[0-9]{1,9}", re.ASCII)
_SEQUENCE: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_SECONDS: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?", re.ASCII)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}", re.ASCII)
_OWNER: Final = re.compile(r"([A-Za-z0-9._-]{1,64})?", re.ASCII)
_SCHEDULE_KEY: Final = re.compile(r"([A-Za-z0-9._-]{1,64}/)?[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_TAG: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,100}")
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_WAIT: Final = re.compile(r"wait\s*=\s*\"?([^\",;\s]*)\"?", re.IGNORECASE)
MAX_WAIT: Final = 60.0

NOTHING: Final = object()  # no body, which differs from the body `null`


class Reader(NamedTuple):
    """Reads one text of a request: `reader(name, text)`, which raises InvalidInput. `schema` is the JSON Schema of the
    texts that it accepts."""

    read: Callable[[str, str], Any]
    schema: dict[str, Any]

    def __call__(self, name: str, text: str) -> Any:
        return self.read(name, text)


def integer(low: int, high: int) -> Reader:
    def read(name: str, text: str) -> int:
        if not _INTEGER.fullmatch(text) or not low <= int(text) <= high:
            raise InvalidInput(f"{name} must be an integer from {low} to {high}")
        return int(text)

    return Reader(read, {"type": "integer", "minimum": low, "maximum": high})


def _one_sequence(name: str, text: str) -> int:
    if not _SEQUENCE.fullmatch(text):
        raise InvalidInput(f"{name} must be the number of an event: 1 to 18 digits")
    return int(text)


sequence: Final = Reader(_one_sequence, {"type": "integer", "minimum": 0, "maximum": 10**18 - 1})


def seconds(low: float, high: float) -> Reader:
    """Up to six decimals, no exponent."""

    def read(name: str, text: str) -> float:
        if not _SECONDS.fullmatch(text) or not low <= float(text) <= high:
            raise InvalidInput(f"{name} must be seconds from {low:.12g} to {high:.12g}, as in 10 or 0.5")
        return float(text)

    return Reader(read, {"type": "number", "minimum": low, "maximum": high})


def _moment(name: str, text: str) -> int:
    """RFC 3339 to ms UTC."""
    if not _TIME.fullmatch(text):
        raise InvalidInput(f"{name} must be an RFC 3339 time with a zone, as in 2030-01-31T12:00:00Z")
    try:
        # fromisoformat of 3.11 takes three or six digits of a fraction at most.
        whole, _, rest = text.upper().partition(".")
        fraction = re.match(r"\d*", rest)[0] if rest else ""  # type: ignore[index]
        zone = rest[len(fraction) :] if rest else ""
        parsed = datetime.datetime.fromisoformat(whole + (f".{fraction[:6]:0<6}" if fraction else "") + zone)
        return int(parsed.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise InvalidInput(f"{name} is no valid time") from None


moment: Final = Reader(_moment, {"type": "string", "format": "date-time"})


def _flag(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise InvalidInput(f"{name} must be true or false")
    return text == "true"


flag: Final = Reader(_flag, {"type": "boolean"})


def one_of(*words: str) -> Reader:
    def read(name: str, text: str) -> str:
        if text not in words:
            raise InvalidInput(f"{name} must be one of {', '.join(words)}")
        return text

    return Reader(read, {"type": "string", "enum": list(words)})


def _name(name: str, text: str) -> str:
    if not _NAME.fullmatch(text):
        raise InvalidInput(f"{name} must match {_NAME.pattern}")
    return text


name_text: Final = Reader(_name, {"type": "string", "pattern": f"^{_NAME.pattern}$"})


def _owner(name: str, text: str) -> str:
    if not _OWNER.fullmatch(text):
        raise InvalidInput(f"{name} is the name of a key, or empty")
    return text


def _key(name: str, text: str) -> str:
    if not _SCHEDULE_KEY.fullmatch(text):
        raise InvalidInput(f"{name} comes with `next`")
    return text


owner_text: Final = Reader(_owner, {"type": "string", "pattern": "^([A-Za-z0-9._-]{1,64})?$"})
key_text: Final = Reader(_key, {"type": "string", "pattern": "^([A-Za-z0-9._-]{1,64}/)?[a-z0-9][a-z0-9._-]{0,63}$"})


def _one_tag(name: str, text: str) -> str:
    if not _TAG.fullmatch(text):
        raise InvalidInput(f"{name} must be 1 to 100 characters without control characters")
    return text


tag: Final = Reader(_one_tag, {"type": "string", "pattern": r"^[^\x00-\x1f\x7f]{1,100}$"})


def pattern(regex: str, what: str) -> Reader:
    compiled = re.compile(regex, re.ASCII)

    def read(name: str, text: str) -> str:
        if not compiled.fullmatch(text):
            raise InvalidInput(f"{name} must be {what}")
        return text

    return Reader(read, {"type": "string", "pattern": f"^({regex})$"})


def text(low: int, high: int) -> Reader:
    """Of so many characters."""

    def read(name: str, text: str) -> str:
        if not low <= len(text) <= high:
            raise InvalidInput(f"{name} must be {low} to {high} characters")
        return text

    return Reader(read, {"type": "string", "minLength": low, "maxLength": high})


task_id: Final = pattern(r"[0-9A-Za-z._-]{1,100}", "the id of a task")
waiting_for: Final = pattern(
    r"time|children|paused|unique_key|(signal|kind):[a-z0-9][a-z0-9._-]{0,99}|limit:[a-z0-9][a-z0-9._:-]{0,119}",
    "time, children, paused, unique_key, signal:<name>, kind:<kind> or limit:<name>",
)
unique_key: Final = pattern(KEY_PATTERN, f"1 to {MAX_KEY} characters without control characters")
code_version: Final = pattern(r"[A-Za-z0-9._+:/@-]{1,200}", "a version: letters, digits and ._+:/@-")


def query(request: BaseRequestWebsocket, readers: Mapping[str, Reader], repeatable: str = "") -> dict[str, Any]:
    """Read the whole query string; unknown and repeated names are errors. `repeatable` collects into a tuple."""
    raw: bytes = request.query_string
    if not raw:
        return {}
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except (ValueError, UnicodeError):
        raise InvalidInput("the query string cannot be read") from None
    values: dict[str, Any] = {}
    for key, text in pairs:
        if key not in readers:
            raise InvalidInput(f"unknown query parameter {key[:100]!r}")
        value = readers[key](key, text)
        if key == repeatable:
            values[key] = (*values.get(key, ()), value)
        elif key in values:
            raise InvalidInput(f"query parameter {key} is given twice")
        else:
            values[key] = value
    return values


async def nothing(request: Request, readers: Mapping[str, Reader] | None = None) -> dict[str, Any]:
    """Read the query of a request that takes no body. Raises InvalidInput for a body other than an empty object."""
    found = query(request, readers or {})
    if await json_body(request, 1024) not in (NOTHING, {}):
        raise InvalidInput("this request takes no body")
    return found


async def json_body(request: Request, limit: int, max_nodes: int = codec.MAX_NODES) -> Any:
    """The decoded body; NOTHING when there is none. Raises Problem 408, 413, 415 and InvalidInput."""
    data = await _body(request)
    if not data:
        return NOTHING
    if len(data) > limit:
        raise Problem(413, "body-too-large", "Body too large", f"bodies are limited to {limit} bytes")
    if not _is_json(field(request, b"content-type")):
        raise Problem(415, "not-json", "Unsupported Media Type", "send the body with Content-Type: application/json")
    if (field(request, b"content-encoding") or "identity").lower() != "identity":
        raise Problem(415, "encoded", "Unsupported Media Type", "bodies are taken without Content-Encoding")
    return codec.decode(data, max_nodes)


async def _body(request: Request) -> bytes:
    # Not request.get_data(): its wait_for makes an asyncio task for each request.
    if getattr(request.body, "complete", False):
        return bytes(await request.body)
    try:
        async with asyncio.timeout(request.body_timeout):
            data = bytes(await request.body)
    except TimeoutError:
        raise Problem(408, "slow-body", "Request Timeout", "the body did not arrive in time") from None
    if (authenticator := request.scope.get("quart_app.authenticator")) is not None:  # the key may have been revoked
        authenticator.confirm(request)  # type: ignore[attr-defined]
    return data


def _is_json(content_type: str | None) -> bool:
    if content_type is None or content_type == "application/json":
        return content_type is not None
    kind, _, rest = content_type.lower().partition(";")
    parameters = rest.replace(" ", "").replace('"', "")
    return kind.strip() == "application/json" and parameters in ("", "charset=utf-8")


def idempotency_key(request: Request) -> str | None:
    key = field(request, b"idempotency-key")
    if key is not None:
        check_key("Idempotency-Key", key)
    return key


def check_key(name: str, key: str) -> None:
    if not _KEY.fullmatch(key):
        raise InvalidInput(f"{name} must be one text of 1 to 255 visible ASCII characters")


def prefers_async(request: Request) -> bool:
    """Whether the client sent `Prefer: respond-async` (RFC 7240): it wants a 202 rather than to wait."""
    return any(one.strip().lower() == "respond-async" for one in (field(request, b"prefer") or "").split(","))


def prefer_wait(request: Request) -> float | None:
    """Seconds of `Prefer: wait=N` (RFC 7240), at most 60; None when the client did not send it."""
    prefer = field(request, b"prefer")
    if prefer is None or (found := _WAIT.search(prefer)) is None:
        return None
    if not _SECONDS.fullmatch(found[1]):
        raise InvalidInput("Prefer: wait must be a number of seconds")
    return min(float(found[1]), MAX_WAIT)
