"""Reads the value that a function returned from its JSON text. Pure.

The text has no types, so the annotation of the function gives them. The value is read the same way in the first run and
in a replay, so that the two cannot differ: without an annotation both give plain JSON (a tuple becomes a list).
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any, Final

from quart_app.core import codec


def read(text: str, fn: Callable[..., Any]) -> Any:
    """The value, of the type that `fn` is annotated to return; plain JSON when the text does not fit that type."""
    wanted = _type_of(fn)
    return codec.loads(text) if wanted is Any else codec.readback(text, wanted)


def _type_of(fn: Callable[..., Any]) -> Any:
    """The return type of `fn`; Any means plain JSON."""
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
    except Exception:  # a name that exists only for type checkers
        return Any


_PLAIN: Final = (Any, None, str, int, float, bool, dict, list, "Any", "None", "str", "int", "float", "bool")
