"""What a function returned, read back from its JSON text. Pure.

The text knows no types; the annotation of the function does. It is read the same way the first time and in a replay, so
that the two cannot differ: where there is no annotation both give plain JSON (a tuple becomes a list).
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any, Final

from quart_app.core import codec


def read(text: str, fn: Callable[..., Any]) -> Any:
    """The value, of the type that `fn` is annotated to return. Plain JSON where that is not what was written."""
    wanted = _type_of(fn)
    return codec.loads(text) if wanted is Any else codec.readback(text, wanted)


def _type_of(fn: Callable[..., Any]) -> Any:
    """Any: plain JSON is all there is to know."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    if isinstance(fn, type):
        return Any if fn in _PLAIN else fn
    if not inspect.isroutine(fn):
        fn = type(fn).__call__
    if getattr(fn, "__annotations__", {}).get("return", Any) in _PLAIN:
        return Any
    try:
        return typing.get_type_hints(fn, include_extras=True)["return"]
    except Exception:  # a name that is there for type checkers alone
        return Any


_PLAIN: Final = (Any, None, str, int, float, bool, dict, list, "Any", "None", "str", "int", "float", "bool")
