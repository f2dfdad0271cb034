"""Decodes a page from the character set that its site names. It takes time, so do not call it on the event loop."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from encodings import normalize_encoding
from encodings.aliases import aliases
from typing import Final

PIECE: Final = 16_384  # bytes; a call of a decoder blocks all other threads, and takes longest when no byte is valid

# The names that Python knows. For any other name it would look for a module, and keep the name in memory.
_NAMES: Final = frozenset(aliases) | frozenset(aliases.values())
_NO_CHARSETS: Final = frozenset(
    {"idna", "unicode-escape", "unicode_escape", "raw-unicode-escape", "raw_unicode_escape"}
)


def texts(body: bytes, charset: str) -> Iterator[str]:
    """Yield the text of `body` in pieces. Bytes that are no character of the set become U+FFFD."""
    decoder = codecs.getincrementaldecoder(charset)("replace")
    for start in range(0, len(body), PIECE):
        yield decoder.decode(body[start : start + PIECE])
    yield decoder.decode(b"", True)


def charset(parameters: str) -> str:
    """The name of the character set in the parameters of a Content-Type; `utf-8` when it is missing, unknown, or does
    not encode ASCII as ASCII."""
    name = normalize_encoding(parameters.partition("charset=")[2].partition(";")[0].strip("\"' ")).lower()
    if name not in _NAMES:
        return "utf-8"
    try:
        known = codecs.lookup(name).name
        return known if known not in _NO_CHARSETS and "a".encode(known) == b"a" else "utf-8"
    except (LookupError, ValueError):
        return "utf-8"
