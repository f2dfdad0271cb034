"""A request for a task, from HTTP, the command line, a schedule or the app's own code."""

from __future__ import annotations

from typing import Any

import msgspec

from quart_app.core.unique import OnDuplicate


class EnqueueOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of one task; None means the kind's default. Times in seconds, `run_at` in ms UTC."""

    delay: float | None = None
    run_at: int | None = None
    priority: int | None = None
    queue: str | None = None
    max_attempts: int | None = None
    timeout: float | None = None
    expires: float | None = None
    tags: tuple[str, ...] = ()
    idempotency_key: str | None = None
    traceparent: str | None = None
    owner: str = ""
    unique_key: str | None = None
    on_duplicate: OnDuplicate | None = None
    debounce: float | None = None


class TaskRequest(msgspec.Struct, frozen=True):
    """One task to make; `args` is decoded JSON."""

    kind: str
    args: Any
    options: EnqueueOptions = EnqueueOptions()
