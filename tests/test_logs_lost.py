"""Nobody reads the console, or nothing can be written: lines are lost, counted and told, and the server goes on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile import server as hostile
from tests.hostile.wire import post_json, request

ROOT = Path(__file__).parents[1]
LINES = 5_000
# Writes LINES lines while its queues hold a hundred; at a word on stdin it goes on with a last one.
SCRIPT = f"""
import logging, sys
from quart_app.process import logs
from quart_app.settings import Settings
logs.MAX_QUEUED = 100
logs.setup(Settings(data_dir=sys.argv[1], log_file=sys.argv[2]))
log = logging.getLogger("quart_app.test")
for number in range({LINES}):
    log.info("line %d %s", number, "x" * 100)
    if number % 50 == 0:
        logs._sinks[1].wait_idle(20)
logs._sinks[1].wait_idle(20)
print(logs.dropped(), flush=True)
sys.stdin.readline()
logs.flush(20)
log.info("the last line")
logs.flush(20)
print(logs.dropped(), flush=True)
"""


def start(folder: Path, log_file: str, **given: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(folder), log_file]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, **given)  # type: ignore[call-overload,no-any-return]


def test_a_console_that_nobody_reads_costs_lines_which_are_counted_and_told(tmp_path: Path) -> None:
    process = start(tmp_path, "", stderr=subprocess.PIPE)
    assert process.stdout is not None
    lost = int(process.stdout.readline())
    assert 0 < lost < LINES
    file = [json.loads(line)["event"] for line in (tmp_path / "async_tasks.log").read_text().splitlines()]
    assert len([event for event in file if event.startswith("line ")]) == LINES
    console = process.communicate("go on\n", timeout=30)[1].splitlines()
    kept = [line for line in console if " quart_app.test: line " in line]
    told = [int(count) for line in console for count in re.findall(r" (\d+) log lines were dropped", line)]
    assert sum(told) == lost == LINES - len(kept)
    assert console[-1].endswith("the last line")


@pytest.mark.parametrize("end", ["closed", "reader gone"])
def test_a_console_that_is_gone_costs_the_file_nothing(tmp_path: Path, end: str) -> None:
    if end == "closed":
        command = [sys.executable, "-c", SCRIPT, str(tmp_path), ""]
        process = subprocess.Popen(
            ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *command], cwd=ROOT, stdin=-1, stdout=-1, text=True
        )
    else:
        reader, writer = os.pipe()
        os.close(reader)
        process = start(tmp_path, "", stderr=writer)
        os.close(writer)
    process.communicate("go on\n", timeout=60)
    file = [json.loads(line)["event"] for line in (tmp_path / "async_tasks.log").read_text().splitlines()]
    assert file[-1] == "the last line"
    assert len(file) == LINES + 1


def test_a_file_that_cannot_be_written_costs_the_console_nothing(tmp_path: Path) -> None:
    with (tmp_path / "console").open("w") as console:
        process = start(tmp_path, "/dev/full", stderr=console.fileno())
        output = process.communicate("go on\n", timeout=60)[0]
    lines = (tmp_path / "console").read_text().splitlines()
    assert lines[-1].endswith("the last line")
    assert int(output.split()[1]) >= LINES
    assert not [line for line in lines if "Traceback" in line]


def test_a_server_whose_console_is_full_serves_and_stops(tmp_path: Path) -> None:
    kinds = tmp_path / "kinds.py"
    kinds.write_text(
        "import asyncio, os, sys\nfrom quart_app import task\n"
        "@task('shout')\nasync def shout(ctx):\n"
        "    for number in range(2000):\n        ctx.logger.info('x' * 500)\n        await asyncio.sleep(0)\n"
        "@task('stubborn')\nasync def stubborn():\n"
        "    while True:\n"
        "        try:\n            await asyncio.sleep(60)\n        except asyncio.CancelledError:\n            pass\n"
    )
    reader, writer = os.pipe()
    try:
        server = hostile.Server(tmp_path, console=writer, tasks=str(kinds), drain_seconds="0")
        os.close(writer)
        wait = (b"Prefer", b"wait=30")
        for _ in range(3):
            assert server.ask(post_json("/tasks/shout", b"{}", wait)).json["status"] == "completed"
        assert server.ask(request("GET", "/health")).status == 200
        server.ask(post_json("/tasks/stubborn", b"{}"))
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
    finally:
        os.close(reader)
