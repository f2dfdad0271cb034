"""The routes of tasks that wait and of going back, by the names of their endpoints."""

from __future__ import annotations

from typing import Final

from quart_app.web.openapi import shapes as of_tasks
from quart_app.web.openapi import shapes_of_flow as shapes
from quart_app.web.openapi.operation import WITH_BODY, Answer, Operation
from quart_app.web.openapi.texts import FILTER_TEXTS
from quart_app.web.routes.bulk import BulkRequest
from quart_app.web.routes.errors import PAGE as ERRORS_PAGE
from quart_app.web.routes.going_back import RETRY, Fork, TaskChange
from quart_app.web.routes.signals import PAGE

FLOW: Final[dict[str, Operation]] = {
    "signals.send": Operation(
        "Tasks",
        "Send a signal to a task",
        {202: Answer("It is kept until the task waits for it", shapes.KeptSignal, sometimes=("Idempotency-Replayed",))},
        (*WITH_BODY, 404, 409, 422, 429),
        "The JSON body, of up to 256 KiB, is what the task's `ctx.wait_signal` returns; no body is null. Each signal "
        "is taken once, the oldest first.",
        headers=("Idempotency-Key",),
        body={"description": "Any JSON"},
    ),
    "signals.waiting": Operation(
        "Tasks",
        "List the tasks that wait for a signal, the oldest first",
        {200: Answer("A page of tasks", shapes.WaitingPage, sometimes=("Link",))},
        query=PAGE,
        texts=FILTER_TEXTS,
    ),
    "tasks.retry": Operation(
        "Tasks",
        "Run a failed or cancelled task again",
        {202: Answer("It will run again", of_tasks.CreatedTask, always=("Location", "Retry-After"))},
        (404, 409, 422),
        "Recorded steps are kept, unless it is told to forget them.",
        query=RETRY,
    ),
    "tasks.fork": Operation(
        "Tasks",
        "Make a task that begins where this one was",
        {202: Answer("The new task will run", of_tasks.CreatedTask, always=("Location", "Retry-After"))},
        (*WITH_BODY, 404, 422),
        "A task of the same kind with the steps recorded before `from`, in whatever status this one is.",
        headers=("traceparent",),
        body=Fork,
    ),
    "tasks.change": Operation(
        "Tasks",
        "Change a pending task",
        {200: Answer("The task as it is now", of_tasks.Task, always=("ETag",))},
        (*WITH_BODY, 404, 409, 412, 422),
        headers=("If-Match",),
        body=TaskChange,
        needs_body=True,
        never={"maxProperties": 0},
    ),
    "explain.show": Operation(
        "Tasks",
        "Why a task is where it is",
        {200: Answer("The reason, and when it may start", shapes.Explained)},
        (404,),
        "`text` says it in a sentence. `position` counts the tasks that start before it as things stand: exactly among "
        "those of one owner, as an estimate over several, and `1000+` above that. The expected times come from the "
        "last runs of its kind; `based_on` says of how many.",
    ),
    "bulk.start": Operation(
        "Tasks",
        "Cancel, retry or delete many tasks",
        {
            202: Answer(
                "The task that acts on them",
                of_tasks.CreatedTask,
                always=("Location", "Retry-After"),
                sometimes=("Idempotency-Replayed",),
            ),
            200: Answer("How many they are (`dry_run`)", shapes.Matching),
        },
        (*WITH_BODY, 410, 422),
        "All tasks of the caller (of everybody for keys that see everybody's) that were there before, that all members "
        "of the filter fit, and to which the action applies. The result of the task is `matching`, `done`, `skipped`.",
        headers=("Idempotency-Key", "traceparent"),
        body=BulkRequest,
        needs_body=True,
    ),
    "errors.find": Operation(
        "Tasks",
        "List the failed tasks by what went wrong, newest first",
        {200: Answer("A page of groups", shapes.ErrorPage, sometimes=("Link",))},
        text="A group is the failed tasks of one kind, type of error and place in the handler's own code. "
        "`GET /tasks?error=` lists them.",
        query=ERRORS_PAGE,
        texts=FILTER_TEXTS,
    ),
    "errors.retry": Operation(
        "Tasks",
        "Retry all failed tasks of a group",
        {
            202: Answer(
                "The bulk task that retries them",
                of_tasks.CreatedTask,
                always=("Location", "Retry-After"),
                sometimes=("Idempotency-Replayed",),
            )
        },
        (404, 410, 422),
        headers=("Idempotency-Key", "traceparent"),
    ),
    "stacks.show": Operation(
        "Tasks",
        "Where a running task is in its code",
        {200: Answer("The frames, outermost first", shapes.Stack)},
        (404, 409),
        "Of a coroutine down to what it really waits for, of a thread and of a child process. 409 when the task does "
        "not run on this server.",
    ),
}
