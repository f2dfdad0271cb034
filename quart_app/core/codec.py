"""The one JSON codec. Strict on the way in (I-JSON, RFC 7493, and then some); on the way out nothing is refused for
its characters, because a handler's work must not be lost for a stray NUL."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
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
MAX_DIGITS: Final = 1000  # of an integer that a client sends
MAX_OUT_DIGITS: Final = 4300  # of one that a handler returns: what Python and msgspec read back

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ESCAPED_NUL: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_LONG_NUMBER: Final = re.compile(f"[0-9]{{{MAX_OUT_DIGITS + 1}}}")


class NotJson(Exception):
    """A handler's value has no JSON form (a set, bytes, NaN, a cycle, an integer of over 4300 digits)."""


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
    """JSON text of what a handler returned, which `readback` makes the same value of again. NUL and lone surrogates
    become U+FFFD. Raises NotJson."""
    try:
        try:
            text = _ENCODER.encode(value)
        except TypeError as error:
            if not str(error).startswith("keys must be"):
                raise
            text = _ENCODER.encode(_with_text_keys(value))
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
    try:
        return msgspec.json.decode(text)
    except msgspec.ValidationError:  # it counts the sign of an integer as one of 4300 digits
        return json.loads(text)


def readback(text: str, wanted: Any) -> Any:
    """The value of type `wanted` that `encode` wrote, and plain JSON where that type is not what was written."""
    value = loads(text)
    try:
        return msgspec.convert(value, wanted)
    except (TypeError, ValueError, RecursionError):  # no type that msgspec knows, or another value than it says
        return value


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
    """What a Python developer expects to have a JSON form, beyond what `json` knows: what an annotation of that type
    reads back."""
    if isinstance(value, _KNOWN) or _is_record(value):
        # Bytes and sets stay what they are, and are refused as they are outside of a struct.
        return msgspec.to_builtins(_checked(value), builtin_types=_BYTES)
    raise TypeError(_refusal(value))


def _is_record(value: Any) -> bool:
    """Of a dataclass, or of a class of attrs."""
    return not isinstance(value, type) and (dataclasses.is_dataclass(value) or hasattr(value, "__attrs_attrs__"))


def _refusal(value: Any) -> str:
    name = type(value).__name__
    hint = ""
    if isinstance(value, (set, frozenset)):
        hint = "; return sorted(…) or list(…) of it"
    elif isinstance(value, _BYTES):
        hint = "; return .decode() or base64 of them, or write a file and return its name"
    return f"{name} is not JSON{hint}"


def _with_text_keys(value: Any) -> Any:
    """The same with keys such as dates, UUIDs, Decimals and members of an Enum as the text they are elsewhere."""
    if isinstance(value, dict):
        return {_key(key): _with_text_keys(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_text_keys(one) for one in value]
    return value


def _key(key: Any) -> Any:
    return _convert(key) if isinstance(key, _KEYS) and not isinstance(key, (str, int)) else key


_BYTES: Final = (bytes, bytearray, memoryview)
_KEYS: Final = (
    datetime.datetime,
    datetime.date,
    datetime.time,
    datetime.timedelta,
    decimal.Decimal,
    uuid.UUID,
    enum.Enum,
)
_KNOWN: Final = (msgspec.Struct, *_KEYS)
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
    if "integer string conversion" in str(error):
        return f"an integer of over {MAX_OUT_DIGITS} digits"
    return str(error)[:300]


def _check_digits(text: str) -> None:
    """A long run of digits stands in the text: in a string it is fine, as a number it is not."""

    def refuse(digits: str) -> int:
        if len(digits.lstrip("-")) > MAX_OUT_DIGITS:
            raise NotJson(f"an integer of over {MAX_OUT_DIGITS} digits")
        return 0

    json.loads(text, parse_int=refuse)


def _checked(value: Any) -> Any:
    """`to_builtins` would make lists of the sets in a struct's fields, texts of what is not finite, null of a NaN.
    Raises TypeError, ValueError for them."""
    if isinstance(value, (set, frozenset)):
        raise TypeError(_refusal(value))
    if isinstance(value, (float, decimal.Decimal)):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not JSON: it is not finite")
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            _checked(getattr(value, name))
    elif _is_record(value):
        for field in getattr(value, "__attrs_attrs__", None) or dataclasses.fields(value):
            _checked(getattr(value, field.name))
    elif isinstance(value, dict):
        for one in value.values():
            _checked(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            _checked(one)
    return value
