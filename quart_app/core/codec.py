"""The one JSON codec. Strict on the way in (I-JSON, RFC 7493, and then some); on the way out nothing is refused for
its characters, because a handler's work must not be lost for a stray NUL."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import math
import re
import uuid
from typing import Any, Final

import msgspec

from quart_app.core.errors import InvalidInput

MAX_DEPTH: Final = 64
MAX_NODES: Final = 10_000
MAX_DIGITS: Final = 1000

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ESCAPED_NUL: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_LONG_NUMBER: Final = re.compile(f"[0-9]{{{MAX_DIGITS + 1}}}")


class NotJson(Exception):
    """A handler's value has no JSON form (a set, bytes, NaN, a cycle, an integer of over 1000 digits)."""


def decode(data: bytes, max_nodes: int = MAX_NODES) -> Any:
    """Parse what a client sent. Raises InvalidInput for everything that two parsers could read differently: invalid
    UTF-8, a BOM, duplicate keys, NaN and infinities, NUL and lone surrogates in text, and for what is too large:
    over 64 levels, 10,000 values, or 1000 digits."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput("the body is not valid UTF-8") from None
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"malformed JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise InvalidInput(f"JSON nested deeper than {MAX_DEPTH} levels") from None
    _check(value, max_nodes)
    return value


def encode(value: Any) -> str:
    """JSON text of what a handler returned. NUL and lone surrogates become U+FFFD. Raises NotJson."""
    try:
        text = _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJson(_reason(error)) from None
    if "\\u0000" in text:
        text = _ESCAPED_NUL.sub("\\1\ufffd", text)
    if not text.isascii():
        text = _SURROGATE.sub("\ufffd", text)
    if _LONG_NUMBER.search(text):
        _check_digits(text)
    return text


def clean(text: str, limit: int) -> str:
    """A text fit for a column: no NUL, no lone surrogates, at most `limit` characters."""
    return _SURROGATE.sub("\ufffd", text[:limit]).replace("\x00", "\ufffd")


def scalar(value: Any, limit: int) -> str | int | float | bool | None:
    """Any value as one JSON scalar, for the log: what is none by itself as the text that Python shows it with, cut to
    `limit` characters."""
    if value is None or type(value) is bool:
        return value
    if type(value) is str:
        return value[:limit]
    if (type(value) is int and abs(value) < 2**63) or (type(value) is float and math.isfinite(value)):
        return value
    try:
        return repr(value)[:limit]
    except Exception:
        return f"<a {type(value).__name__} that cannot be shown>"


def number(value: float | None) -> float | None:
    """As JSON has it, whole ones as such. Raises ValueError for what is not finite."""
    if value is None:
        return None
    number = float(value)
    if not abs(number) < 1e300:
        raise ValueError("progress takes finite numbers")
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def loads(text: str) -> Any:
    """Read back what `encode` or a checked client wrote."""
    return msgspec.json.decode(text)


def compact(value: Any) -> str:
    """JSON text of a value that `decode` accepted."""
    return msgspec.json.encode(value).decode()


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise InvalidInput(f"duplicate key {twice[:100]!r}")
    return value


def _refuse_constant(name: str) -> Any:
    raise InvalidInput(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise InvalidInput("a number is too large")
    return value


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > MAX_DIGITS:
        raise InvalidInput(f"an integer has over {MAX_DIGITS} digits")
    return int(text)


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_integer
)


def _convert(value: Any) -> Any:
    """What a Python developer expects to have a JSON form, beyond what `json` knows."""
    if isinstance(value, _KNOWN) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
        # Bytes and sets stay what they are, and are refused as they are outside of a struct.
        return msgspec.to_builtins(_without_sets(value), builtin_types=(bytes, bytearray))
    raise TypeError(f"{type(value).__name__} is not JSON")


_KNOWN: Final = (msgspec.Struct, datetime.datetime, datetime.date, datetime.time, uuid.UUID, enum.Enum)
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_convert)


def _check(root: Any, max_nodes: int) -> None:
    nodes = 0
    level: list[Any] = [root]
    for _depth in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for value in level:
            if type(value) is str:
                if "\x00" in value or _SURROGATE.search(value):
                    raise InvalidInput("text holds a NUL or a lone surrogate")
            elif type(value) is dict:
                below.extend(value)
                below.extend(value.values())
            elif type(value) is list:
                below.extend(value)
        nodes += len(level)
        if nodes > max_nodes:
            raise InvalidInput(f"more than {max_nodes} values")
        if not any(type(value) in (dict, list) for value in level):
            return
        level = below
    raise InvalidInput(f"JSON nested deeper than {MAX_DEPTH} levels")


def _reason(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "the value is nested too deeply"
    return str(error)[:300]


def _check_digits(text: str) -> None:
    """A long run of digits stands in the text: in a string it is fine, as a number it is not."""

    def refuse(digits: str) -> int:
        if len(digits.lstrip("-")) > MAX_DIGITS:
            raise NotJson(f"an integer of over {MAX_DIGITS} digits")
        return 0

    json.loads(text, parse_int=refuse)


def _without_sets(value: Any) -> Any:
    """`to_builtins` would make lists of the sets in a struct's fields; raises TypeError for them."""
    if isinstance(value, (set, frozenset)):
        raise TypeError("set is not JSON")
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            _without_sets(getattr(value, name))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            _without_sets(getattr(value, field.name))
    elif isinstance(value, dict):
        for one in value.values():
            _without_sets(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            _without_sets(one)
    return value
