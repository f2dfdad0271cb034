"""The contents of the answers, as types: the source of their JSON Schemas. `web/messages/render.py` and the views make
the values."""

from __future__ import annotations

import datetime
import uuid
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from quart_app.core.arg_types import UploadId
from quart_app.core.keys import Scope
from quart_app.core.schedule import CatchUp, Overlap
from quart_app.core.task import Status

Moment = Annotated[datetime.datetime, Meta(tz=True)]  # RFC 3339, UTC, with milliseconds
Url = Annotated[str, Meta(description="Relative to this server", extra_json_schema={"format": "uri-reference"})]
Natural = Annotated[int, Meta(ge=0)]


class Progress(msgspec.Struct):
    done: float | None
    total: float | None
    percent: Annotated[float, Meta(ge=0, le=100)] | None
    message: str | None


class TaskError(msgspec.Struct):
    type: Annotated[str, Meta(description="The exception, or a word such as timeout, expired, poisoned")]
    message: str
    attempt: Natural | None
    retryable: bool


class Children(msgspec.Struct):
    total: Natural
    ended: Natural
    failed: Natural


class ListedTask(msgspec.Struct, kw_only=True):
    task_id: uuid.UUID
    kind: str
    queue: str
    status: Status
    priority: int
    attempt: Natural
    max_attempts: Natural
    crashes: Annotated[int, Meta(ge=0, description="How often the server died under it")]
    created_at: Moment
    run_at: Annotated[Moment, Meta(description="It does not start before")]
    started_at: Moment | None
    completed_at: Annotated[Moment, Meta(description="When it ended, in whatever way")] | None
    progress: Progress | None
    error: TaskError | None
    waiting_for: (
        Annotated[
            str,
            Meta(description="time (asleep), children, paused, unique_key, signal:<name>, kind:<kind>, limit:<name>"),
        ]
        | None
    )
    parent_id: uuid.UUID | None
    children: Children | None
    forked_from: uuid.UUID | None
    unique_key: str | None
    code_version: Annotated[str, Meta(description="Of the last attempt, as QUART_APP_CODE_VERSION said")] | None
    tags: list[str]
    owner: str | None
    version: Annotated[int, Meta(description="Rises with every change; the ETag")]
    status_url: Url
    events_url: Url
    args: Annotated[Any, Meta(description="Only with `fields`")] | UnsetType = UNSET
    result: Annotated[Any, Meta(description="Only with `fields`")] | UnsetType = UNSET


class Task(ListedTask, kw_only=True):
    args: dict[str, Any]
    result: Annotated[Any, Meta(description="What the handler returned; null until the task is completed")]


class TaskPage(msgspec.Struct):
    tasks: list[ListedTask]
    next: Annotated[str, Meta(description="The next page", extra_json_schema={"format": "uri-reference"})] | None


class CreatedTask(msgspec.Struct):
    task_id: uuid.UUID
    status: Status
    message: str
    status_url: Url
    events_url: Url
    duplicate: bool | UnsetType = UNSET


class Uploaded(msgspec.Struct):
    upload_id: UploadId
    size: Annotated[int, Meta(ge=0, description="Bytes")]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class BatchedTask(msgspec.Struct):
    task_id: uuid.UUID
    status: Status
    status_url: Url
    replayed: bool | UnsetType = UNSET
    duplicate: bool | UnsetType = UNSET


class CreatedTasks(msgspec.Struct):
    tasks: Annotated[list[BatchedTask], Meta(description="In the order of the request")]


class RecordedError(TaskError):
    at: Moment
    traceback: str | None


class Attempt(msgspec.Struct):
    attempt: Natural
    code_version: Annotated[str, Meta(description="As QUART_APP_CODE_VERSION said")] | None
    started_at: Moment
    ended_at: Moment | None
    outcome: Annotated[str, Meta(description="The cause of the transition that ended it")] | None
    error: RecordedError | None


class Step(msgspec.Struct):
    name: str
    type: Annotated[
        str, Meta(description="step, or what was waited for: sleep, child, children, gather, wait, signal, timeout")
    ]
    output: Any
    attempt: Natural
    at: Moment


class Event(msgspec.Struct):
    event: Annotated[str, Meta(description="status, progress, log or step")]
    task_id: uuid.UUID
    seq: Annotated[int, Meta(description="Rises over all tasks; where a reader was")]
    at: Moment
    status: Status
    cause: str
    attempt: Natural
    data: dict[str, Any]


class LogLine(msgspec.Struct):
    seq: int
    at: Moment
    attempt: Natural
    message: str
    fields: Annotated[dict[str, Any], Meta(description="What the handler gave")] | UnsetType = UNSET


class History(msgspec.Struct):
    attempts: list[Attempt]
    steps: list[Step]
    events: list[Event]
    logs: list[LogLine]
    truncated: bool
    next: str | None


class Health(msgspec.Struct):
    status: str
    timestamp: Moment | None


class QueueCounts(msgspec.Struct):
    waiting: Natural
    delayed: Natural
    processing: Natural


class Slots(msgspec.Struct):
    running: Natural
    total: Natural


class WorkerInfo(msgspec.Struct):
    pid: int
    worker_class: str


class LastHour(msgspec.Struct):
    completed: Natural
    failed: Natural
    cancelled: Natural
    runs: Annotated[int, Meta(ge=0, description="Attempts, and what a stop or a crash cut short")]
    p50_seconds: Annotated[float, Meta(description="Of the last run")] | None
    p95_seconds: float | None


class KindStatistics(msgspec.Struct):
    tasks: dict[str, Natural]
    last_hour: Annotated[LastHour, Meta(description="Of the tasks that ended, at most the newest 5,000 of each status")]


class Disk(msgspec.Struct):
    free: Annotated[Natural | None, Meta(description="Bytes")]
    floor: Annotated[Natural, Meta(description="Below it no new work is taken")]


class Statistics(msgspec.Struct):
    at: Moment
    window_seconds: Natural
    kinds: dict[str, KindStatistics]


class ServerStatus(msgspec.Struct, kw_only=True):
    """Members about the tasks of all owners together are shown only to callers that see the tasks of all owners."""

    status: str
    timestamp: Moment
    tasks: dict[str, Natural] | UnsetType = UNSET
    queues: dict[str, QueueCounts] | UnsetType = UNSET
    waiting: Natural | UnsetType = UNSET
    slots: Slots | UnsetType = UNSET
    disk: Disk | UnsetType = UNSET
    abandoned_handlers: Natural | UnsetType = UNSET
    refused_writes: Natural | UnsetType = UNSET
    statistics: Annotated[Statistics, Meta(description="What stats-update found last")] | UnsetType | None = UNSET
    uptime_seconds: float
    versions: dict[str, str]
    worker_info: WorkerInfo


class Key(msgspec.Struct):
    name: str
    scopes: list[Scope]
    created_at: Moment | None
    revoked_at: Moment | None
    last_used_at: Annotated[Moment, Meta(description="To the minute")] | None
    source: Annotated[str, Meta(description="settings or store")]
    kinds: Annotated[list[str], Meta(description="Those that it may start; null: all")] | None
    expires_at: Moment | None
    old_until: Annotated[Moment, Meta(description="How long the secret before the rotation is good")] | None


class Keys(msgspec.Struct):
    keys: list[Key]


class AddedKey(msgspec.Struct):
    name: str
    scopes: list[Scope]
    key: Annotated[str, Meta(description="Shown here and never again")]
    kinds: list[str] | None
    expires_at: Moment | None
    old_until: Moment | None


class Schedule(msgspec.Struct):
    name: str
    kind: str
    args: dict[str, Any]
    cron: str | None
    every: Annotated[float, Meta(description="Seconds")] | None
    timezone: str
    overlap: Overlap
    catch_up: CatchUp
    paused: bool
    source: Annotated[str, Meta(description="code or api")]
    owner: str | None
    created_at: Moment
    next_at: Annotated[Moment, Meta(description="null while it is paused")] | None
    last_fire_at: Moment | None
    last_task_id: uuid.UUID | None
    last_error: Annotated[str, Meta(description="Why the last fire made no task")] | None


class SchedulePage(msgspec.Struct):
    schedules: list[Schedule]
    next: Annotated[str, Meta(description="The next page", extra_json_schema={"format": "uri-reference"})] | None


class Fault(msgspec.Struct):
    pointer: Annotated[str, Meta(description="JSON Pointer into the body")]
    detail: str


class Problem(msgspec.Struct, kw_only=True):
    """RFC 9457; `error` is a short text for simple clients."""

    type: Annotated[str, Meta(extra_json_schema={"format": "uri-reference"})]
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: str
    error: str
    errors: list[Fault] | UnsetType = UNSET
    task_id: Annotated[uuid.UUID | None, Meta(description="Of a duplicate: holds the unique key")] | UnsetType = UNSET
    id: Annotated[str, Meta(description="Of a 500: to be found in the log")] | UnsetType = UNSET


class Visit(msgspec.Struct, kw_only=True):
    message: str
    request_uuid: Annotated[uuid.UUID, Meta(description="The task that audits this request")] | None
    note: str
    worker_info: WorkerInfo
    status: str | UnsetType = UNSET
    endpoints: dict[str, str] | UnsetType = UNSET
    status_url: Url | UnsetType = UNSET
    events_url: Url | UnsetType = UNSET


class Data(msgspec.Struct):
    data: str


class StartedSum(msgspec.Struct):
    task_id: uuid.UUID
    status: str
    status_url: Url
    events_url: Url


class SimpleStatus(msgspec.Struct):
    status: Annotated[str, Meta(extra_json_schema={"enum": ["running", "done", "failed", "cancelled"]})]
    result: Annotated[Any, Meta(description="Of `done`")] | UnsetType = UNSET
    error: Annotated[str, Meta(description="Of `failed`")] | UnsetType = UNSET


class Profile(msgspec.Struct):
    """The other service's own JSON; null for a part whose call failed."""

    user: Any
    posts: Any
    comments: Any
    errors: Annotated[dict[str, str], Meta(description="Which parts are missing, and why")] | UnsetType = UNSET


class Chat(msgspec.Struct):
    active_connections: Annotated[int, Meta(ge=0)]
    websocket_url: Annotated[str, Meta(description="Text frames; what one sends comes to all as `Message: …`")]
