"""Renders every error as an `application/problem+json` document (RFC 9457), with `error`, a short text, for simple
clients."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from quart import Blueprint, Quart, Response
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from quart_app.core.errors import (
    ArgsTooLarge,
    DiskLow,
    Draining,
    DuplicateTask,
    ErrorGroupNotFound,
    IdempotencyConflict,
    InvalidArgs,
    InvalidInput,
    KeyConflict,
    KeyedTaskGone,
    KeyGone,
    KeyNotFound,
    KindRefused,
    LimitNotFound,
    QuartAppError,
    QueueFull,
    QueueNotFound,
    ScheduleConflict,
    ScheduleNotFound,
    ScopeNeeded,
    SignalsFull,
    StoreUnavailable,
    TaskNotFound,
    TooManyStreams,
    UnknownKind,
    UploadsFull,
    VersionChanged,
    WrongState,
)

log = logging.getLogger("quart_app.web")

# error type -> (status, slug of the problem type, short text or None for the error's own)
_KNOWN: Final[tuple[tuple[type[QuartAppError], int, str, str | None], ...]] = (
    (ArgsTooLarge, 413, "args-too-large", "Args too large"),
    (InvalidInput, 400, "invalid-input", "Invalid input"),
    (InvalidArgs, 422, "invalid-args", "Invalid arguments"),
    (ScopeNeeded, 403, "insufficient-scope", "Forbidden"),
    (UnknownKind, 404, "unknown-kind", "Unknown kind"),
    (TaskNotFound, 404, "task-not-found", "Task not found"),
    (VersionChanged, 412, "version-changed", "The task has changed"),
    (WrongState, 409, "wrong-state", "Not possible in this status"),
    (IdempotencyConflict, 422, "idempotency-conflict", "Idempotency-Key reused"),
    (SignalsFull, 429, "signals-full", "Too many signals"),
    (DuplicateTask, 409, "duplicate-task", "Duplicate task"),
    (KeyedTaskGone, 410, "task-deleted", "Task deleted"),
    (KeyGone, 401, "unauthorized", "Unauthorized"),
    (KindRefused, 403, "kind-refused", "Forbidden"),
    (KeyNotFound, 404, "key-not-found", "Key not found"),
    (KeyConflict, 409, "key-conflict", "Not possible with this key"),
    (LimitNotFound, 404, "limit-not-found", "Limit not found"),
    (QueueNotFound, 404, "queue-not-found", "Queue not found"),
    (ErrorGroupNotFound, 404, "error-not-found", "Error not found"),
    (ScheduleNotFound, 404, "schedule-not-found", "Schedule not found"),
    (ScheduleConflict, 409, "schedule-conflict", "Not possible with this schedule"),
    (UploadsFull, 503, "uploads-full", "Too many uploads"),
    (QueueFull, 503, "queue-full", "Queue full"),
    (DiskLow, 503, "disk", "Disk nearly full"),
    (TooManyStreams, 503, "too-many-streams", "Too many streams"),
    (Draining, 503, "draining", "Server stopping"),
    (StoreUnavailable, 503, "store-unavailable", "Store unavailable"),
)
RETRY_AFTER: Final = {
    "uploads-full": "60",
    "signals-full": "60",
    "queue-full": "5",
    "disk": "60",
    "too-many-streams": "5",
    "draining": "2",
    "store-unavailable": "2",
}


class Problem(Exception):
    """Raise to answer with a problem document."""

    def __init__(
        self, status: int, slug: str, title: str, detail: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail or title)
        self.status = status
        self.slug = slug
        self.title = title
        self.detail = detail
        self.headers = headers or {}


def problem(
    status: int,
    slug: str | None,
    title: str,
    detail: str = "",
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response:
    """A problem document. `slug` None means the type about:blank: the status tells enough."""
    document: dict[str, Any] = {
        "type": f"urn:quart-app:problem:{slug}" if slug else "about:blank",
        "title": title,
        "status": status,
        "detail": detail or title,
        "error": title,
        **members,
    }
    if errors:
        document["errors"] = errors
    response = Response(msgspec.json.encode(document), status, content_type="application/problem+json")
    for name, value in (headers or {}).items():
        response.headers[name] = value
    return response


def register(target: Quart | Blueprint) -> None:
    """Answer errors with problem documents: those of a whole app, or of one blueprint in an embedding app."""
    target.register_error_handler(QuartAppError, _known)
    target.register_error_handler(Problem, _raised)
    target.register_error_handler(HTTPException, _http)
    target.register_error_handler(Exception, _unexpected)


async def _known(error: QuartAppError) -> Response:
    for kind, status, slug, title in _KNOWN:
        if isinstance(error, kind):
            headers = {"Retry-After": RETRY_AFTER[slug]} if slug in RETRY_AFTER else {}
            if status == 401:
                headers["WWW-Authenticate"] = "Bearer"
            if isinstance(error, ScopeNeeded):  # RFC 6750, 3.1
                headers["WWW-Authenticate"] = f'Bearer error="insufficient_scope", scope="{error.scope}"'
            return problem(
                status,
                slug,
                title or str(error),
                ""
                if isinstance(error, TaskNotFound | KeyNotFound | ScheduleNotFound | ErrorGroupNotFound)
                else str(error)[:1000],
                errors=_pointers(error),
                headers=headers,
                **({"task_id": error.task_id} if isinstance(error, DuplicateTask) else {}),
            )
    return await _unexpected(error)


def _pointers(error: QuartAppError) -> list[Mapping[str, str]]:
    if isinstance(error, InvalidArgs):
        return [{"pointer": pointer, "detail": detail} for pointer, detail in error.errors]
    if isinstance(error, InvalidInput) and error.pointer is not None:
        return [{"pointer": error.pointer, "detail": error.detail}]
    return []


async def _raised(error: Problem) -> Response:
    return problem(error.status, error.slug, error.title, error.detail, headers=error.headers)


async def _http(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400:  # a redirect of the router
        return error.get_response()  # type: ignore[return-value]
    headers = {}
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        headers["Allow"] = ", ".join(sorted(error.valid_methods))
    if isinstance(error, RequestEntityTooLarge):
        headers["Connection"] = "close"
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Error"
    return problem(status, None, phrase, headers=headers)


async def _unexpected(error: Exception) -> Response:
    number = secrets.token_hex(6)
    log.error("error %s while answering a request", number, exc_info=error)
    return problem(500, None, "Internal Server Error", f"error {number}; the server's log has the details", id=number)
