"""nginx and Caddy with the examples of the folder `deploy`, before a real server."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
from pathlib import Path

import httpx
import pytest

from tests.acceptance.harness import Server, until
from tests.deploy.conftest import KEY
from tests.deploy.fronts import NAME, Front, Nginx, read_until

pytestmark = pytest.mark.once

SHOWN = {"X-API-Key": KEY}
FORGED = {
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "http",
    "X-Real-IP": "6.6.6.6",
    "Forwarded": "for=6.6.6.6;host=evil.example",
}


def assert_problem(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.json()["status"] == status
    assert answer.json()["error"]


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_an_event_arrives_while_its_task_still_runs(
    front: Front, service: Server, journal: Path, flag: Path, http2: bool
) -> None:
    task_id = service.post("sleeper", {"path": str(journal), "flag": str(flag)})
    with front.client(http2) as client, client.stream("GET", f"/tasks/{task_id}/events", headers=SHOWN) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
        lines = answer.iter_lines()
        assert any('"processing"' in line for line in lines)
        assert not flag.exists()
        flag.touch()
        assert any('"completed"' in line for line in lines)


def test_a_websocket_goes_through(front: Front, service: Server, journal: Path, flag: Path) -> None:
    task_id = service.post("sleeper", {"path": str(journal), "flag": str(flag)})
    upgrade = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nX-API-Key: {KEY}\r\n"
    upgrade += f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\nOrigin: {front.url}\r\n"
    with front.connect() as opened:
        request = f"GET /ws/tasks/{task_id} HTTP/1.1\r\nHost: {NAME}:{front.port}\r\n{upgrade}\r\n"
        opened.sendall(request.encode())
        assert read_until(opened, b'"processing"').startswith(b"HTTP/1.1 101 ")
        assert not flag.exists()
        flag.touch()
        read_until(opened, b'"completed"')


def test_the_service_sees_the_client_and_nothing_that_it_says_of_itself(front: Front, service: Server) -> None:
    with front.client(address="127.0.0.3") as client:
        answer = client.get("/hello", headers=SHOWN | FORGED)
        assert answer.status_code == 200, answer.text
    assert service.task(answer.json()["request_uuid"])["args"]["ip"] == "127.0.0.3"


def test_the_origin_of_the_service_is_the_one_that_browsers_see(front: Front) -> None:
    with front.client() as client:
        own = client.post("/tasks/quick", json={}, headers=SHOWN | {"Origin": front.url})
        assert own.status_code == 202, own.text
        for origin in ("https://evil.example", f"https://{NAME}"):
            assert_problem(client.post("/tasks/quick", json={}, headers=SHOWN | FORGED | {"Origin": origin}), 403)


def test_nobody_is_let_in_without_a_key(front: Front) -> None:
    with front.client() as client:
        assert_problem(client.get("/tasks"), 401)
        assert_problem(client.get("/tasks", headers=FORGED | {"X-Forwarded-For": "127.0.0.1"}), 401)
        assert client.get("/ready").status_code == 200


@pytest.fixture(scope="module")
def chief(service: Server) -> str:
    """A key that may do everything."""
    return service.command("keys", "add", "chief", "--scopes", "admin").stdout.split()[-1]


@pytest.mark.parametrize("path", ["metrics", "keys", "keys/shop"])
def test_metrics_and_keys_are_closed_however_they_are_written(
    front: Front, service: Server, chief: str, path: str
) -> None:
    inside = service.client.get(f"/{path}", headers={"X-API-Key": chief})
    assert inside.status_code == (405 if path == "keys/shop" else 200), "to this machine it is open"
    first, rest = path[0], path[1:]
    forms = [path, f"%{ord(first):x}{rest}", f"/{path}", f"./{path}", f"x/../{path}", f"{path}/", f"{path}?x=1"]
    forms += [f"%2e/{path}", f"x/%2e%2e/{path}", path.upper(), f"{path}%2f", f"{path};x", f"{path}%00", f"\\{path}"]
    for form in forms:
        for method in ("GET", "POST", "DELETE"):
            answer = front.ask(method, f"/{form}", f"X-API-Key: {chief}\r\nContent-Length: 0\r\n")
            status = int(answer.split(b" ")[1])
            assert status in (400, 404), (method, form, answer)
            assert b"quart_app_" not in answer
            assert b"shop" not in answer
    left = service.client.get("/keys", headers={"X-API-Key": chief})
    assert (left.status_code, [key["name"] for key in left.json()["keys"]]) == (200, ["shop", "chief"])


def test_a_body_that_is_too_large_is_a_problem_and_starts_nothing(front: Front, service: Server) -> None:
    # A proxy may lose an answer that comes, with the end of the connection, while it sends: then it says 503 itself.
    said = (413, 503)
    before = whatever_there_is(service)
    with front.client() as client:
        for size in (1_500_000, 3_000_000):
            content = json.dumps({"x": "y" * size})
            headers = SHOWN | {"Content-Type": "application/json"}
            answer = client.post("/tasks/quick", content=content, headers=headers)
            assert answer.status_code in said
            assert_problem(answer, answer.status_code)
        answer = client.post("/uploads", files={"file": b"y" * 10_500_000}, headers=SHOWN)
        assert answer.status_code in said
        assert_problem(answer, answer.status_code)
    assert whatever_there_is(service) == before


def whatever_there_is(service: Server) -> tuple[list[str], list[Path]]:
    """The tasks and the files of uploads."""
    tasks = [str(task_id) for (task_id,) in service.rows("SELECT id FROM tasks ORDER BY seq")]
    return tasks, sorted((service.data / "uploads").glob("*"))


def test_a_large_upload_is_on_the_way_to_the_disk_before_its_end_was_sent(front: Front, service: Server) -> None:
    content = os.urandom(9_000_000)
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="big"\r\n\r\n'
    body = head + content + b"\r\n--x--\r\n"
    before = size_of(service.data)
    with front.connect() as opened:
        request = f"POST /uploads HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\nX-API-Key: {KEY}\r\n"
        request += f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {len(body)}\r\n\r\n"
        opened.sendall(request.encode() + body[:4_000_000])
        until(lambda: size_of(service.data) >= before + 2_000_000, "the first part at the service")
        opened.sendall(body[4_000_000:])
        answer = read_until(opened, b"")
    assert answer.startswith(b"HTTP/1.1 201 "), answer
    assert hashlib.sha256(content).hexdigest().encode() in answer


def size_of(data: Path) -> int:
    """Of what lies in the folders below it: uploads that are whole, and those that are not."""
    return sum(path.stat().st_size for path in data.glob("*/**/*") if path.is_file())


def test_while_the_service_is_started_again_clients_are_told_to_come_back(
    own_front: Front, own_service: Server
) -> None:
    with own_front.client() as client:
        assert own_service.sigterm() == 0
        answer = client.post("/tasks/quick", json={}, headers=SHOWN)
        assert_problem(answer, 503)
        assert answer.headers["Retry-After"] == "2"
        own_service.start().wait_ready()
        assert client.post("/tasks/quick", json={}, headers=SHOWN).status_code == 202


@pytest.mark.parametrize("proxy", [Nginx], ids=["nginx"], indirect=True, scope="module")
def test_without_tls_one_is_sent_to_tls_at_this_host_only(front: Front) -> None:
    answer = httpx.get(f"http://{NAME}:{front.plain_port}/tasks?x=1", headers={"Host": "evil.example"}, trust_env=False)
    assert (answer.status_code, answer.headers["Location"]) == (301, f"https://{NAME}/tasks?x=1")


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_posts_of_one_connection_are_all_answered(front: Front, service: Server, http2: bool) -> None:
    with front.client(http2) as client:
        ids = [client.post("/tasks/quick", json={"x": n}, headers=SHOWN).json()["task_id"] for n in range(50)]
        waited = client.get(f"/tasks/{ids[-1]}", params={"wait": "30"}, headers=SHOWN)
    assert waited.json()["result"] == 49
    assert all(service.ended(one)["status"] == "completed" for one in ids)


@pytest.mark.parametrize("proxy", [Nginx], ids=["nginx"], indirect=True, scope="module")
def test_one_client_cannot_hold_more_than_its_connections(own_front: Front) -> None:
    with contextlib.ExitStack() as opened:
        for _ in range(100):
            stream = opened.enter_context(own_front.connect())
            stream.sendall(f"GET /events HTTP/1.1\r\nHost: {NAME}\r\nX-API-Key: {KEY}\r\n\r\n".encode())
            read_until(stream, b"event-stream")
        refused = own_front.ask("GET", "/ready")
        assert refused.startswith(b"HTTP/1.1 429 "), refused
        assert b"Retry-After: 5\r\n" in refused
        with own_front.client(address="127.0.0.2") as another:
            assert another.get("/ready").status_code == 200
    until(lambda: own_front.ask("GET", "/ready").startswith(b"HTTP/1.1 200 "), "room again")
