"""Turns msgspec's messages into JSON Pointers (RFC 6901), which name the wrong place in a document."""

from __future__ import annotations

import re
from typing import Final

from quart_app.core import codec

_PATH: Final = re.compile(r"^(.*) - at `\$(.*)`$", re.DOTALL)
_UNKNOWN: Final = re.compile(r"^Object contains unknown field `(.*)`$", re.DOTALL)
_MISSING: Final = re.compile(r"^Object missing required field `(.*)`$", re.DOTALL)


def explain(message: str) -> tuple[str, str]:
    """(JSON Pointer, detail) of a validation message that ends in a JSONPath."""
    found = _PATH.match(message)
    detail, path = (found[1], found[2]) if found else (message, "")
    pointer = "".join(token(part) for part in re.findall(r"[^.\[\]]+", path) if part)
    if unknown := _UNKNOWN.match(detail):
        return pointer + token(unknown[1]), "unknown argument"
    if missing := _MISSING.match(detail):
        return pointer + token(missing[1]), "is required"
    return pointer, codec.clean(detail, 500)


def token(name: str) -> str:
    """One reference token of a JSON Pointer (RFC 6901)."""
    return "/" + name[:200].replace("~", "~0").replace("/", "~1")
