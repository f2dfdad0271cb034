"""Tells whether two requests under one idempotency key ask for the same task."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from quart_app.core import codec


def fingerprint(kind: str, args: Any, options: msgspec.Struct) -> str:
    """Equal for two requests that ask for the same task: the same kind, args and options, except the idempotency key
    and the trace."""
    given = msgspec.to_builtins(options)
    del given["idempotency_key"], given["traceparent"]
    for later in ("unique_key", "on_duplicate", "debounce"):  # keys that were stored before there were these stay good
        if given[later] is None:
            del given[later]
    return hashlib.sha256(codec.compact([kind, _sorted(args), given]).encode()).hexdigest()


def _sorted(value: Any) -> Any:
    if type(value) is dict:
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(one) for one in value] if type(value) is list else value
