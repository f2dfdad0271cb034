"""What people see of the API's documents."""

from __future__ import annotations

import datetime
import re
import sys
from typing import Any

import pytest

from quart_app.cli import tables
from quart_app.cli.watch import line

NASTY = "\x1b[31m [bold]x[/bold]\r\n"


def a_task(**changes: Any) -> dict[str, Any]:
    created = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=2, minutes=5)
    return {
        "task_id": "01a1fc91-bf65-7cf5-9e74-aba76276041c",
        "kind": "a-kind-with-a-long-name-of-its-own",
        "queue": "default",
        "status": "processing",
        "attempt": 1,
        "max_attempts": 12,
        "created_at": created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "progress": {"done": 2, "total": 5, "percent": 40.0, "message": "bread is ready"},
        "error": None,
        "waiting_for": None,
        "tags": [],
        "args": {},
        "result": None,
    } | changes


ERROR = {"type": "ValueError", "message": NASTY, "attempt": 1, "retryable": True}


def test_on_a_narrow_terminal_the_ids_and_statuses_stay_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")  # 80 columns, as far as rich can tell
    tables.tasks([a_task(), a_task(status="completed", error=ERROR)])
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[0] == "id"
    assert all(len(row) <= 80 for row in rows)
    assert all(a_task()["task_id"] in row and " 2h " in row for row in rows)
    assert " processing " in rows[0]
    assert " completed " in rows[1]


def on_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int, *rows: dict[str, Any]
) -> list[str]:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    tables.tasks(rows)
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in capsys.readouterr().out.splitlines()]


def test_a_terminal_shows_queues_when_one_has_a_name_and_there_is_room(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, named = a_task(), a_task(queue="images")
    assert "queue" not in on_terminal(capsys, monkeypatch, 200, plain, plain)[0]
    assert " images " in on_terminal(capsys, monkeypatch, 200, plain, named)[2]
    narrow = on_terminal(capsys, monkeypatch, 80, plain, named)
    assert "queue" not in narrow[0]
    assert narrow[1].split()[1] == "a-kind-…"


def test_an_id_is_whole_where_nothing_else_has_room(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, shown = on_terminal(capsys, monkeypatch, 30, a_task())
    assert shown.startswith(a_task()["task_id"] + "  ")


def test_on_a_pipe_nothing_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    tables.tasks([a_task(), a_task(status="failed", error=ERROR)])
    head, *rows = capsys.readouterr().out.splitlines()
    assert "queue" in head, "the same columns whatever the tasks are"
    assert all(line == line.rstrip() for line in (head, *rows))
    assert "a-kind-with-a-long-name-of-its-own" in rows[0]
    assert "2/5 bread is ready" in rows[0]
    assert rows[1].rstrip().endswith(r"ValueError: \x1b[31m [bold]x[/bold]\r\n")


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"done": 2, "total": 5, "message": "m"}, "2/5 m"),
        ({"done": 0, "total": None, "message": None}, "0"),
        ({"done": None, "total": 9, "message": "m"}, "m"),
        ({"done": None, "total": None, "message": None}, ""),
    ],
)
def test_progress_is_short(state: dict[str, Any], text: str) -> None:
    assert tables.progress(state) == text


def test_the_outcome_is_one_line_whatever_it_says() -> None:
    assert tables.outcome(a_task(status="completed", result={"a": "\u2028é"})) == r'completed: {"a": "\u2028é"}'
    assert tables.outcome(a_task(status="failed", error=ERROR)) == r"failed: ValueError: \x1b[31m [bold]x[/bold]\r\n"
    assert tables.outcome(a_task(status="cancelled")) == "cancelled"


@pytest.mark.parametrize(
    ("event", "data", "text"),
    [
        ("status", {}, "status    processing (claim, attempt 1)"),
        ("step", {"name": NASTY}, r"step      \x1b[31m [bold]x[/bold]\r\n"),
        ("progress", {"done": 1, "total": 2, "message": "m"}, "progress  1/2 m"),
        ("output", {"run": 1, "n": 1, "data": "Hello\n\x1b[31m"}, r"output    Hello\n\x1b[31m"),
        ("output", {"run": 1, "n": 2, "data": {"at": 1, "é": "\x1b"}}, r'output    {"at":1,"é":"\u001b"}'),
        ("output", {"run": 1, "n": 3, "data": None}, "output    null"),
        ("log", {"message": "m", "fields": {"n": 1, "t": "a\nb"}}, r"log       m n=1 t='a\nb'"),
    ],
)
def test_an_event_is_one_line(event: str, data: dict[str, Any], text: str) -> None:
    told = {"at": "2026-01-31T12:30:01.000Z", "status": "processing", "cause": "claim", "attempt": 1}
    assert line({**told, "event": event, "data": data}) == f"12:30:01 {text}"


FRAME = {"file": "my_tasks.py", "line": 7, "function": "ask", "code": "await other()"}


def test_a_stack_is_shown_as_python_does_and_steers_no_terminal() -> None:
    document = {"at": "2026-11-28T20:49:08.262Z", "frames": [FRAME, {**FRAME, "code": ""}, {**FRAME, "code": NASTY}]}
    shown = tables.stack(document)
    place = 'File "my_tasks.py", line 7, in ask'
    assert shown.splitlines()[:4] == [place, "  await other()", place, place]
    assert "\x1b" not in shown


def test_a_line_of_the_history_with_a_stack_is_one_line() -> None:
    frames = [{**FRAME, "line": number} for number in range(9)]
    event = {"event": "log", "at": "2026-11-28T20:49:08.262Z", "data": {"message": "m", "fields": {"frames": frames}}}
    assert line(event).endswith("m: " + " > ".join(f"my_tasks.py:{number} ask" for number in range(4, 9)))
    event["data"] = {"message": "m", "fields": {"frames": [1, 2], "x": 3}}
    assert line(event).endswith("m frames=[1, 2] x=3")
