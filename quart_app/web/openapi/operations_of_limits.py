"""The routes of limits, queues and pauses, by the names of their endpoints."""

from __future__ import annotations

from typing import Final

from quart_app.web.openapi import shapes_of_kinds
from quart_app.web.openapi import shapes_of_limits as shapes
from quart_app.web.openapi.operation import WITH_BODY, Answer, Operation
from quart_app.web.openapi.texts import FILTER_TEXTS
from quart_app.web.routes import limits, queues

LIMITS: Final[dict[str, Operation]] = {
    "limits.find": Operation(
        "Queues",
        "List the limits of tasks, by name",
        {200: Answer("A page of limits", shapes.LimitPage, sometimes=("Link",))},
        query=limits.PAGE,
        texts={"limit": "Limits on a page", "cursor": FILTER_TEXTS["cursor"]},
    ),
    "limits.change": Operation(
        "Queues",
        "Change a limit at once",
        {200: Answer("The limit as it is now", shapes.Limit)},
        (*WITH_BODY, 404, 422),
        "A value holds instead of what the code says, null takes it back, `off` lifts the limit. The rest stays.",
        body=limits.LimitChange,
    ),
    "queues.find": Operation(
        "Queues",
        "List the queues, by name",
        {200: Answer("A page of queues", shapes.QueuePage, sometimes=("Link",))},
        query=queues.PAGE,
        texts={"limit": "Queues on a page", "cursor": FILTER_TEXTS["cursor"]},
    ),
    "queues.show": Operation("Queues", "Read a queue", {200: Answer("The queue", shapes.Queue)}, (404,)),
    "queues.change": Operation(
        "Queues",
        "Limit a queue at once",
        {200: Answer("The queue as it is now", shapes.Queue)},
        (*WITH_BODY, 422),
        "The queue need not exist. It is the limit `queue:<name>`; null takes back what was set.",
        body=queues.QueueChange,
    ),
    "queues.pause": Operation(
        "Queues",
        "Start nothing of this queue any more",
        {200: Answer("The queue as it is now", shapes.Queue)},
        text="What runs goes on, and everything is accepted. The pause is kept over restarts.",
    ),
    "queues.resume": Operation(
        "Queues", "Start its tasks again", {200: Answer("The queue as it is now", shapes.Queue)}, (404,)
    ),
    "queues.pause_kind": Operation(
        "Kinds",
        "Start nothing of this kind any more",
        {200: Answer("The kind as it is now", shapes_of_kinds.Kind)},
        (404,),
        "What runs goes on, and everything is accepted. The pause is kept over restarts.",
    ),
    "queues.resume_kind": Operation(
        "Kinds", "Start its tasks again", {200: Answer("The kind as it is now", shapes_of_kinds.Kind)}, (404,)
    ),
}
