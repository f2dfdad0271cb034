"""Prints documents of the API for people: with rich on a terminal, as plain lines elsewhere. Control characters in the
texts of tasks are shown as escapes, so that they cannot control the terminal."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from quart_app.clock import SystemClock
from quart_app.core.task import DEFAULT_QUEUE
from quart_app.process.logs import escape, escape_json

GAP: Final = 2
FIXED: Final = ("id", "fingerprint", "status", "tries", "age")
COLOURS: Final = {"completed": "green", "failed": "red", "cancelled": "yellow", "processing": "cyan"}
FIELDS: Final = (
    "kind", "queue", "status", "priority", "attempt", "max_attempts", "crashes", "created_at", "run_at", "started_at",
    "completed_at", "waiting_for", "parent_id", "forked_from", "code_version", "owner",
)  # fmt: skip


def counted(n: int, what: str) -> str:
    """`1 task`, `2 tasks`."""
    return f"{n} {what}{'s' * (n != 1)}"


def tasks(rows: Sequence[Mapping[str, Any]]) -> None:
    _table(
        ("id", "kind", "queue", "status", "tries", "age", ""),
        [
            (
                row["task_id"],
                row["kind"],
                row["queue"],
                row["status"],
                f"{row['attempt']}/{row['max_attempts']}",
                _age(row["created_at"]),
                _remark(row),
            )
            for row in rows
        ],
        spare="queue",
        dull=DEFAULT_QUEUE,
    )


def waiting(rows: Sequence[Mapping[str, Any]]) -> None:
    _table(
        ("id", "kind", "signal", "since", "until"),
        [(row["task_id"], row["kind"], row["signal"], row["since"], row["timeout_at"] or "") for row in rows],
    )


def errors(rows: Sequence[Mapping[str, Any]]) -> None:
    _table(
        ("fingerprint", "kind", "type", "count", "last", "place", ""),
        [
            (
                row["fingerprint"],
                row["kind"],
                row["type"],
                str(row["count"]),
                row["last_seen"],
                row["place"] or "",
                row["message"],
            )
            for row in rows
        ],
    )


def keys(document: Mapping[str, Any]) -> None:
    _table(
        ("name", "scopes", "created", "used", "ends", "kinds", "source"),
        [
            (
                one["name"],
                " ".join(one["scopes"]),
                one.get("created_at") or "",
                one.get("last_used_at") or "",
                _end_of_key(one),
                ",".join(one.get("kinds") or ()),
                one.get("source") or "",
            )
            for one in document["keys"]
        ],
    )


def _end_of_key(one: Mapping[str, Any]) -> str:
    if one.get("revoked_at"):
        return f"revoked {one['revoked_at']}"
    ends = one.get("expires_at") or ""
    old = one.get("old_until")
    return f"{ends} (old secret: {old})".strip() if old else ends


def acts(rows: Sequence[Mapping[str, Any]]) -> None:
    _table(
        ("at", "act", "who", "peer", "what", "times", ""),
        [
            (
                one["at"],
                one["act"],
                one["actor"] or "",
                one["peer"] or "",
                one["target"] or "",
                str(one["times"]),
                one["detail"],
            )
            for one in rows
        ],
    )


def queues(rows: Sequence[Mapping[str, Any]]) -> None:
    _table(
        ("name", "waiting", "ready", "delayed", "running", "for", "at once", "rate", ""),
        [
            (
                row["name"],
                *(str(row[name]) for name in ("waiting", "ready", "delayed", "processing")),
                _span(row["oldest_age"]),
                _limit_text(row["concurrency"]),
                _limit_text(row["rate_limit"]),
                "paused" if row["paused"] else "",
            )
            for row in rows
        ],
    )


def limits(rows: Sequence[Mapping[str, Any]]) -> None:
    _table(
        ("name", "at once", "rate", "running", "started", "held back", "keys", ""),
        [
            (
                row["name"],
                _limit_text(row["concurrency"]),
                _limit_text(row["rate"]),
                *(str(row[name]) for name in ("running", "started_in_window", "waiting", "held_keys")),
                "changed" if any(value is not None for value in row["override"].values()) else "",
            )
            for row in rows
        ],
    )


def _limit_text(value: object) -> str:
    return "-" if value is None else str(value)


def schedules(rows: Sequence[Mapping[str, Any]]) -> None:
    _table(
        ("name", "kind", "when", "next", "last", ""),
        [
            (
                row["name"],
                row["kind"],
                f"every {row['every']} s" if row["cron"] is None else f"{row['cron']} {row['timezone']}",
                "paused" if row["paused"] else row["next_at"] or "never",
                row["last_fire_at"] or "",
                row["last_error"] or "",
            )
            for row in rows
        ],
    )


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]], spare: str = "", dull: str = "") -> None:
    """On a terminal the `spare` column is left out when all its cells are `dull`, or when there is little
    room; on a pipe there are always the same columns."""
    from rich.cells import cell_len, set_cell_size
    from rich.console import Console
    from rich.text import Text

    terminal = sys.stdout.isatty()
    console = Console(highlight=False)
    shown = {header: [escape(row[number]) for row in rows] for number, header in enumerate(headers)}
    widths = {header: max(map(cell_len, (header, *cells))) for header, cells in shown.items()}
    if terminal:
        room = console.width - GAP * (len(shown) - 1)
        if spare and (sum(widths.values()) > room or set(shown[spare]) <= {dull}):
            del shown[spare], widths[spare]
            room += GAP
        widths = _fitting(widths, room)
    for number, row in enumerate([tuple(shown), *zip(*shown.values(), strict=True)]):
        line = Text(style="bold" if number == 0 else "")
        for cell, width in zip(row, widths.values(), strict=True):
            cut = cell if cell_len(cell) <= width else f"{set_cell_size(cell, width - 1)}…"
            line.append(set_cell_size(cut, width), COLOURS.get(cell)).append(" " * GAP)
        line.rstrip()
        console.print(line, soft_wrap=True)


def _fitting(widths: Mapping[str, int], room: int) -> dict[str, int]:
    """The widths reduced to `room` columns in all. Only names and remarks are shortened: ids must be whole to be
    copied."""
    made = dict(widths)
    flexible = sorted((header for header in widths if header not in FIXED), key=widths.__getitem__)
    left = room - sum(widths.values()) + sum(widths[header] for header in flexible)
    for place, header in enumerate(flexible):
        made[header] = min(made[header], max(left // (len(flexible) - place), 1))
        left -= made[header]
    return made


def _age(created_at: str) -> str:
    return _span(SystemClock().now() // 1000 - int(datetime.datetime.fromisoformat(created_at).timestamp()))


def _span(time: float) -> str:
    """Seconds, in one word."""
    seconds = int(time)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{max(seconds, 0)}s"


def _remark(row: Mapping[str, Any]) -> str:
    """The remark on a task: its error, what it waits for, or its progress."""
    if row["error"] is not None and row["status"] != "completed":
        return f"{row['error']['type']}: {row['error']['message']}"
    if row["waiting_for"]:
        return f"waits for {row['waiting_for']}"
    return progress(row["progress"]) if row["progress"] is not None else ""


def progress(state: Mapping[str, Any]) -> str:
    """The progress as a text, such as `2/5 bread is ready`."""
    done, total = state.get("done"), state.get("total")
    amount = "" if done is None else f"{done}" if total is None else f"{done}/{total}"
    return " ".join(part for part in (amount, state.get("message") or "") if part)


def task(row: Mapping[str, Any]) -> str:
    lines = [f"task          {row['task_id']}"]
    lines += [f"{name:<13} {escape(str(row[name]))}" for name in FIELDS if row.get(name) is not None]
    if row["tags"]:
        lines.append(f"{'tags':<13} {escape(', '.join(row['tags']))}")
    if (children := row.get("children")) is not None:
        lines.append(f"{'children':<13} {children['ended']} of {children['total']} ended, {children['failed']} failed")
    if row["progress"] is not None:
        lines.append(f"{'progress':<13} {escape(progress(row['progress']))}")
    lines.append(f"{'args':<13} {_json(row['args'])}")
    if row["error"] is not None:
        lines.append(f"{'error':<13} {escape(row['error']['type'] + ': ' + row['error']['message'])}")
    if row["status"] == "completed":
        lines.append(f"{'result':<13} {_json(row['result'])}")
    return "\n".join(lines)


def traceback(error: Mapping[str, Any]) -> str:
    """The traceback of an error of the history; empty when it has none."""
    return "".join(f"    | {escape(line)}\n" for line in (error["traceback"] or "").splitlines())


def stack(document: Mapping[str, Any]) -> str:
    """The frames as Python shows them, the innermost last."""
    lines = []
    for frame in document["frames"]:
        lines.append(f'File "{frame["file"]}", line {frame["line"]}, in {frame["function"]}')
        if frame["code"]:
            lines.append(f"  {frame['code']}")
    return "\n".join(map(escape, lines))


def explanation(document: Mapping[str, Any]) -> str:
    """The sentence, and below it what else is known."""
    lines = [f"{document['reason']}: {document['text']}"]
    if document["position"]:
        lines.append(f"before it: {document['position']}")
    for name in ("expected_start", "expected_end"):
        if document[name] is not None:
            lines.append(f"{name.replace('_', ' ')}: {document[name]}")
    if document["based_on"]:
        lines[-1] += f" (by {document['based_on']} runs)"
    return "\n".join(map(escape, lines))


def places(frames: list[Any]) -> str:
    """The innermost of these frames in one line; something else as it is."""
    try:
        return ": " + " > ".join(f"{frame['file']}:{frame['line']} {frame['function']}" for frame in frames[-5:])
    except (LookupError, TypeError):
        return f" frames={frames!r}"


def outcome(row: Mapping[str, Any]) -> str:
    """The line that says how a task ended."""
    if row["status"] == "completed":
        return f"completed: {_json(row['result'])}"
    if row["error"] is not None:
        return escape(f"{row['status']}: {row['error']['type']}: {row['error']['message']}")
    return str(row["status"])


def status(document: Mapping[str, Any]) -> str:
    state = document["status"]
    head = f"{state}: no server runs" if state == "idle" else f"{state}, process {document['worker_info']['pid']}"
    lines = [f"{head}, up {document['uptime_seconds']:g} s, quart_app {document['versions']['quart_app']}"]
    lines.append(", ".join(f"{n} {name}" for name, n in document["tasks"].items()))
    slots = document["slots"]
    lines.append(f"{document['waiting']} waiting, {slots['running']} of {slots['total']} slots in use")
    for name, queue in document["queues"].items():
        lines.append(f"queue {escape(name)}: " + ", ".join(f"{n} {what}" for what, n in queue.items()))
    return "\n".join(lines)


def as_json(document: Any) -> str:
    """The document as one line for `--json`, with control characters escaped as well."""
    return escape_json(json.dumps(document, ensure_ascii=False, separators=(",", ":")))


def _json(value: Any) -> str:
    return escape(json.dumps(value, ensure_ascii=False))
