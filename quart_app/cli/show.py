"""Documents of the API as people read them: rich on a terminal, plain lines elsewhere. Texts of tasks never steer the
terminal: control characters are shown as escapes."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from quart_app.clock import SystemClock
from quart_app.core.task import DEFAULT_QUEUE
from quart_app.logs import escape

GAP: Final = 2
FIXED: Final = ("id", "status", "tries", "age")
COLOURS: Final = {"completed": "green", "failed": "red", "cancelled": "yellow", "processing": "cyan"}
FIELDS: Final = (
    "kind", "queue", "status", "priority", "attempt", "max_attempts", "crashes", "created_at", "run_at", "started_at",
    "completed_at", "waiting_for", "owner",
)  # fmt: skip


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
    """Where there is little room, names and remarks give way: ids are for copying."""
    made = dict(widths)
    flexible = sorted((header for header in widths if header not in FIXED), key=widths.__getitem__)
    left = room - sum(widths.values()) + sum(widths[header] for header in flexible)
    for place, header in enumerate(flexible):
        made[header] = min(made[header], max(left // (len(flexible) - place), 1))
        left -= made[header]
    return made


def _age(created_at: str) -> str:
    seconds = SystemClock().now() // 1000 - int(datetime.datetime.fromisoformat(created_at).timestamp())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{max(seconds, 0)}s"


def _remark(row: Mapping[str, Any]) -> str:
    """What is worth knowing about it: its error, what it waits for, how far it is."""
    if row["error"] is not None and row["status"] != "completed":
        return f"{row['error']['type']}: {row['error']['message']}"
    if row["waiting_for"]:
        return f"waits for {row['waiting_for']}"
    return progress(row["progress"]) if row["progress"] is not None else ""


def progress(state: Mapping[str, Any]) -> str:
    """`2/5 bread is ready`."""
    done, total = state.get("done"), state.get("total")
    amount = "" if done is None else f"{done}" if total is None else f"{done}/{total}"
    return " ".join(part for part in (amount, state.get("message") or "") if part)


def task(row: Mapping[str, Any]) -> str:
    lines = [f"task          {row['task_id']}"]
    lines += [f"{name:<13} {escape(str(row[name]))}" for name in FIELDS if row.get(name) is not None]
    if row["tags"]:
        lines.append(f"{'tags':<13} {escape(', '.join(row['tags']))}")
    if row["progress"] is not None:
        lines.append(f"{'progress':<13} {escape(progress(row['progress']))}")
    lines.append(f"{'args':<13} {_json(row['args'])}")
    if row["error"] is not None:
        lines.append(f"{'error':<13} {escape(row['error']['type'] + ': ' + row['error']['message'])}")
    if row["status"] == "completed":
        lines.append(f"{'result':<13} {_json(row['result'])}")
    return "\n".join(lines)


def traceback(error: Mapping[str, Any]) -> str:
    """Of an error of the history; empty for one that has none."""
    return "".join(f"    | {escape(line)}\n" for line in (error["traceback"] or "").splitlines())


def outcome(row: Mapping[str, Any]) -> str:
    """The one line that says how a task ended."""
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


def _json(value: Any) -> str:
    return escape(json.dumps(value, ensure_ascii=False))
