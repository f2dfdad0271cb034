"""The one JSON codec. Input is checked strictly (I-JSON, RFC 7493, and more). Output is never refused for its
characters, because a stray NUL must not lose a handler's work."""

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
from quart_app.core.secret import hide

MAX_DEPTH: Final = 64
MAX_NODES: Final = 10_000
MAX_DIGITS: Final = 1000  # of an integer that a client sends
MAX_OUT_DIGITS: Final = 4300  # of an integer that a handler returns: the most that Python and msgspec read back

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ESCAPED_NUL: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_LONG_NUMBER: Final = re.compile(f"[0-9]{{{MAX_OUT_DIGITS + 1}}}")


class NotJson(Exception):
    """A handler's value has no JSON form (a set, bytes, NaN, a cycle, an integer of over 4300 digits)."""


def decode(data: bytes, max_nodes: int = MAX_NODES) -> Any:
    """Parse what a client sent. Raises InvalidInput for everything that two parsers could read differently: invalid
    UTF-8, a BOM, duplicate keys, NaN and infinities, NUL and lone surrogates in text. Also for too large input: over
    64 levels, 10,000 values, or 1000 digits."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput("the body is not valid UTF-8") from None
    if len(data) > max_nodes:  # each value takes a byte, or more
        _bound(data, max_nodes)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"malformed JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise InvalidInput(f"JSON nested deeper than {MAX_DEPTH} levels") from None
    _check(value, max_nodes)
    return value


def encode(value: Any) -> str:
    """JSON text of a handler's value; `readback` turns it into an equal value. NUL and lone surrogates become U+FFFD.
    Raises NotJson."""
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
    """A text fit for a column: no NUL, no lone surrogates, no value of a secret setting, at most `limit` characters."""
    return _SURROGATE.sub("\ufffd", hide(text)[:limit]).replace("\x00", "\ufffd")


def scalar(value: Any, limit: int) -> str | int | float | bool | None:
    """Any value as one JSON scalar, for the log. Other values become their `repr`. Texts are cut to `limit`
    characters."""
    if value is None or type(value) is bool:
        return value
    if type(value) is str:
        return hide(value)[:limit]
    if (type(value) is int and abs(value) < 2**63) or (type(value) is float and math.isfinite(value)):
        return value
    try:
        return hide(repr(value))[:limit]
    except Exception:
        return f"<a {type(value).__name__} that cannot be shown>"


def number(value: float | None) -> float | None:
    """A number for JSON; a whole float becomes an int. Raises ValueError for a number that is not finite."""
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
    except msgspec.ValidationError:  # msgspec counts the sign of an integer as one of 4300 digits
        return json.loads(text)


def readback(text: str, wanted: Any) -> Any:
    """The value of type `wanted` that `encode` wrote; plain JSON when the text does not fit that type."""
    value = loads(text)
    try:
        return msgspec.convert(value, wanted)
    except (TypeError, ValueError, RecursionError):  # msgspec does not know the type, or the value is of another type
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
    """The JSON form of types that `json` does not know. An annotation of the same type reads it back."""
    if isinstance(value, _KNOWN) or _is_record(value):
        # Bytes and sets are not converted, so they are refused as outside of a struct.
        return msgspec.to_builtins(_checked(value), builtin_types=_BYTES)
    raise TypeError(_refusal(value))


def _is_record(value: Any) -> bool:
    """Whether it is an instance of a dataclass, or of a class of attrs."""
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
    """The same value. Keys such as dates, UUIDs, Decimals and Enum members get the text that they have as values."""
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


def _bound(data: bytes, max_nodes: int) -> None:
    """Refuse too many values before they are decoded, which takes long. In valid JSON they are counted as in `_check`;
    other text is refused anyway. Raises InvalidInput."""
    if len(data.translate(None, _NO_MARKS)) < max_nodes:  # marks in strings count too: there cannot be more
        return
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")  # now each quotation mark begins or ends a string
    pieces = data.split(b'"', 2 * max_nodes + 1)  # only as many as it takes to see that there are too many strings
    # Each string becomes a zero and blanks are removed, so that empty arrays and objects can be counted.
    outside = b"0".join(pieces[::2]).translate(None, b" \t\r\n")
    nodes = 1 + len(outside.translate(None, _NO_MARKS)) - outside.count(b"[]") - outside.count(b"{}")
    if len(pieces) // 2 <= max_nodes and nodes <= max_nodes:
        return
    if _DEEP.match(outside.translate(None, _NO_BRACKETS)):  # deep nesting later on is too many values as well
        raise InvalidInput(f"JSON nested deeper than {MAX_DEPTH} levels")
    raise InvalidInput(f"more than {max_nodes} values")


_NO_MARKS: Final = bytes(set(range(256)) - set(b",:[{"))
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_DEEP: Final = re.compile(rb"[\[{]{%d}" % (MAX_DEPTH + 1))


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
    """Called for a text with a long run of digits. Raises NotJson when it is a number and not in a string."""

    def refuse(digits: str) -> int:
        if len(digits.lstrip("-")) > MAX_OUT_DIGITS:
            raise NotJson(f"an integer of over {MAX_OUT_DIGITS} digits")
        return 0

    json.loads(text, parse_int=refuse)


def _checked(value: Any) -> Any:
    """Raises TypeError for sets and ValueError for numbers that are not finite. `to_builtins` would turn them into
    lists, texts and null in the fields of a struct."""
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
