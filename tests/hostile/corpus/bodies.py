"""Bodies that no endpoint may take for JSON it understands. A new case is a new line: a name and its bytes."""

from __future__ import annotations

import codecs
import gzip
import pickle
from collections.abc import Iterator
from typing import Final

SYNTAX: Final[dict[str, bytes]] = {
    "nothing but space": b" \r\n\t x",
    "open object": b"{",
    "open array": b"[",
    "open string": b'{"value": "abc',
    "closed before opened": b"}{",
    "wrong bracket": b'{"value": [1}',
    "no value": b'{"value":}',
    "no colon": b'{"value" 1}',
    "no key": b"{:1}",
    "only a key": b'{"value"}',
    "only a comma": b"{,}",
    "comma at the end of an object": b'{"value": 1,}',
    "comma at the end of an array": b'{"value": [1,]}',
    "two commas": b'{"value": [1,,2]}',
    "bare key": b"{value: 1}",
    "single quotes": b"{'value': 1}",
    "number as a key": b"{1: 1}",
    "comment": b'{"value": 1} // one',
    "comment inside": b'{/* one */"value": 1}',
    "hash comment": b'{"value": 1} # one',
    "junk behind": b'{"value": 1}junk',
    "NUL and junk behind": b'{"value": 1}\x00junk',
    "NUL behind": b'{"value": 1}\x00',
    "NUL before": b'\x00{"value": 1}',
    "two documents": b'{"value": 1}{"value": 2}',
    "two lines": b'{"value": 1}\n{"value": 2}',
    "python words": b'{"value": None, "other": True}',
    "javascript word": b'{"value": undefined}',
    "wrong word": b'{"value": nul}',
    "upper case word": b'{"value": TRUE}',
    "form": b"value=1&kind=echo",
    "yaml": b"value: 1\n",
    "xml": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "multipart": b'--x\r\nContent-Disposition: form-data; name="kind"\r\n\r\necho\r\n--x--\r\n',
    "multipart without an end": b"--x\r\n" * 1000,
    "gzip": gzip.compress(b'{"value": 1}'),
    "gzip bomb": gzip.compress(b"[" * 1_000_000),
    "pickle": pickle.dumps({"value": 1}),
    "msgpack": b"\x81\xa5value\x01",
    "cbor": b"\xa1\x65value\x01",
    "bson": b"\x10\x00\x00\x00\x10value\x00\x01\x00\x00\x00\x00",
    "sql": b"'; DROP TABLE tasks; --",
    "template": b"{{7*7}}",
    "every byte": bytes(range(256)),
}

NUMBERS: Final[dict[str, bytes]] = {
    name: b'{"value": %s}' % text
    for name, text in {
        "NaN": b"NaN",
        "minus NaN": b"-NaN",
        "Infinity": b"Infinity",
        "minus Infinity": b"-Infinity",
        "short words": b"nan",
        "inf": b"inf",
        "1e309": b"1e309",
        "1e999": b"1e999",
        "-1e999": b"-1e999",
        "exponent of 5000 digits": b"1e" + b"9" * 5000,
        "1001 digits": b"1" * 1001,
        "-1001 digits": b"-" + b"1" * 1001,
        "10^4 digits": b"1" * 10_000,
        "10^5 digits": b"1" * 100_000,
        "leading zero": b"01",
        "minus and leading zero": b"-01",
        "plus": b"+1",
        "hexadecimal": b"0x10",
        "octal": b"0o7",
        "underscore": b"1_0",
        "no digit before the point": b".5",
        "no digit behind the point": b"5.",
        "no exponent": b"1e",
        "exponent with a point": b"1e1.5",
        "two minus": b"--1",
        "only minus": b"-",
        "minus and space": b"- 1",
        "arabic digit": "\u0663".encode(),
        "full-width digit": "\uff11".encode(),
        "fraction": b"1/2",
        "thousands": b"1,000",
    }.items()
}

TEXTS: Final[dict[str, bytes]] = {
    "NUL escaped": rb'{"value": "\u0000"}',
    "NUL escaped in a key": rb'{"\u0000": 1}',
    "NUL among others": rb'{"value": ["a", {"b": "c\u0000d"}]}',
    "raw NUL": b'{"value": "a\x00b"}',
    "raw line end": b'{"value": "a\nb"}',
    "raw tab": b'{"value": "a\tb"}',
    "raw escape": b'{"value": "a\x1bb"}',
    "raw control in a key": b'{"a\x01": 1}',
    "high surrogate": rb'{"value": "\ud800"}',
    "low surrogate": rb'{"value": "\udc00"}',
    "surrogates the wrong way round": rb'{"value": "\udc00\ud800"}',
    "surrogate in a key": rb'{"\ud800": 1}',
    "surrogate deep inside": rb'{"value": [[[{"a": "\udfff"}]]]}',
    "unknown escape": rb'{"value": "\x41"}',
    "short escape": rb'{"value": "\u12"}',
    "escape without an end": b'{"value": "\\',
    "escaped quote without an end": rb'{"value": "\"}',
}

ENCODINGS: Final[dict[str, bytes]] = {
    "BOM": codecs.BOM_UTF8 + b'{"value": 1}',
    "only a BOM": codecs.BOM_UTF8,
    "UTF-16": '{"value": 1}'.encode("utf-16"),
    "UTF-16 LE": '{"value": 1}'.encode("utf-16-le"),
    "UTF-16 BE": '{"value": 1}'.encode("utf-16-be"),
    "UTF-32": '{"value": 1}'.encode("utf-32"),
    "UTF-32 BE": '{"value": 1}'.encode("utf-32-be"),
    "latin-1": '{"value": "é"}'.encode("latin-1"),
    "lone continuation": b'{"value": "\x80"}',
    "cut sequence": b'{"value": "\xe2\x82"}',
    "overlong NUL": b'{"value": "\xc0\x80"}',
    "overlong slash": b'{"value": "\xe0\x80\xaf"}',
    "encoded surrogate": b'{"value": "\xed\xa0\x80"}',
    "beyond Unicode": b'{"value": "\xf4\x90\x80\x80"}',
    "five-byte sequence": b'{"value": "\xf8\x88\x80\x80\x80"}',
    "0xFF": b'{"value": "\xff"}',
    "invalid in a key": b'{"\xfe": 1}',
    "invalid behind": b'{"value": 1}\xff',
}

# For endpoints that take an object: well-formed, and not one. (`POST /tasks` has its own list in entries.py.)
NOT_OBJECTS: Final[dict[str, bytes]] = {
    "null": b"null",
    "true": b"true",
    "zero": b"0",
    "number": b"1.5",
    "text": b'"value"',
    "empty text": b'""',
    "array": b"[]",
    "array of an object": b'[{"value": 1}]',
    "array of pairs": b'[["value", 1]]',
}

_WHOLE: Final = (
    rb'{"kind":"echo","args":{"value":[1,-2.5e3,true,null,"\u00e9\ud83d\ude00",{"a":{"b":[[]]}}]},"tags":["t"]}'
)


def duplicate_keys() -> Iterator[tuple[str, bytes]]:
    """A key given twice, at every level of objects and of arrays."""
    for level in range(20):
        yield f"duplicate key {level} objects deep", b'{"a":' * level + b'{"k":1,"b":2,"k":1}' + b"}" * level
        yield f"duplicate key {level} arrays deep", b'{"a":' + b"[" * level + b'{"k":1,"k":2}' + b"]" * level + b"}"
    yield "duplicate key once escaped", rb'{"value": 1, "\u0076alue": 2}'
    yield "duplicate empty key", b'{"": 1, "": 2}'
    yield "ten thousand times the same key", b"{" + b'"a":1,' * 9999 + b'"a":1}'
    for name in (b"kind", b"args", b"to", b"x", b"value", b"text"):
        yield f"duplicate {name.decode()}", b'{"%b": 1, "%b": 1}' % (name, name)


def nested() -> Iterator[tuple[str, bytes]]:
    """Deeper than 64 levels, closed and not."""
    for depth in (66, 100, 500, 1000, 5000, 10_000, 100_000):
        yield f"{depth} arrays", b'{"value":' + b"[" * depth + b"]" * depth + b"}"
        yield f"{depth} open arrays", b"[" * depth
        yield f"{depth} objects", b'{"a":' * depth + b"1" + b"}" * depth
        yield f"{depth} open objects", b'{"a":' * depth
        yield f"{depth} of both", b'[{"a":' * (depth // 2) + b"1" + b"}]" * (depth // 2)


def too_large() -> Iterator[tuple[str, bytes]]:
    """More values, or more bytes, than are taken."""
    yield "10,001 items", b'{"value":[' + b"0," * 10_000 + b"0]}"
    yield "20,000 empty arrays", b'{"value":[' + b"[]," * 19_999 + b"[]]}"
    yield "50,000 keys", b"{" + b",".join(b'"k%d":0' % number for number in range(50_000)) + b"}"
    yield "100,000 keys", b"{" + b",".join(b'"k%d":0' % number for number in range(100_000)) + b"}"
    yield "one byte too many", b'{"value": "' + b"a" * (1_048_576 - 12) + b'"}'
    yield "a megabyte of spaces", b" " * 1_048_577


def cut() -> Iterator[tuple[str, bytes]]:
    """A good document that ends too early, at every byte. None of its beginnings is a document."""
    for size in range(1, len(_WHOLE)):
        yield f"cut after {size} bytes", _WHOLE[:size]


def flipped() -> Iterator[tuple[str, bytes]]:
    """A good document with one byte that may stand nowhere in JSON."""
    for place in range(len(_WHOLE)):
        for byte in (b"\x00", b"\xff"):
            yield f"byte {byte!r} at {place}", _WHOLE[:place] + byte + _WHOLE[place + 1 :]


def malformed() -> Iterator[tuple[str, bytes]]:
    """Everything that is refused wherever JSON is read."""
    for table in (SYNTAX, NUMBERS, TEXTS, ENCODINGS):
        yield from table.items()
    for generator in (duplicate_keys, nested, cut):
        yield from generator()
