"""The log (S08): one line a record whatever people write, and no line that they wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.hostile.conftest import KINDS
from tests.hostile.server import Server
from tests.hostile.wire import Wire, post_json, request

FORGED = "2031-01-01T00:00:00.000Z CRITICAL [-] quart_app: FORGED"
ENDS = ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\n    | \n"]
STEERING = ["\x1b[2K\x1b[1A", "\x1b]0;title\x07", "\x08" * 100, "\x9b31m", "\u202e", "\x7f"]
TEXTS = [f"before{end}{FORGED}{end}after" for end in ENDS] + [f"{steer}{FORGED}" for steer in STEERING]

LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR|CRITICAL) \[[0-9a-f-]+\] [\w.-]+: "
)
TRACE = "    | "
NAMES = ["time", "level", "logger", "event"]
UNPRINTABLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What a server wrote while people did their best to forge its log: by the name of the file."""
    folder: Path = tmp_path_factory.mktemp("log")
    server = Server(folder, tasks=str(KINDS), simulated_steps="0", simulated_error_rate="1", log_level="DEBUG")
    with Wire(server.port) as wire:
        for text in TEXTS:
            for kind in ("speak", "trip"):
                reply = wire.ask(
                    post_json(f"/tasks/{kind}", json.dumps({"text": text}).encode(), (b"Prefer", b"wait=30"))
                )
                assert (reply.status, reply.json["status"]) == (200, "failed")
            quoted = quote(text, safe="")
            for target in (
                f"/{quoted}",
                f"/tasks/{quoted}",
                f"/tasks?tag={quoted}",
                f"/hello?q={quoted}",
                f"/hello?{quoted}",
            ):
                assert wire.ask(request("GET", target)).status < 500
            for target in (f"/tasks/{quoted}", f"/tasks/speak?queue={quoted}", f"/tasks/speak?tag={quoted}"):
                assert 400 <= wire.ask(post_json(target, b"{}")).status < 500
            header = text.encode().replace(b"\r", b"").replace(b"\n", b"")
            assert wire.ask(request("GET", "/hello", None, [(b"User-Agent", header), (b"Referer", header)])).status in (
                200,
                400,
            )
            assert 400 <= wire.ask(post_json("/tasks/speak", b"{}", (b"Idempotency-Key", header))).status < 500
    assert server.stop() == 0
    yield {"log": server.log.read_text("utf-8"), "console": server.stderr.read_text("utf-8")}


def test_every_line_of_the_file_is_one_object_of_ours(written: dict[str, str]) -> None:
    # Split as Python and editors split, not only at line feeds.
    events = [json.loads(line) for line in written["log"].splitlines()]
    assert len(events) > len(TEXTS) * 8
    assert {tuple(event)[:4] for event in events} == {tuple(NAMES)}
    assert {type(value) for event in events for value in event.values()} <= {str, int, float, bool, type(None)}
    assert [event for event in events if event["time"].startswith("2031") or event["level"] == "CRITICAL"] == []


def test_every_line_of_the_console_is_one_of_ours(written: dict[str, str]) -> None:
    lines = written["console"].splitlines()
    assert len(lines) > len(TEXTS) * 8
    assert [line[:200] for line in lines if not LINE.match(line) and not line.startswith(TRACE)] == []
    assert [line for line in lines if line.startswith("2031")] == []


@pytest.mark.parametrize("name", ["log", "console"])
def test_no_character_can_steer_a_terminal(written: dict[str, str], name: str) -> None:
    assert UNPRINTABLE.findall(written[name]) == []


def test_what_people_wrote_is_still_there_to_be_read(written: dict[str, str]) -> None:
    # Every text reached the log by its message, its fields, its error and its traceback.
    assert written["log"].count("FORGED") > len(TEXTS) * 8
    assert "\\x1b[2K" in written["console"]
    assert "\\u001b[2K" in written["log"]
    events = [json.loads(line) for line in written["log"].splitlines()]
    assert set(TEXTS) <= {event["event"] for event in events}
    for name in ("log", "console"):
        assert "before\\n2031" in written[name]


def test_every_line_about_a_task_names_it(written: dict[str, str]) -> None:
    task_id = r"[0-9a-f]{8}-[0-9a-f-]{27}"
    spoken = [line for line in written["console"].splitlines() if " quart_app.task.speak: " in line]
    assert len(spoken) >= len(TEXTS)
    assert all(re.search(rf" \[{task_id}\] ", line) for line in spoken)
    events = [json.loads(line) for line in written["log"].splitlines()]
    assert all(re.fullmatch(task_id, one["task_id"]) for one in events if one["logger"] == "quart_app.task.speak")
