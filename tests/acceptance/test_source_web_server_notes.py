"""Document 001, the notes on web servers: a server takes long work, checks it, hands it on and answers, and while the
work goes on, it answers others. Its five examples of long work, before and after a kill -9."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.documents import LOCAL, answer, curl
from tests.acceptance.harness import DEADLINE, Server, lines_of, until
from tests.tasks.sites import WebSite, links
from tests.tasks.sites import answer as reply

pytestmark = pytest.mark.once

UPLOAD = (
    b"POST /uploads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n"
    b"Content-Type: multipart/form-data; boundary=B\r\n\r\n"
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
)


def post(server: Server, kind: str, args: Any) -> str:
    """The id of the task that was made at once."""
    made = answer(
        server, "-X", "POST", f"{LOCAL}/tasks/{kind}", "-H", "Content-Type: application/json", "-d", json.dumps(args)
    )
    assert (made.status, made.json["status"]) == (202, "pending")
    return str(made.json["task_id"])


def answers_others(server: Server, working: list[str]) -> None:
    """It checks and answers other requests, and does other work, while these tasks have not ended."""
    assert len(curl(server, f"{LOCAL}/users")) == 100
    assert curl(server, f"{LOCAL}/hello")["status"] == "success"
    refused = answer(
        server, "-X", "POST", f"{LOCAL}/tasks/add", "-H", "Content-Type: application/json", "-d", '{"x": "ten"}'
    )
    assert refused.status == 422
    assert server.ended(post(server, "add", {"x": 10, "y": 5}))["result"] == 15
    for task_id in working:
        assert curl(server, f"{LOCAL}/tasks/{task_id}")["status"] in ("pending", "processing")


def test_uploads_mail_lists_reports_and_crawls_hold_nobody_up_over_a_kill(make_server: MakeServer) -> None:
    go_on = threading.Event()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        go_on.wait(DEADLINE)
        reply(handler, links(title="slow"))

    with (
        WebSite({"/": links("/slow"), "/slow": slow}).served() as web,
        socket.create_server(("127.0.0.1", 0)) as mute,  # a mail server that never says a word
        socket.socket() as uploading,
    ):
        mailing = f"smtp://127.0.0.1:{mute.getsockname()[1]}"
        short = {"simulated_add_seconds": 0, "simulated_steps": "0"}
        server = make_server(smtp_url=mailing, allow_private_targets=1, **short).start().wait_ready()
        wanted = {"recipients": ["ann@example.com", "bob@example.com"], "subject": "News", "body": "Hello"}
        mails = post(server, "send-bulk-email", wanted)
        crawl = post(server, "crawl", {"url": web.url, "max_pages": 5})
        until(lambda: "/slow" in web.asked, "the slow page")
        uploading.connect(("127.0.0.1", server.port))
        uploading.sendall(UPLOAD + b"x" * 1_000_000)
        until(lambda: list((server.data / "uploads").glob("*")), "the beginning of the upload")
        answers_others(server, [mails, crawl])
        report = post(server, "generate-report", {"report_type": "tasks"})
        server.kill9()

        server.start().wait_ready()
        answers_others(server, [mails, crawl])
        go_on.set()
        assert [page["status"] for page in server.ended(crawl)["result"]["pages"]] == [200, 200]
        file_url = server.ended(report)["result"]["file_url"]
        assert server.client.get(file_url).content.startswith(b"%PDF-")
        server.kill9()

    server.environment["QUART_APP_SMTP_URL"] = ""
    server.start().wait_ready()
    assert server.ended(mails)["result"] == {"sent": 2, "failed": []}
    assert len(list((server.data / "outbox").glob("*.eml"))) == 2


def test_a_photo_holds_nobody_up_over_a_kill(make_server: MakeServer, journal: Path, flag: Path) -> None:
    pytest.importorskip("cv2", reason="OPENCV IS NOT INSTALLED: requirements-dev.txt has it")
    skimage = pytest.importorskip("skimage", reason="SCIKIT-IMAGE IS NOT INSTALLED: requirements-dev.txt has it")
    photo = Path(skimage.__file__).parent / "data" / "astronaut.png"
    server = make_server(cpu_slots=1, simulated_add_seconds=0, simulated_steps="0").start().wait_ready()
    heavy = server.post("child", {"path": str(journal), "flag": str(flag)})  # keeps the only core that there is
    until(lambda: lines_of(journal), "the heavy work")
    made = curl(server, "-F", f"photo=@{photo}", f"{LOCAL}/tasks/detect-faces?timeout=120")
    assert made["status"] == "pending"
    answers_others(server, [heavy, made["task_id"]])
    server.kill9()

    server.start().wait_ready()
    answers_others(server, [heavy])
    flag.touch()
    task = server.ended(made["task_id"], 120)
    assert (task["status"], task["result"]["count"]) == ("completed", 1)
    assert server.client.get(task["result"]["file_url"]).headers["Content-Type"] == "image/jpeg"
