"""Loaded by schemathesis in its own process: what a document cannot say of a request that is accepted."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import schemathesis
from hypothesis import strategies as st

from quart_app.core import mail

# They ask servers of the world, or take what no document knows.
ELSEWHERE = ("crawl", "cat-facts", "detect-faces")
SECONDS = ("delay", "timeout", "expires", "debounce", "wait")

# A time is at most ten years ahead.
TIMES = st.datetimes(datetime.datetime(2000, 1, 1), datetime.datetime(2030, 1, 1))
schemathesis.openapi.format("date-time", TIMES.map(lambda at: f"{at.isoformat()}Z"))


# They stand for all letters that an address may have: Hypothesis lists every letter of a class each time that it meets
# it, which took half of the run. tests/core/test_mail.py tries others.
SOME_LETTERS = "\u00e0-\u00f6\u4e00-\u4e1f"


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    assert shorten(raw_schema), "no address is in the document: this hook does nothing"


def shorten(part: Any) -> int:
    """Replace those letters in every pattern; in how many. The format tells how a long address is made: without it
    one is searched for in vain, for as long as all else takes."""
    count = 0
    if isinstance(part, dict) and mail.BEYOND in str(part.get("pattern")):
        part["pattern"] = part["pattern"].replace(mail.BEYOND, SOME_LETTERS)
        part["format"] = "idn-email"
        count = 1
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return count + sum(shorten(one) for one in inner)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Wait for a moment only, and make what is meant to be accepted acceptable."""
    headers, query = case.headers or {}, case.query or {}
    if "Prefer" in headers:
        headers["Prefer"] = "wait=0.05"
    if isinstance(query.get("wait"), (int, float)) and 0.05 < query["wait"] <= 60:
        query["wait"] = 0.05
    if case.path == "/keys/{name}" and case.path_parameters.get("name") == "chief":
        case.path_parameters["name"] = "nobody"  # the key of this run
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if "delay" in query:  # one of the two
        query.pop("run_at", None)
    mend_unique(query)
    for name in SECONDS:
        if isinstance(query.get(name), float):  # no exponent, at most six decimals
            query[name] = f"{query[name]:.6f}"
    if "Idempotency-Key" in headers:  # not one that another request had
        headers["Idempotency-Key"] = str(uuid.uuid4())
    if isinstance(case.body, (dict, list, float)):
        case.body = with_integers(case.body)
    if case.path == "/stats":  # how far apart the two may be depends on the bucket
        query.pop("from", None)
        query.pop("to", None)
    if case.path.startswith("/tasks/{task_id}"):
        mend_going_back(case, headers, query)
    if case.path.startswith("/schedules") and isinstance(case.body, dict):
        mend_schedule(case.body, new=case.path == "/schedules")
    if case.path == "/tasks/generate-report" and isinstance(case.body, dict):
        # Of no task: thousands were made by now, and each report of them would keep the server busy for a second.
        case.body["filters"] = {**(case.body.get("filters") or {}), "created_before": "2000-01-01T00:00:00Z"}
    for entry in case.body if isinstance(case.body, list) else [case.body]:
        if isinstance(entry, dict) and case.path == "/tasks":
            mend_unique(entry)
            if entry.get("delay") is not None:
                entry["run_at"] = None
            if str(entry.get("kind")).startswith(ELSEWHERE):
                entry.update(kind="add", args={"x": 1, "y": 2})
            if entry.get("idempotency_key"):
                entry["idempotency_key"] = str(uuid.uuid4())


def mend_unique(asked: dict[str, Any]) -> None:
    """A policy goes with a key, and a debounce with its policy and without another plan."""
    if asked.get("unique_key") is None:
        asked.pop("on_duplicate", None)
    if asked.get("on_duplicate") == "debounce":
        asked.update(debounce=asked.get("debounce") or 5)
        for name in ("delay", "run_at"):
            asked.pop(name, None)
    else:
        asked.pop("debounce", None)


def mend_schedule(body: dict[str, Any], new: bool) -> None:
    """A kind there is with args that it takes, a zone there is, and one plan: cron or every."""
    acceptable = {"kind": "cleanup", "args": {}, "timezone": "Europe/Paris", "cron": "0 * * * *"}
    body |= {name: value for name, value in acceptable.items() if name in body}
    if "cron" in body or (new and "every" not in body):
        body.pop("every", None)
        body["cron"] = acceptable["cron"]


def with_integers(value: Any) -> Any:
    """To JSON Schema 4.0 is an integer; the server takes it for what it looks like."""
    if isinstance(value, dict):
        return {name: with_integers(one) for name, one in value.items()}
    if isinstance(value, list):
        return [with_integers(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def mend_going_back(case: Any, headers: Any, query: dict[str, Any]) -> None:
    """Which steps a task has recorded, its kind and its version are in no document."""
    query.pop("from", None)
    if "If-Match" in headers:
        headers["If-Match"] = "*"
    if case.path == "/tasks/{task_id}/fork" and isinstance(case.body, dict):
        case.body = {}
    if case.method.upper() == "PATCH" and isinstance(case.body, dict):
        kept = {name: value for name, value in case.body.items() if name not in ("args", "queue")}
        case.body = kept or {"priority": 1}
