"""The inputs and answers of each route, by the name of its endpoint. Paths and methods come from the routing itself."""

from __future__ import annotations

from typing import Final

from quart_app.core.users import User
from quart_app.web.examples import users
from quart_app.web.openapi import shapes, shapes_of_access, shapes_of_kinds, shapes_of_statistics
from quart_app.web.openapi.operation import WITH_BODY, Answer, Operation
from quart_app.web.openapi.operations_of_flow import FLOW
from quart_app.web.openapi.operations_of_limits import LIMITS
from quart_app.web.openapi.texts import EVENT_TEXTS, FILTER_TEXTS, TEXT
from quart_app.web.routes import history
from quart_app.web.routes.audit_log import PAGE as ACTS_PAGE
from quart_app.web.routes.events import AFTER, EVENT_FILTERS
from quart_app.web.routes.keys import CANCEL, NewKey, Rotation
from quart_app.web.routes.schedules import PAGE, WHOSE, NewSchedule, ScheduleChanges
from quart_app.web.routes.statistics import WINDOW
from quart_app.web.routes.tasks import FILTERS, WAIT

TWO_PLANS: Final = {"required": ["cron", "every"]}
# The name and the number of an event are fields of the frame.
EVENTS: Final = Answer(
    "Server-Sent Events. `id` is the number of the event, `event` is status, progress, log, step or output, `data` is "
    "JSON with `task_id`, `seq`, `at`, `status`, `cause`, `attempt` and `data`",
    TEXT,
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
FACTS: Final = Answer("The facts", {"type": "array", "items": {"type": "string"}})
COLLECTING: Final = Answer("They are being collected", shapes.CreatedTask, always=("Location", "Retry-After"))
CATS: Final = Operation(
    "Examples",
    "Cat facts, asked for one by one",
    {200: FACTS, 202: COLLECTING},
    (409, 502, 504),
    "Waits for a minute, or as `Prefer: wait=N` or `respond-async` says; then it answers 202 with the task.",
    headers=("Prefer",),
)
SAME: Final = Answer("It has not changed", always=("ETag",))
# `POST /tasks/{kind}` as it is for every kind; the path, the args and the defaults come from the kind.
CREATE: Final = Operation(
    "Kinds",
    "Start a task",
    {202: CREATED, 200: ENDED},
    (*WITH_BODY, 409, 410, 422),
    headers=("Idempotency-Key", "Prefer", "traceparent"),
)

# endpoint -> part of the form: routes that take a file where the kind of the same path takes the id of an upload.
FORMS: Final = {"photos.detect_faces": "photo"}

WHOSE_TEXT: Final = {
    "owner": "Whose schedule is meant, for keys that see everybody's; empty: nobody's, as those of the code"
}
OPERATIONS: Final[dict[str, Operation]] = {
    **FLOW,
    **LIMITS,
    "tasks.create_many": Operation(
        "Tasks",
        "Start up to 1,000 tasks, all or none",
        {202: Answer("All are on disk and will run", shapes.CreatedTasks)},
        (*WITH_BODY, 409, 410, 422),
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
    "tasks.history": Operation(
        "Tasks",
        "Attempts, steps, events and log lines of a task",
        {200: Answer("The history, oldest first; `truncated`: not all of it", shapes.History, sometimes=("Link",))},
        (404,),
        query=history.PAGE,
        texts={"after": "Only events and log lines with a higher number", "limit": "Events on a page"},
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
        "List the schedules, by owner and name",
        {200: Answer("A page of schedules", shapes.SchedulePage, sometimes=("Link",))},
        query=PAGE,
        texts={"limit": "Schedules on a page", "cursor": FILTER_TEXTS["cursor"], **WHOSE_TEXT},
    ),
    "schedules.add": Operation(
        "Schedules",
        "Add a schedule",
        {201: Answer("The schedule", shapes.Schedule, always=("Location",))},
        (*WITH_BODY, 409, 422),
        body=NewSchedule,
        never={"anyOf": [TWO_PLANS, {"not": {"anyOf": [{"required": ["cron"]}, {"required": ["every"]}]}}]},
    ),
    "schedules.show": Operation(
        "Schedules",
        "Read a schedule",
        {200: Answer("The schedule", shapes.Schedule)},
        (404, 409),
        query=WHOSE,
        texts=WHOSE_TEXT,
    ),
    "schedules.change": Operation(
        "Schedules",
        "Change a schedule",
        {200: Answer("The schedule as it is now", shapes.Schedule)},
        (*WITH_BODY, 404, 409, 422),
        "A new plan, and one that was paused, begins from now on. Of a schedule of the code only `paused` changes.",
        query=WHOSE,
        texts=WHOSE_TEXT,
        body=ScheduleChanges,
        never=TWO_PLANS,
    ),
    "schedules.delete": Operation(
        "Schedules", "Delete a schedule", {204: Answer("Deleted")}, (404, 409), query=WHOSE, texts=WHOSE_TEXT
    ),
    "schedules.trigger": Operation(
        "Schedules",
        "Start its task now, outside the plan",
        {202: Answer("The task will run", shapes.CreatedTask, always=("Location", "Retry-After"))},
        (404, 409, 422),
        query=WHOSE,
        texts=WHOSE_TEXT,
    ),
    "uploads.add": Operation(
        "Tasks",
        "Upload a file for a task",
        {201: Answer("It is on disk", shapes.Uploaded)},
        (*WITH_BODY, 422),
        "Kept for a day, and as long as there are tasks that use it.",
        form="file",
    ),
    "keys.find": Operation(
        "Keys", "List the keys", {200: Answer("All keys, without the keys themselves", shapes.Keys)}
    ),
    "keys.add": Operation(
        "Keys",
        "Add a key",
        {201: Answer("The key", shapes.AddedKey)},
        (*WITH_BODY, 409, 422),
        body=NewKey,
        never={
            "required": ["scopes", "kinds"],
            "properties": {"scopes": {"contains": {"const": "admin"}}, "kinds": {"type": "array"}},
        },
    ),
    "keys.rotate": Operation(
        "Keys",
        "Make another secret for a key",
        {200: Answer("The key", shapes.AddedKey)},
        (*WITH_BODY, 404, 409, 422),
        "The secret before opens the same for `grace` seconds more.",
        body=Rotation,
    ),
    "keys.revoke": Operation(
        "Keys",
        "Revoke a key",
        {204: Answer("It opens nothing any more"), 200: Answer("Nor do its tasks run", shapes_of_access.RevokedKey)},
        (404, 409),
        "What it has opened ends, and its schedules fire no more.",
        query=CANCEL,
        texts={"cancel": "Cancel its tasks, too"},
    ),
    "acts.find": Operation(
        "Keys",
        "What was done as administrator, and whose keys were refused; newest first",
        {200: Answer("A page of acts", shapes_of_access.Acts, sometimes=("Link",))},
        query=ACTS_PAGE,
        texts={"act": "Only these", "limit": "Acts on a page", "cursor": FILTER_TEXTS["cursor"]},
    ),
    "docs.kinds": Operation("Kinds", "List the kinds", {200: Answer("All kinds, by name", shapes_of_kinds.Kinds)}),
    "docs.kind": Operation("Kinds", "Read a kind", {200: Answer("The kind", shapes_of_kinds.Kind)}, (404,)),
    "health.health": Operation(
        "Server", "Is it alive?", {200: Answer("The process serves", shapes.Health)}, needs_key=False
    ),
    "health.ready": Operation("Server", "Does it take work?", {200: Answer("It does", shapes.Health)}, needs_key=False),
    "health.status": Operation(
        "Server", "What is it doing?", {200: Answer("Counts and versions", shapes.ServerStatus)}
    ),
    "statistics.show": Operation(
        "Server",
        "What happened to tasks over time, by kind or by queue",
        {200: Answer("All buckets of the window, in order", shapes_of_statistics.Chart)},
        (422,),
        "Counted every five minutes, and kept for 90 days; an answer has at most 1,000 buckets.",
        query=WINDOW,
        texts={
            "by": "Default: kind",
            "from": "Default: a day, a week, 90 days before its end, by the bucket",
            "to": "Default: now",
            "bucket": "Default: 5m; days are of UTC",
        },
    ),
    "metrics.metrics": Operation(
        "Server", "Figures for Prometheus", {200: Answer("Prometheus' text format", TEXT, media="text/plain")}
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
        {200: Answer("The page", TEXT, media="text/html", always=("ETag",)), 304: SAME},
        headers=("If-None-Match",),
        needs_key=False,
    ),
    "docs.file": Operation(
        "Documentation",
        "A file of that page",
        {200: Answer("The file", TEXT, media="*/*", always=("ETag",)), 304: SAME},
        (404,),
        headers=("If-None-Match",),
        needs_key=False,
    ),
    "visits.root": Operation(
        "Examples",
        "A greeting; starts a `request-audit` task",
        {200: Answer("What there is", shapes.Visit, page=True)},
    ),
    "visits.hello": Operation(
        "Examples", "A greeting; starts a `request-audit` task", {200: Answer("The greeting", shapes.Visit)}
    ),
    "quickstart.start": Operation("Examples", "Start adding two integers", {200: Answer("Started", shapes.StartedSum)}),
    "cats.one_by_one": CATS,
    "cats.all_at_once": CATS._replace(summary="Cat facts, asked for at once; fewer when their source refuses some"),
    "cats.limited": CATS._replace(summary="Cat facts, asked for as fast as their source allows; never fewer"),
    "limited.data": Operation(
        "Examples",
        "So many calls for each user",
        {200: Answer("The data", shapes.Data, always=("RateLimit", "RateLimit-Policy"))},
        (429,),
        "HEAD tells how many are left and counts nothing.",
        headers=("X-User-ID",),
    ),
    "users.find": Operation(
        "Examples",
        "List users, by id",
        {200: Answer("A page of users", list[User], sometimes=("Link",))},
        query=users.PAGE,
        texts={"limit": "Users on a page", "cursor": "Where the page starts; comes with `Link`"},
    ),
    "users.show": Operation("Examples", "Read a user", {200: Answer("The user", User)}, (404,)),
    "users.profile": Operation(
        "Examples",
        "What another service knows of a user",
        {200: Answer("Three of its answers in one, or as many as there are", shapes.Profile)},
        (404, 502, 504),
    ),
    "exports.stream": Operation(
        "Examples",
        "Count to a hundred, as a stream of events",
        {200: Answer("`data: 0` to `data: 99`, a tenth of a second apart", TEXT, media="text/event-stream")},
    ),
    "exports.users": Operation(
        "Examples",
        "A thousand users as CSV, sent while it is made",
        {200: Answer("`id,name,email`", TEXT, media="text/csv")},
    ),
    "words.page": Operation(
        "Examples",
        "A page that starts `stream-words` and shows its words as they come",
        {200: Answer("The page", TEXT, media="text/html", always=("ETag",)), 304: SAME},
        headers=("If-None-Match",),
    ),
    "words.asset": Operation(
        "Documentation",
        "A file of the page `/words`",
        {200: Answer("The file", TEXT, media="*/*", always=("ETag",)), 304: SAME},
        (404,),
        headers=("If-None-Match",),
    ),
    "chat.show": Operation(
        "Examples", "Where to chat, and how many do", {200: Answer("The address of the WebSocket", shapes.Chat)}
    ),
    "quickstart.status": Operation(
        "Examples", "How a task is doing", {200: Answer("In one word", shapes.SimpleStatus)}, (404,)
    ),
    "reports.report": Operation(
        "Examples",
        "A file that a task made, for the owner of the task",
        {200: Answer("The file, as an attachment", TEXT, media="*/*")},
        (404,),
    ),
}
