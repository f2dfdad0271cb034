"""What each route takes and answers, by the name of its endpoint. Paths and methods come from the routing itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from quart_app.core import artifacts, schedule
from quart_app.core.keys import NAME_PATTERN
from quart_app.web import parse
from quart_app.web.keys import NewKey
from quart_app.web.openapi import shapes
from quart_app.web.schedules import PAGE, NewSchedule, ScheduleChanges
from quart_app.web.streams import AFTER, EVENT_FILTERS
from quart_app.web.tasks import FILTERS, RESTART, WAIT

JSON: Final = "application/json"
# A server that starts or stops answers 503; the guard refuses what two servers could read differently.
ALWAYS: Final = (400, 431, 503)
WITH_KEY: Final = (401, 403)
WITH_BODY: Final = (408, 413, 415)
PROBLEMS: Final[dict[int, str]] = {
    400: "The request cannot be read: malformed JSON, an unknown or malformed query parameter",
    401: "There are keys, and none was sent, or an unknown one",
    403: "The key's scope does not allow it; or another site's page asks to start or change something",
    404: "There is no such thing, or it is another owner's",
    408: "The body did not arrive in time",
    409: "The status of the task, the key or the schedule does not allow it",
    410: "The task of this Idempotency-Key was deleted",
    413: "The body, or the args, are too large",
    415: "The body is not application/json, or it is encoded",
    422: "The args do not fit, or the Idempotency-Key was used for something else",
    431: "Too many header fields, or too long ones",
    503: "Starting, stopping, a full queue, too many streams, or a store that cannot write",
}

TEXTS: Final[dict[str, str]] = {
    "delay": "Seconds from now until it may start. Not together with `run_at`",
    "run_at": "When it may start, at most ten years ahead",
    "priority": "Higher goes first",
    "queue": "A name, for listings and counts",
    "max_attempts": "Runs that may end in an error before the task is `failed`",
    "timeout": "Seconds for one attempt",
    "expires": "Seconds after which a task that has not started ends `failed`",
    "tag": "A word to find it by; may be repeated, up to 20 times",
    "wait": "Seconds to wait for the end of the task",
    "restart": "Forget the recorded steps",
    "after": "Only events with a higher number; 0 is all of them",
}
FILTER_TEXTS: Final[dict[str, str]] = {
    "status": "Only tasks of this status",
    "kind": "Only tasks of this kind",
    "queue": "Only tasks of this queue",
    "tag": "Only tasks with this tag",
    "created_after": "Only tasks created after this time",
    "created_before": "Only tasks created before this time",
    "limit": "Tasks on a page",
    "cursor": "Where the page starts; comes with `next`",
    "fields": "What a listing holds in addition",
}
EVENT_TEXTS: Final = {
    "after": TEXTS["after"],
    "kind": "Only events of tasks of this kind",
    "status": "Only events after which the task had this status",
}

REQUEST_HEADERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "Idempotency-Key": (
        "The same key makes one task, for as long as the server remembers it (24 hours)",
        {"type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$"},
    ),
    "Prefer": (
        "`wait=N`: answer 200 with the ended task, or 202 after N seconds (0 to 60; RFC 7240)",
        {"type": "string", "examples": ["wait=10"]},
    ),
    "traceparent": ("W3C Trace Context, kept with the task; ignored when it cannot be read", {"type": "string"}),
    "Last-Event-ID": (
        "The number of the last event that the client has; it counts more than `after`",
        parse.sequence.schema,
    ),
    "If-None-Match": ("Versions that the client has: 304 when none differs", {"type": "string"}),
}
_TEXT: Final = {"type": "string"}
ANSWER_HEADERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "WWW-Authenticate": ("How to send a key", _TEXT),
    "Location": ("What was made", {"type": "string", "format": "uri-reference"}),
    "Retry-After": ("Seconds after which it is worth asking again", {"type": "integer", "minimum": 0}),
    "ETag": ("The version", {"type": "string", "pattern": '^"[^"]+"$'}),
    "Link": ('`rel="next"`: the next page', _TEXT),
    "Idempotency-Replayed": ("`true`: the key already made this task", {"type": "string", "const": "true"}),
    "Preference-Applied": ("How long the server was ready to wait", {"type": "string", "pattern": "^wait=[0-9.]+$"}),
}
# The files of the page under /docs, and what they are.
FILES: Final = {
    "start.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
PATH_PARAMETERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "task_id": ("The task", {"type": "string", "format": "uuid"}),
    "kind": ("The kind", parse.name_text.schema),
    "x": ("An integer of up to 1,000 digits", {"type": "string", "pattern": "^-?[0-9]{1,1000}$"}),
    "y": ("An integer of up to 1,000 digits", {"type": "string", "pattern": "^-?[0-9]{1,1000}$"}),
    "schedule": ("The name of a schedule", {"type": "string", "pattern": f"^{schedule.NAME_PATTERN}$"}),
    "name": ("The name of a key", {"type": "string", "pattern": f"^{NAME_PATTERN}$"}),
    "report": ("The file", {"type": "string", "pattern": artifacts.PATTERN}),
    "file": ("A file of the page", {"type": "string", "enum": list(FILES)}),
}


class Answer(NamedTuple):
    """`shape` is what the body holds: a type, a JSON Schema, or None for no body. `always`: headers it always has."""

    text: str
    shape: type | dict[str, Any] | None = None
    media: str = JSON
    always: tuple[str, ...] = ()
    sometimes: tuple[str, ...] = ()


class Operation(NamedTuple):
    """`problems` are the statuses it has beside those that every operation has."""

    tag: str
    summary: str
    answers: Mapping[int, Answer]
    problems: tuple[int, ...] = ()
    text: str = ""
    query: Mapping[str, parse.Reader] = {}
    texts: Mapping[str, str] = TEXTS
    headers: tuple[str, ...] = ()
    body: type | None = None
    needs_key: bool = True


# Of the data of each event; its name and number are fields of the frame.
EVENTS: Final = Answer(
    "Server-Sent Events. `id` is the number of the event, `event` is status, progress, log or step, `data` is JSON "
    "with `task_id`, `seq`, `at`, `status`, `cause`, `attempt` and `data`",
    _TEXT,
    media="text/event-stream",
)
CREATED: Final = Answer(
    "It is on disk and will run",
    shapes.CreatedTask,
    always=("Location", "Retry-After"),
    sometimes=("Idempotency-Replayed", "Preference-Applied"),
)
ENDED: Final = Answer(
    "It has ended (after `Prefer: wait`)",
    shapes.Task,
    sometimes=("Idempotency-Replayed", "Preference-Applied"),
)
SAME: Final = Answer("It has not changed", always=("ETag",))
# What `POST /tasks/{kind}` is for every kind; its path, args and defaults are those of the kind.
CREATE: Final = Operation(
    "Kinds",
    "Start a task",
    {202: CREATED, 200: ENDED},
    (*WITH_BODY, 410, 422),
    headers=("Idempotency-Key", "Prefer", "traceparent"),
)

OPERATIONS: Final[dict[str, Operation]] = {
    "tasks.create_many": Operation(
        "Tasks",
        "Start up to 1,000 tasks, all or none",
        {202: Answer("All are on disk and will run", shapes.CreatedTasks)},
        (*WITH_BODY, 410, 422),
        headers=("traceparent",),
    ),
    "tasks.find": Operation(
        "Tasks",
        "List tasks, newest first",
        {200: Answer("A page of tasks", shapes.TaskPage, sometimes=("Link",))},
        query=FILTERS,
        texts=FILTER_TEXTS,
    ),
    "tasks.show": Operation(
        "Tasks",
        "Read a task, or wait for it",
        {200: Answer("The task", shapes.Task, always=("ETag",), sometimes=("Retry-After",)), 304: SAME},
        (404,),
        "With `wait` it answers at the end of the task or when time is up; with `If-None-Match` too, at any change.",
        query=WAIT,
        headers=("If-None-Match",),
    ),
    "tasks.delete": Operation("Tasks", "Delete an ended task", {204: Answer("Deleted")}, (404, 409)),
    "tasks.cancel": Operation(
        "Tasks",
        "Cancel a task",
        {200: Answer("Cancelled", shapes.Task), 202: Answer("Asked of a running task", shapes.Task)},
        (404, 409),
    ),
    "tasks.retry": Operation(
        "Tasks",
        "Run a failed or cancelled task again",
        {202: Answer("It will run again", shapes.CreatedTask, always=("Location", "Retry-After"))},
        (404, 409),
        query=RESTART,
    ),
    "tasks.history": Operation(
        "Tasks",
        "Attempts, steps, events and log lines of a task",
        {200: Answer("The history, oldest first", shapes.History)},
        (404,),
    ),
    "streams.of_task": Operation(
        "Tasks",
        "Follow a task",
        {200: EVENTS, 204: Answer("The task has ended and there is no event after the one named: stop asking")},
        (404,),
        "Ends after the last event. A client that comes back with the last number it saw gets every event once. "
        "The same over a WebSocket, as JSON texts: `/ws/tasks/{task_id}`.",
        query=AFTER,
        headers=("Last-Event-ID",),
    ),
    "streams.of_all": Operation(
        "Tasks",
        "Follow all tasks",
        {200: EVENTS},
        text="From now on, unless told after which event.",
        query=EVENT_FILTERS,
        texts=EVENT_TEXTS,
        headers=("Last-Event-ID",),
    ),
    "schedules.find": Operation(
        "Schedules",
        "List the schedules, by name",
        {200: Answer("A page of schedules", shapes.SchedulePage, sometimes=("Link",))},
        query=PAGE,
        texts={"limit": "Schedules on a page", "cursor": FILTER_TEXTS["cursor"]},
    ),
    "schedules.add": Operation(
        "Schedules",
        "Add a schedule",
        {201: Answer("The schedule", shapes.Schedule, always=("Location",))},
        (*WITH_BODY, 409, 422),
        body=NewSchedule,
    ),
    "schedules.show": Operation("Schedules", "Read a schedule", {200: Answer("The schedule", shapes.Schedule)}, (404,)),
    "schedules.change": Operation(
        "Schedules",
        "Change a schedule",
        {200: Answer("The schedule as it is now", shapes.Schedule)},
        (*WITH_BODY, 404, 409, 422),
        "A new plan, and one that was paused, begins from now on. Of a schedule of the code only `paused` changes.",
        body=ScheduleChanges,
    ),
    "schedules.delete": Operation("Schedules", "Delete a schedule", {204: Answer("Deleted")}, (404, 409)),
    "schedules.trigger": Operation(
        "Schedules",
        "Start its task now, outside the plan",
        {202: Answer("The task will run", shapes.CreatedTask, always=("Location", "Retry-After"))},
        (404, 422),
    ),
    "keys.find": Operation(
        "Keys", "List the keys", {200: Answer("All keys, without the keys themselves", shapes.Keys)}
    ),
    "keys.add": Operation(
        "Keys", "Add a key", {201: Answer("The key", shapes.AddedKey)}, (*WITH_BODY, 409, 422), body=NewKey
    ),
    "keys.revoke": Operation("Keys", "Revoke a key", {204: Answer("It opens nothing any more")}, (404, 409)),
    "docs.kinds": Operation("Kinds", "List the kinds", {200: Answer("All kinds, by name", shapes.Kinds)}),
    "docs.kind": Operation("Kinds", "Read a kind", {200: Answer("The kind", shapes.Kind)}, (404,)),
    "health.health": Operation(
        "Server", "Is it alive?", {200: Answer("The process serves", shapes.Health)}, needs_key=False
    ),
    "health.ready": Operation("Server", "Does it take work?", {200: Answer("It does", shapes.Health)}, needs_key=False),
    "health.status": Operation(
        "Server", "What is it doing?", {200: Answer("Counts and versions", shapes.ServerStatus)}
    ),
    "metrics.metrics": Operation(
        "Server", "Figures for Prometheus", {200: Answer("Prometheus' text format", _TEXT, media="text/plain")}
    ),
    "docs.document": Operation(
        "Documentation",
        "This document",
        {200: Answer("OpenAPI 3.1", {"type": "object"}, always=("ETag",)), 304: SAME},
        headers=("If-None-Match",),
        needs_key=False,
    ),
    "docs.page": Operation(
        "Documentation",
        "This document as a page",
        {200: Answer("The page", _TEXT, media="text/html", always=("ETag",)), 304: SAME},
        headers=("If-None-Match",),
        needs_key=False,
    ),
    "docs.file": Operation(
        "Documentation",
        "A file of that page",
        {200: Answer("The file", _TEXT, media="*/*", always=("ETag",)), 304: SAME},
        (404,),
        headers=("If-None-Match",),
        needs_key=False,
    ),
    "visits.root": Operation(
        "Examples",
        "A greeting; starts a `request-audit` task",
        {200: Answer("What there is", shapes.Visit)},
    ),
    "visits.hello": Operation(
        "Examples", "A greeting; starts a `request-audit` task", {200: Answer("The greeting", shapes.Visit)}
    ),
    "quickstart.start": Operation("Examples", "Start adding two integers", {200: Answer("Started", shapes.StartedSum)}),
    "quickstart.status": Operation(
        "Examples", "How a task is doing", {200: Answer("In one word", shapes.SimpleStatus)}, (404,)
    ),
    "reports.report": Operation(
        "Examples",
        "A file that a task made, for the owner of the task",
        {200: Answer("The file, as an attachment", _TEXT, media="*/*")},
        (404,),
    ),
}
