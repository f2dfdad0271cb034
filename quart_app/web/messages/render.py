"""Renders rows as the JSON of the API: times as in RFC 3339, documents embedded as they were stored."""

from __future__ import annotations

import datetime
import functools
from typing import Any, Final

import msgspec
from quart import Response

from quart_app.core import codec
from quart_app.core.error_groups import ErrorGroup
from quart_app.core.flow import WaitingTask
from quart_app.core.task import Enqueued, ErrorRecord, Event, FeedEvent, StepRecord, Task

NULL: Final = msgspec.Raw(b"null")
_encode: Final = msgspec.json.Encoder().encode
_UTC: Final = datetime.UTC


def moment(at: int | None) -> str | None:
    if at is None:
        return None
    return f"{_second(at // 1000)}.{at % 1000:03d}Z"


@functools.lru_cache(maxsize=4096)
def _second(at: int) -> str:
    """`at` (seconds since 1970) as a text. Kept, because polls show the same few times again and again."""
    return datetime.datetime.fromtimestamp(at, _UTC).strftime("%Y-%m-%dT%H:%M:%S")


def answer(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    response = Response(_encode(document), status, headers, content_type="application/json")
    # Small answers fit the socket's buffer, so a time limit (an asyncio task more for each request) has no use.
    response.timeout = None
    return response


def empty(status: int, headers: dict[str, str] | None = None) -> Response:
    response = Response(b"", status, headers)
    del response.headers["Content-Type"]
    return response


def created(made: Enqueued, message: str, prefix: str) -> Response:
    """A 202 with the address of the task."""
    status_url = f"{prefix}/tasks/{made.id}"
    document: dict[str, Any] = {
        "task_id": made.id,
        "status": made.status,
        "message": message,
        "status_url": status_url,
        "events_url": f"{status_url}/events",
    }
    if made.duplicate:
        document |= {"message": "A task with this unique key is there already", "duplicate": True}
    headers = {"Location": status_url, "Retry-After": "1"}
    if made.replayed:
        headers["Idempotency-Replayed"] = "true"
    return answer(document, 202, headers)


def version(task: Task) -> str:
    """The version of what is shown. A task that is due may be held back, or not any more, without being written."""
    due = task.status == "pending" and (task.waiting_for or "").startswith(("limit:", "paused"))
    return f"{task.version}.{task.waiting_for}" if due else str(task.version)


def listing(name: str, views: list[Any], following: str | None) -> Response:
    """A page of a list. `following`: the address of the next one."""
    return answer({name: views, "next": following}, headers=next_link(following))


def next_link(following: str | None) -> dict[str, str] | None:
    """The field that leads to the next page (RFC 8288)."""
    return {"Link": f'<{following}>; rel="next"'} if following else None


def etag(task: Task) -> str:
    return f'"{version(task)}"'


def raw(text: str | None) -> msgspec.Raw:
    return NULL if text is None else msgspec.Raw(text.encode())


def urls(task_id: str, prefix: str) -> dict[str, str]:
    return {"status_url": f"{prefix}/tasks/{task_id}", "events_url": f"{prefix}/tasks/{task_id}/events"}


def task(row: Task, prefix: str, documents: bool = True) -> dict[str, Any]:
    """The task as clients see it; without `args` and `result` in plain listings."""
    view: dict[str, Any] = {
        "task_id": row.id,
        "kind": row.kind,
        "queue": row.queue,
        "status": row.status,
        "priority": row.priority,
        "attempt": row.attempt,
        "max_attempts": row.max_attempts,
        "crashes": row.crashes,
        "created_at": moment(row.created_at),
        "run_at": moment(row.run_at),
        "started_at": moment(row.started_at),
        "completed_at": moment(row.completed_at),
        "progress": _progress(row),
        "error": _error(row),
        "waiting_for": row.waiting_for,
        "parent_id": row.parent_id,
        "children": _children(row) if row.children else None,
        "forked_from": row.forked_from,
        "unique_key": row.unique_key,
        "code_version": row.code_version,
        "tags": raw(row.tags) if row.tags else [],
        "owner": row.owner or None,
        "version": row.version,
        "status_url": f"{prefix}/tasks/{row.id}",
        "events_url": f"{prefix}/tasks/{row.id}/events",
    }
    if documents:
        view["args"] = raw(row.args)
        view["result"] = raw(row.result)
    return view


def _children(row: Task) -> dict[str, Any]:
    return {"total": row.children, "ended": row.children_ended, "failed": row.children_failed}


def waiting(one: WaitingTask) -> dict[str, Any]:
    """A task that waits for a signal."""
    return {
        "task_id": one.id,
        "kind": one.kind,
        "signal": one.signal,
        "since": moment(one.since),
        "timeout_at": moment(one.timeout_at),
        "links": [],
    }


def error_group(one: ErrorGroup) -> dict[str, Any]:
    """The failed tasks of one fingerprint."""
    return {
        "fingerprint": one.fingerprint,
        "kind": one.kind,
        "type": one.type,
        "message": one.message,
        "place": one.place,
        "count": one.count,
        "first_seen": moment(one.first_seen),
        "last_seen": moment(one.last_seen),
        "task_id": one.task_id,
    }


def _progress(row: Task) -> dict[str, Any] | None:
    if row.done is None and row.total is None and row.message is None:
        return None
    percent = None
    if row.done is not None and row.total:
        percent = round(min(max(100 * row.done / row.total, 0.0), 100.0), 1)
    return {"done": number(row.done), "total": number(row.total), "percent": percent, "message": row.message}


def number(value: float | None) -> float | int | None:
    return int(value) if value is not None and value.is_integer() and abs(value) < 2**53 else value


def _error(row: Task) -> dict[str, Any] | None:
    if row.error_type is None:
        return None
    return {
        "type": row.error_type,
        "message": row.error_message,
        "attempt": row.error_attempt,
        "retryable": bool(row.error_retryable),
    }


def step(one: StepRecord) -> dict[str, Any]:
    return {"name": one.name, "output": raw(one.output), "attempt": one.attempt, "at": moment(one.at), "type": one.type}


def log_line(one: Event) -> dict[str, Any]:
    return {"seq": one.seq, "at": moment(one.at), "attempt": one.attempt, **codec.loads(one.data or "{}")}


def event(one: Event) -> dict[str, Any]:
    return {"event": one.name, **_told(one)}


def sse(one: FeedEvent) -> bytes:
    """An event as a frame of text/event-stream (HTML, 9.2.6); JSON text has no line ends."""
    if one.sse is None:
        head = f"id: {one.seq}\nevent: {one.event.name}\ndata: "
        one.sse = b"%b%b\n\n" % (head.encode(), _encode(_told(one.event)))
    return one.sse


def frame(one: FeedEvent) -> str:
    """An event as a WebSocket message."""
    if one.text is None:
        one.text = _encode(event(one.event)).decode()
    return one.text


def _told(one: Event) -> dict[str, Any]:
    return {
        "task_id": one.task_id,
        "seq": one.seq,
        "at": moment(one.at),
        "status": one.status,
        "cause": one.cause,
        "attempt": one.attempt,
        "data": raw(one.data) if one.data is not None else {},
    }


def attempts(events: list[Event], errors: list[ErrorRecord]) -> list[dict[str, Any]]:
    """One entry for each run: its claim, how it ended, its error. The fence counts claims, so it matches an error to
    its claim."""
    by_fence = {error.fence: error for error in errors}
    found: list[dict[str, Any]] = []
    for one in events:
        if one.name != "status":
            continue
        if one.cause == "claim":
            error = by_fence.get(len(found) + 1)
            found.append(
                {
                    "attempt": one.attempt,
                    "code_version": codec.loads(one.data).get("code_version") if one.data is not None else None,
                    "started_at": moment(one.at),
                    "ended_at": None,
                    "outcome": None,
                    "error": _described(error) if error is not None else None,
                }
            )
        elif found and found[-1]["outcome"] is None and one.cause != "cancel_requested":
            found[-1] |= {"ended_at": moment(one.at), "outcome": one.cause}
    return found


def _described(error: ErrorRecord) -> dict[str, Any]:
    return {
        "type": error.type,
        "message": error.message,
        "attempt": error.attempt,
        "retryable": bool(error.retryable),
        "at": moment(error.at),
        "traceback": error.traceback,
    }
