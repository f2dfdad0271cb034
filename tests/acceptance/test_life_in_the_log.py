"""What a person who reads the log sees of tasks that start, fail and end, and of a stop."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import Server, until


def lines(server: Server, words: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = [json.loads(line) for line in server.log.splitlines()]
    return [line for line in found if words in line["event"]]


def test_debug_tells_when_a_task_starts_and_how_it_ended(make_server: MakeServer) -> None:
    server = make_server(log_level="DEBUG").start().wait_ready()
    task_id = server.post("quick")
    server.ended(task_id)
    (started,) = lines(server, "quick starts (attempt 1 of 1)")
    (ended,) = until(lambda: lines(server, "quick completed in 0.0 s (attempt 1 of 1)"), "the line of the end")
    assert (started["level"], started["task_id"]) == (ended["level"], ended["task_id"]) == ("DEBUG", task_id)


def test_a_failed_task_brings_its_traceback_and_a_stop_says_what_it_waits_for(
    server: Server, journal: Path, flag: Path
) -> None:
    server.start("hypercorn").wait_ready()
    failed = server.post("steps", {"path": "/nowhere/journal"})
    assert server.ended(failed)["status"] == "failed"
    (line,) = until(lambda: lines(server, "steps failed"), "the line of the failure")
    assert line["task_id"] == failed
    assert line["exception"].startswith("Traceback")
    assert "in journal" in line["exception"]
    assert "\n    |   File " in server.stderr
    assert lines(server, "quick") == [], "no line for a task that ends well"
    server.post("sleeper", {"path": str(journal), "flag": str(flag)})
    until(journal.exists, "the start of the task")
    assert server.sigterm() == 0
    assert lines(server, "stopping: up to 1 s for 1 running task")
    assert server.stderr.count("Running on") == 1, "Hypercorn's own handler and ours say it once"
    assert lines(server, "Running on")
    assert stat.S_IMODE((server.data / "async_tasks.log").stat().st_mode) == 0o600
