"""Uploads and crawls on a real server, through kill -9."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.documents import curl
from tests.acceptance.harness import DEADLINE, Server, until
from tests.tasks.sites import WebSite, answer, links
from tests.web.upload_kinds import __file__ as kinds

MIB = 1_048_576


@pytest.fixture
def files(make_server: MakeServer) -> Server:
    return make_server(tasks=kinds, max_upload=200 * MIB).start().wait_ready()


def uploads(server: Server) -> list[Path]:
    return sorted((server.data / "uploads").iterdir())


def test_a_crawl_goes_on_after_a_kill_without_asking_again(make_server: MakeServer) -> None:
    go_on = threading.Event()
    pages: dict[str, Any] = {f"/{number}": links(f"/{number + 1}") for number in range(1, 10)}
    pages |= {"/": links("/1"), "/10": links(title="the last")}

    def held(handler: BaseHTTPRequestHandler) -> None:
        go_on.wait(DEADLINE)
        answer(handler, links("/6"))

    with WebSite({**pages, "/5": held}).served() as web:
        server = make_server(allow_private_targets=1).start().wait_ready()
        task_id = server.post("crawl", {"url": web.url, "max_depth": 10, "max_pages": 20})
        until(lambda: "/5" in web.asked, "the sixth page")
        assert server.task(task_id)["progress"]["done"] <= 5
        server.kill9()
        go_on.set()

        server.start().wait_ready()
        task = server.ended(task_id)
        assert (task["status"], task["crashes"]) == ("completed", 0)
        assert [page["url"] for page in task["result"]["pages"]] == [
            f"{web.url}/{number or ''}" for number in range(11)
        ]
        assert web.asked == ["/robots.txt", "/", *(f"/{number}" for number in (1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10))]
        assert task["progress"] == {"done": 11, "total": 11, "percent": 100.0, "message": f"{web.url}/10"}


def test_an_upload_by_curl_outlives_a_kill(files: Server, tmp_path: Path) -> None:
    document = tmp_path / "document.txt"
    document.write_bytes(b"to be or not to be\n" * 1000)
    sha256 = hashlib.sha256(document.read_bytes()).hexdigest()
    made = curl(files, "-F", f"file=@{document}", "http://localhost:8000/uploads")
    assert (made["size"], made["sha256"]) == (19_000, sha256)
    files.kill9()

    files.start().wait_ready()
    for kind in ("digest-thread", "digest-process"):
        result = files.ended(files.post(kind, {"file": made["upload_id"]}))["result"]
        assert sha256 in result
    assert [path.read_bytes() for path in uploads(files)] == [document.read_bytes()]


def test_without_opencv_everybody_is_told_how_to_get_it(make_server: MakeServer, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['cv2'] = None  # as if it were not installed\n")
    server = make_server()
    server.environment["PYTHONPATH"] += f":{tmp_path}"
    server.start().wait_ready()
    upload_id = server.client.post("/uploads", files={"file": ("a.png", b"x")}).json()["upload_id"]
    for refused in (
        server.client.post("/tasks/detect-faces", files={"photo": ("a.png", b"x")}),
        server.client.post("/tasks/detect-faces", json={"upload_id": upload_id}),
    ):
        assert refused.status_code == 501
        assert 'pip install "quart-app[faces]"' in refused.json()["detail"]
    made = server.client.post("/tasks", json={"kind": "detect-faces", "args": {"upload_id": upload_id}}).json()
    task = server.ended(made["tasks"][0]["task_id"])
    assert (task["status"], task["error"]["retryable"]) == ("failed", False)
    assert 'pip install "quart-app[faces]"' in task["error"]["message"]


def test_an_upload_that_a_kill_cuts_off_is_gone_after_the_start(files: Server) -> None:
    with socket.create_connection(("127.0.0.1", files.port)) as client:
        client.sendall(head(b"Content-Length: 50000000") + part() + b"x" * 5_000_000)
        until(
            lambda: (files.data / "uploads").is_dir() and any(one.stat().st_size > MIB for one in uploads(files)),
            "a part of the file",
        )
        files.kill9()
    files.start().wait_ready()
    until(lambda: not uploads(files), "the removal of what was left")
    assert files.rows("SELECT count(*) FROM uploads") == [(0,)]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_file_is_never_in_memory(files: Server, chunked: bool) -> None:
    size = 150 * MIB
    warm = files.client.post("/uploads", files={"file": ("a", b"x" * MIB)})
    assert warm.status_code == 201
    process = psutil.Process(files.pid)
    before = process.memory_info().rss
    largest = 0

    def content() -> Iterator[bytes]:
        nonlocal largest
        yield part()
        for _ in range(size // MIB):
            yield b"x" * MIB
            largest = max(largest, process.memory_info().rss)
        yield b"\r\n--B--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=B"}
    if not chunked:
        headers["Content-Length"] = str(len(part()) + size + 9)
    made = files.client.post("/uploads", content=content(), headers=headers)
    assert (made.status_code, made.json()["size"]) == (201, size)
    assert largest - before < 30 * MIB


def head(field: bytes) -> bytes:
    first = b"POST /uploads HTTP/1.1\r\nHost: localhost\r\n"
    return first + b"Content-Type: multipart/form-data; boundary=B\r\n" + field + b"\r\n\r\n"


def part() -> bytes:
    return b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
