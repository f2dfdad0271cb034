"""A report of 100,000 tasks by a real server: killed in the middle, made again, in bounded memory."""

from __future__ import annotations

import csv
import io
import re
import signal
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import Server, until
from tests.acceptance.test_many_rows import multiply

pytestmark = pytest.mark.once

ROWS = 100_000

# The process kills itself at the rename that makes a file whole: BEFORE it, or when it is done.
DEADLY = """
import os, pathlib, runpy, signal, sys
rename = pathlib.Path.rename
def deadly(path, target):
    if BEFORE:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(path, target)
    os.kill(os.getpid(), signal.SIGKILL)
pathlib.Path.rename = deadly
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
ROOM = 64 * 1024  # KiB


def files(server: Server) -> list[str]:
    folder = server.data / "reports"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def peak(server: Server) -> int:
    """KiB of memory that the process has had at most."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{server.pid}/status").read_text())
    assert found is not None
    return int(found[1])


def filled(make_server: MakeServer) -> Server:
    server = make_server(retention_seconds=0).start().wait_ready()
    template = server.post("quick", {"x": 1})
    server.ended(template)
    server.kill9()
    multiply(server.database, template, ROWS - 1, "01")
    return server.start().wait_ready()


def test_a_report_killed_in_the_middle_leaves_no_half_file_and_is_made_again(make_server: MakeServer) -> None:
    server = filled(make_server)
    task_id = server.post("generate-report", {"report_type": "tasks", "format": "csv"})
    until(lambda: files(server), "the beginning of the report")
    server.kill9()
    (left,) = files(server)
    assert left.endswith(".tmp")
    assert server.rows("SELECT status FROM tasks WHERE id = ?", task_id) == [("processing",)]

    server.start().wait_ready()
    before = peak(server)
    task = server.ended(task_id)
    assert (task["status"], task["result"]["rows"], task["crashes"]) == ("completed", ROWS + 1, 0)
    assert peak(server) - before < ROOM
    answer = server.client.get(task["result"]["file_url"])
    length = str(len(answer.content))
    assert (
        answer.headers["Content-Length"]
        == server.client.head(task["result"]["file_url"]).headers["Content-Length"]
        == length
    )
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert len({row["task_id"] for row in rows}) == ROWS + 1
    until(lambda: files(server) == [Path(task["result"]["file_url"]).name], "the end of the half file")
    drawn = server.ended(server.post("generate-report", {"report_type": "tasks"}))
    assert (drawn["status"], drawn["result"]["rows"]) == ("completed", ROWS + 2)
    assert server.client.get(drawn["result"]["file_url"]).content.startswith(b"%PDF-")
    assert peak(server) - before < ROOM
    cancelled = server.post("generate-report", {"report_type": "tasks", "format": "csv"})
    until(lambda: [name for name in files(server) if name.endswith(".tmp")], "the beginning of another")
    server.client.post(f"/tasks/{cancelled}/cancel")
    assert server.ended(cancelled)["status"] == "cancelled"
    until(lambda: len(files(server)) == 2, "the end of what it had written")


@pytest.mark.parametrize("form", ["pdf", "csv"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_kill_at_the_end_of_a_report_leaves_a_whole_file_or_none_and_no_answer(
    make_server: MakeServer, before: bool, form: str
) -> None:
    server = make_server().start(prefix=("-c", DEADLY.replace("BEFORE", str(before)))).wait_ready()
    # Delayed, so that the answer is out before the process dies.
    task_id = server.post("generate-report", {"report_type": "users", "format": form}, delay=1)
    assert server.wait_exit() == -signal.SIGKILL
    final, (left,) = f"users-{task_id}.{form}", files(server)
    assert left.endswith(".tmp") if before else left == final
    if not before and form == "csv":
        assert (server.data / "reports" / left).read_bytes().count(b"\r\n") == 101

    server.start().wait_ready()
    task = server.ended(task_id)
    assert (task["status"], task["result"]["rows"], task["crashes"]) == ("completed", 100, 0)
    assert server.client.get(f"/reports/{final}").status_code == 200
    until(lambda: files(server) == [final], "the end of what was left")
