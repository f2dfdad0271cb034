"""The log of a real server: who wrote what, as which task, and nothing that must not be there."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quart_app.process import logs
from tests.hostile.server import DEADLINE, Server
from tests.hostile.wire import post_json, request

KINDS = Path(__file__).with_name("log_kinds.py")
SECRETS = (b"hunter2-smtp", b"hunter2-bearer", b"hunter2-key", b"hunter2-cookie")
TRACE = (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


class Written:
    def __init__(self, server: Server, tasks: dict[str, str]) -> None:
        self.events: list[dict[str, Any]] = [json.loads(line) for line in server.log.read_text("utf-8").splitlines()]
        self.console = server.stderr.read_text("utf-8")
        self.raw = server.written()
        self.tasks = tasks

    def one(self, event: str) -> dict[str, Any]:
        (found,) = [one for one in self.events if one["event"] == event]
        return found


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    folder = tmp_path_factory.mktemp("log")
    server = Server(folder, tasks=str(KINDS), smtp_url="smtp://user:hunter2-smtp@127.0.0.1:9")
    secret = [
        (b"Authorization", b"Bearer hunter2-bearer"),
        (b"X-API-Key", b"hunter2-key"),
        (b"Cookie", b"hunter2-cookie"),
    ]
    tasks = {}
    for kind in ("chatty", "threaded", "apart"):
        reply = server.ask(post_json(f"/tasks/{kind}", b"{}", *secret, (b"Prefer", b"wait=30"), TRACE))
        tasks[kind] = reply.json["task_id"]
    mail = json.dumps({"to": "a@example.com", "subject": "s", "body": "b"}).encode()
    server.ask(post_json("/tasks/send-email", mail, *secret))
    ends = time.monotonic() + DEADLINE
    while b"send-email will be tried again" not in server.log.read_bytes():
        assert time.monotonic() < ends, "nothing is said of the mail that cannot be sent"
        time.sleep(0.01)
    for _ in range(20):
        assert server.ask(request("GET", "/health", None, secret)).status == 200
        assert server.ask(request("GET", "/nowhere", None, secret)).status == 404
    assert server.stop() == 0
    yield Written(server, tasks)


def test_every_line_that_a_task_causes_names_the_task(written: Written) -> None:
    lines = ["plain words 2", "with fields", "on record", "helper of a task", "structured", "bound by hand", "caught"]
    assert {written.one(line)["task_id"] for line in lines} == {written.tasks["chatty"]}
    threads = ["from the thread of the task", "from a thread of its own"]
    assert {written.one(line)["task_id"] for line in threads} == {written.tasks["threaded"]}


def test_fields_are_members_of_their_own_and_cannot_pass_for_ours(written: Written) -> None:
    line = written.one("with fields")
    assert (line["width"], line["name"], line["level"], line["level_"]) == (800, "cat.jpg", "INFO", "gold")
    line = written.one("on record")
    assert (line["colour"], line["event_"], line["task_id_"]) == ("blue", "e", "forged")
    assert written.one("helper of a task")["order"] == 17
    assert written.one("structured")["cents"] == 995


def test_what_a_handler_binds_stands_in_its_later_lines_and_in_no_other_tasks(written: Written) -> None:
    assert {one["event"] for one in written.events if one.get("customer") == "c-9"} >= {"bound by hand", "caught"}
    assert "customer" not in written.one("structured")
    assert "customer" not in written.one("from the thread of the task")


def test_the_trace_that_a_request_names_goes_with_the_task(written: Written) -> None:
    assert written.one("structured")["traceparent"] == TRACE[1].decode()


def test_a_traceback_is_one_member_of_the_line_and_is_marked_on_the_console(written: Written) -> None:
    line = written.one("caught")
    assert line["exception"].startswith("Traceback") and line["exception"].endswith("ValueError: once\nin vain")
    assert "\n    | in vain" in written.console
    assert "\nin vain" not in written.console


def test_arguments_that_do_not_fit_cost_neither_the_line_nor_the_task(written: Written) -> None:
    assert written.one("%d apples (its arguments do not fit)")["task_id"] == written.tasks["chatty"]


def test_lines_of_a_child_process_come_the_same_way(written: Written) -> None:
    line = written.one("from the child process")
    assert (line["task_id"], line["level"], line["width"]) == (written.tasks["apart"], "WARNING", 3)
    line = written.one("first\nsecond")
    assert (line["task_id"], line["logger"], line["level"]) == (written.tasks["apart"], "shop.child", "ERROR")
    assert written.one("fine print")["level"] == "INFO"


def test_the_servers_own_lines_are_in_it_and_requests_are_not(written: Written) -> None:
    assert [one for one in written.events if one["logger"] == "quart_app.server" and "Running on" in one["event"]]
    assert not [one for one in written.events if "health" in one["event"] or "nowhere" in one["event"]]


def test_no_secret_is_in_it(written: Written) -> None:
    assert written.one("caught")  # so that something was read
    assert [secret for secret in SECRETS if secret in written.raw] == []


def test_times_are_rfc_3339_and_the_console_has_the_same_lines(written: Written) -> None:
    for event in written.events:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"])
    heads = [line for line in written.console.splitlines() if re.match(r"\d{4}-", line)]
    assert [line[:24] for line in heads] == [event["time"] for event in written.events]
    assert f"[{written.tasks['chatty']}] quart_app.task.chatty: with fields" in written.console


def test_log_files_are_for_their_owner_only_the_rotated_ones_too(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        file = logs._File(tmp_path / "log", maxBytes=100, backupCount=2, encoding="utf-8", errors="replace")
        for _ in range(20):
            file.emit(logging.makeLogRecord({"msg": "x" * 40}))
        file.close()
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"log": 0o600, "log.1": 0o600, "log.2": 0o600}
