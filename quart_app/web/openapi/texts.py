"""The texts of the OpenAPI document that several operations share: problems, parameters, header fields."""

from __future__ import annotations

from typing import Any, Final

from quart_app.core import artifacts, claim_limits, error_groups, schedule
from quart_app.core.keys import NAME_PATTERN
from quart_app.web.examples.cats import AMOUNT
from quart_app.web.examples.limited import USER
from quart_app.web.examples.words import FILES as WORDS_FILES
from quart_app.web.messages import parse

PROBLEMS: Final[dict[int, str]] = {
    400: "The request cannot be read: malformed JSON, an unknown or malformed query parameter",
    401: "There are keys, and none was sent, or an unknown one",
    403: "The key's scope does not allow it; or another site's page asks to start or change something",
    404: "There is no such thing, or it is another owner's",
    408: "The body did not arrive in time",
    409: "The status of the task, the key or the schedule does not allow it, or another task holds its unique key",
    410: "The task of this Idempotency-Key was deleted",
    412: "It has another version than those of If-Match",
    413: "The body, or the args, are too large",
    415: "The body is of another media type, or it is encoded",
    422: "The args do not fit, or the Idempotency-Key was used for something else",
    429: "As many calls as are allowed have been made",
    501: "A library that this needs is not installed; the detail says how to install it",
    431: "Too many header fields, or too long ones",
    502: "Somebody else whom the answer depends on is out of order",
    503: "Starting, stopping, a full queue, too many streams, or a store that cannot write",
    504: "Somebody else whom the answer depends on did not answer in time",
}

TEXTS: Final[dict[str, str]] = {
    "delay": "Seconds from now until it may start. Not together with `run_at`",
    "run_at": "When it may start, at most ten years ahead",
    "priority": "Higher goes first",
    "queue": "A name, for listings and counts",
    "max_attempts": "Runs that may end in an error before the task is `failed`",
    "timeout": "Seconds for one attempt",
    "expires": "Seconds after which a task that has not started ends `failed`",
    "unique_key": "Of the owner's tasks of this kind with this key, one alone has not ended",
    "on_duplicate": "When a task with the key has not ended: `return` it, `reject` this one (409), `replace` what it "
    "is to do if it never ran, or `debounce`: replace, and start that much later",
    "debounce": "Seconds for which `debounce` waits for another duplicate, at most ten times",
    "tag": "A word to find it by; may be repeated, up to 20 times",
    "wait": "Seconds to wait for the end of the task",
    "restart": "Forget the recorded steps",
    "from": "Forget this recorded step and all recorded after it",
    "after": "Only events with a higher number; 0 is all of them",
}
FILTER_TEXTS: Final[dict[str, str]] = {
    "status": "Only tasks of this status",
    "kind": "Only tasks of this kind",
    "queue": "Only tasks of this queue",
    "tag": "Only tasks with this tag",
    "created_after": "Only tasks created after this time",
    "created_before": "Only tasks created before this time",
    "parent": "Only children of this task",
    "waiting_for": "Only tasks that wait for this: time, children, paused, unique_key, signal:<name>, kind:<kind>, "
    "limit:<name>",
    "unique_key": "Only tasks with this unique key",
    "code_version": "Only tasks whose last attempt ran with this version of the code",
    "error": "Only tasks that have failed so: a fingerprint of `/errors`",
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
    "X-User-ID": ("Whose calls are counted", {"type": "string", "pattern": f"^{USER}$"}),
    "If-Match": ("Versions for which the request is meant: 412 when it has another", {"type": "string"}),
    "If-None-Match": ("Versions that the client has: 304 when none differs", {"type": "string"}),
}
REQUIRED_HEADERS: Final = frozenset({"X-User-ID"})
TEXT: Final = {"type": "string"}
ANSWER_HEADERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "WWW-Authenticate": ("How to send a key", TEXT),
    "Location": ("What was made", {"type": "string", "format": "uri-reference"}),
    "Retry-After": ("Seconds after which it is worth asking again", {"type": "integer", "minimum": 0}),
    "ETag": ("The version", {"type": "string", "pattern": '^"[^"]+"$'}),
    "Link": ('`rel="next"`: the next page', TEXT),
    "Idempotency-Replayed": ("`true`: the key already made this task", {"type": "string", "const": "true"}),
    "RateLimit": ("What is left: `r` calls, and more in `t` seconds (draft-ietf-httpapi-ratelimit-headers-09)", TEXT),
    "RateLimit-Policy": ("What is allowed: `q` calls in any `w` seconds", TEXT),
    "Preference-Applied": ("How long the server was ready to wait", {"type": "string", "pattern": "^wait=[0-9.]+$"}),
}
PROBLEM_HEADERS: Final[dict[int, tuple[str, ...]]] = {
    401: ("WWW-Authenticate",),
    403: ("WWW-Authenticate",),
    429: ("Retry-After", "RateLimit", "RateLimit-Policy"),
    503: ("Retry-After",),
}
# The files of the page under /docs, and their media types.
FILES: Final = {
    "start.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
PATH_PARAMETERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "task_id": ("The task", {"type": "string", "format": "uuid"}),
    "kind": ("The kind", parse.name_text.schema),
    "n": ("How many facts", AMOUNT.schema),
    "x": ("An integer of up to 1,000 digits", {"type": "string", "pattern": "^-?[0-9]{1,1000}$"}),
    "y": ("An integer of up to 1,000 digits", {"type": "string", "pattern": "^-?[0-9]{1,1000}$"}),
    "user_id": ("The user", {"type": "string", "pattern": "^[1-9][0-9]{0,17}$"}),
    "schedule": ("The name of a schedule", {"type": "string", "pattern": f"^{schedule.NAME_PATTERN}$"}),
    "name": ("The name of a key", {"type": "string", "pattern": f"^{NAME_PATTERN}$"}),
    "limit": ("The name of the limit", {"type": "string", "pattern": f"^{claim_limits.NAME_PATTERN}$"}),
    "queue": ("The name of the queue", parse.name_text.schema),
    "signal": ("The name of the signal", parse.name_text.schema),
    "fingerprint": ("A fingerprint of `/errors`", {"type": "string", "pattern": f"^{error_groups.PATTERN}$"}),
    "report": ("The file", {"type": "string", "pattern": artifacts.PATTERN}),
    "asset": ("A file of the page", {"type": "string", "enum": list(WORDS_FILES)}),
    "file": ("A file of the page", {"type": "string", "enum": list(FILES)}),
}
