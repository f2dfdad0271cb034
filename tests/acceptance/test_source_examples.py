"""The requests of the source documents, by their own curl lines, before and after a kill -9."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import uuid
from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import Server, until


def curl(server: Server, *arguments: str) -> Any:
    """The JSON that `curl ARGUMENTS` shows."""
    return json.loads(curled(server, *arguments))


def curled(server: Server, *arguments: str) -> str:
    """What `curl ARGUMENTS`, as the documents have it, shows with the port of this server."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("CURL IS NOT INSTALLED: the documents' own lines cannot be tried")
    words = [re.sub(r"http://(localhost|127\.0\.0\.1):[58]000", server.url, argument) for argument in arguments]
    answer = subprocess.run(
        [program, "--silent", "--show-error", "--noproxy", "*", *words], capture_output=True, check=True, timeout=30
    )
    return answer.stdout.decode()


@pytest.fixture
def documented(make_server: MakeServer) -> Server:
    """With the simulated work made short."""
    return make_server(simulated_steps="0.4,0.2", simulated_add_seconds=0.5).start().wait_ready()


def test_start_and_status_of_the_quick_guide(documented: Server) -> None:
    started = curl(documented, "http://localhost:5000/start/10/5")
    assert started["status"] == "started"
    task_id = started["task_id"]
    assert curl(documented, f"http://localhost:5000/status/{task_id}") == {"status": "running"}
    documented.kill9()

    documented.start().wait_ready()
    assert curl(documented, f"http://localhost:5000/status/{task_id}")["status"] in ("running", "done")
    documented.ended(task_id)
    assert curl(documented, f"http://localhost:5000/status/{task_id}") == {"status": "done", "result": 15}
    assert curl(documented, f"http://localhost:5000/status/{uuid.uuid4()}")["error"] == "Task not found"


def test_a_failed_and_a_cancelled_task_say_so_under_status(make_server: MakeServer) -> None:
    server = make_server(simulated_add_seconds=60).start().wait_ready()
    cancelled = curl(server, "http://localhost:5000/start/1/2")["task_id"]
    server.client.post(f"/tasks/{cancelled}/cancel")
    server.ended(cancelled)
    assert curl(server, f"http://localhost:5000/status/{cancelled}") == {"status": "cancelled"}
    failed = server.post("add", {"x": 1, "y": 2}, timeout=0.05)
    server.ended(failed)
    answer = curl(server, f"http://localhost:5000/status/{failed}")
    assert answer["status"] == "failed"
    assert "timeout" in answer["error"]


def test_welcome_hello_and_status_of_the_async_exploration(documented: Server) -> None:
    welcome = curl(documented, "http://localhost:8000/")
    hello = curl(documented, "http://localhost:8000/hello")
    assert {"/", "/hello", "/status"} <= set(welcome["endpoints"])
    assert hello["status"] == "success"
    for answer in (welcome, hello):
        assert answer["message"]
        assert answer["note"]
        assert answer["worker_info"] == {"pid": documented.pid, "worker_class": "asyncio"}
    audits = [uuid.UUID(answer["request_uuid"]) for answer in (welcome, hello)]
    assert len(set(audits)) == 2
    first_step = "SELECT count(*) FROM steps WHERE name = 'work-1'"
    until(lambda: documented.rows(first_step) == [(2,)], "the first step of both audits")
    documented.kill9()

    documented.start().wait_ready()
    for audit in audits:
        done = documented.ended(str(audit))
        assert (done["kind"], done["queue"], done["status"]) == ("request-audit", "audit", "completed")
        assert (done["attempt"], done["crashes"]) == (1, 0)
    counted = curl(documented, "http://localhost:8000/status")
    assert counted["tasks"]["completed"] == 2  # asking for the status starts nothing
    assert counted["worker_info"]["pid"] == documented.pid
    assert documented.sigterm() == 0
    for audit in audits:
        lines = [line for line in documented.log.splitlines() if str(audit) in line]
        assert [line for line in lines if "audit started" in line]
        assert [line for line in lines if "step 2 of 2 done" in line]
        assert [line for line in lines if "audit completed" in line]


def test_a_simulated_error_is_logged_and_does_not_touch_the_answer(make_server: MakeServer) -> None:
    server = make_server(simulated_steps="0", simulated_error_rate=1).start().wait_ready()
    audit = curl(server, "http://localhost:8000/hello?name=me")["request_uuid"]
    failed = server.ended(audit)
    assert (failed["status"], failed["error"]["type"]) == ("failed", "SimulatedError")
    assert failed["args"]["query"] == "name=me"
    assert failed["args"]["ip"] == "127.0.0.1"
    assert failed["args"]["user_agent"].startswith("curl/")
    assert curl(server, "http://localhost:8000/hello")["status"] == "success"
    assert server.sigterm() == 0
    assert [line for line in server.log.splitlines() if audit in line and "simulated error" in line]


def test_send_email_and_its_polling_of_the_async_task_examples(documented: Server) -> None:
    created = curl(
        documented,
        "-X", "POST", "http://localhost:8000/tasks/send-email",
        "-H", "Content-Type: application/json",
        "-d", '{"to": "user@example.com", "subject": "Hello", "body": "This is a test email"}',
    )  # fmt: skip
    task_id = created["task_id"]
    assert created["status"] == "pending"
    assert created["message"] == "Email task created"
    assert created["status_url"] == f"/tasks/{task_id}"
    documented.kill9()

    documented.start().wait_ready()
    documented.ended(task_id)
    task = curl(documented, f"http://localhost:8000/tasks/{task_id}")
    assert (task["task_id"], task["status"]) == (task_id, "completed")
    assert task["created_at"] <= task["completed_at"]
    assert task["result"]["sent_to"] == "user@example.com"
    assert task["result"]["subject"] == "Hello"
    assert task["result"]["sent_at"]
    (path,) = (documented.data / "outbox").iterdir()
    mail = message_from_bytes(path.read_bytes(), policy=default)
    assert (mail["To"], mail["Subject"]) == ("user@example.com", "Hello")
    assert task_id in mail["Message-ID"]
    assert "This is a test email" in mail.get_content()


def test_generate_report_of_the_async_task_examples(documented: Server) -> None:
    created = curl(
        documented,
        "-X", "POST", "http://localhost:8000/tasks/generate-report",
        "-H", "Content-Type: application/json",
        "-d", '{"report_type": "tasks", "filters": {}}',
    )  # fmt: skip
    task_id = created["task_id"]
    assert (created["status"], created["status_url"]) == ("pending", f"/tasks/{task_id}")
    documented.kill9()

    documented.start().wait_ready()
    documented.ended(task_id)
    task = curl(documented, f"http://localhost:8000/tasks/{task_id}")
    assert (task["status"], task["result"]["report_type"]) == ("completed", "tasks")
    assert task["result"]["file_url"] == f"/reports/tasks-{task_id}.pdf"
    answer = documented.client.get(task["result"]["file_url"])
    assert answer.headers["Content-Type"] == "application/pdf"
    assert answer.content.startswith(b"%PDF-")


def test_send_bulk_email_before_and_after_a_kill(documented: Server) -> None:
    wanted = ["ann@example.com", "bob@example.com"]
    task_id = documented.post("send-bulk-email", {"recipients": wanted, "subject": "Hello", "body": "All"})
    documented.kill9()

    documented.start().wait_ready()
    assert documented.ended(task_id)["result"] == {"sent": 2, "failed": []}
    mails = [
        message_from_bytes(path.read_bytes(), policy=default) for path in (documented.data / "outbox").glob("*.eml")
    ]
    assert sorted(mail["To"] for mail in mails) == wanted
