"""TLS without a proxy, as docs/how-to/tls.md sets it up, under each server; HTTP/2 as far as Hypercorn gives it."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import ROOT, Command, Server
from tests.deploy.certificates import Certificate
from tests.deploy.conftest import KEY
from tests.deploy.fronts import read_until
from tests.deploy.http2 import Connection

HTTP2 = ["h2", "http/1.1"]
WRONG = "wrong-horse-battery-staple"

# The servers' own commands, with less patience.
IMPATIENT = """
import runpy, sys
from quart_app.web.protection import slow_clients
slow_clients.PATIENCE = 1.0
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""

Secure = Callable[..., Server]


@pytest.fixture
def secure(make_server: MakeServer, certificate: Certificate, tmp_path: Path) -> Secure:
    def start(
        command: Command, protocols: list[str] | None = None, prefix: tuple[str, ...] = ("-m",), **settings: object
    ) -> Server:
        server = make_server(api_keys=f"shop:{KEY}", **settings)
        server.client = httpx.Client(
            base_url=f"https://127.0.0.1:{server.port}", verify=certificate.client(), trust_env=False, timeout=30
        )
        server.client.headers["X-API-Key"] = KEY
        text = (ROOT / "hypercorn.toml").read_text()
        if protocols:
            assert 'alpn_protocols = ["http/1.1"]' in text
            text = text.replace('alpn_protocols = ["http/1.1"]', f"alpn_protocols = {protocols}")
        config = tmp_path / "hypercorn.toml"
        for name, path in (("certfile", certificate.chain), ("keyfile", certificate.key)):
            text, changed = re.subn(rf'^#{name} = ".*"$', f'{name} = "{path}"', text, flags=re.MULTILINE)
            assert changed == 1
        config.write_text(text)
        address = f"127.0.0.1:{server.port}"
        tls = ["--ssl-certfile", str(certificate.chain), "--ssl-keyfile", str(certificate.key)]
        if command == "uvicorn":
            pytest.importorskip("uvicorn", reason="UVICORN IS NOT INSTALLED: requirements-dev.txt has it")
        arguments = {
            "serve": ["quart_app", "serve", "--bind", address, "--config", str(config)],
            "hypercorn": ["hypercorn", "-c", str(config), "-b", address, "quart_app.asgi:app"],
            "uvicorn": ["uvicorn", "--port", str(server.port), *tls, "quart_app.asgi:app"],
        }[command]
        return server.run(*prefix, *arguments).wait_ready()

    return start


@pytest.mark.parametrize(
    ("command", "protocols"),
    [("serve", None), ("hypercorn", None), ("uvicorn", None), ("serve", HTTP2), ("hypercorn", HTTP2)],
    ids=["serve", "hypercorn", "uvicorn", "serve-http2", "hypercorn-http2"],
)
def test_requests_bodies_and_events_go_over_tls(
    secure: Secure, certificate: Certificate, journal: Path, flag: Path, command: Command, protocols: list[str] | None
) -> None:
    server = secure(command, protocols)
    wanted = "HTTP/2" if protocols else "HTTP/1.1"
    transport = httpx.HTTPTransport(verify=certificate.client(), http2=True, trust_env=False)
    with httpx.Client(
        base_url=server.client.base_url, transport=transport, headers={"X-API-Key": KEY}, timeout=30
    ) as client:
        made = client.post("/tasks/sleeper", json={"path": str(journal), "flag": str(flag)})
        assert (made.status_code, made.http_version) == (202, wanted)
        with client.stream("GET", f"/tasks/{made.json()['task_id']}/events") as answer:
            assert answer.http_version == wanted
            lines = answer.iter_lines()
            assert any('"processing"' in line for line in lines)
            assert not flag.exists()
            flag.touch()
            assert any('"completed"' in line for line in lines)
        upload = client.post("/uploads", files={"file": b"x" * 5_000_000})
        assert (upload.status_code, upload.json()["size"]) == (201, 5_000_000)
        for number in range(20):
            assert client.post("/tasks/quick", json={"x": number}).status_code == 202
        assert client.post("/uploads", files={"file": b"x" * 500}, headers={"X-API-Key": WRONG}).status_code in (
            401,
            429,
        )
        large = client.post("/tasks/quick", content=b'{"x": "' + b"y" * 2_000_000 + b'"}')
        assert large.status_code in (413, 415), large.text
        assert client.get("/ready").status_code == 200
        own = {"Origin": str(server.client.base_url).rstrip("/")}
        assert client.post("/tasks/quick", json={}, headers=own).status_code == 202
        assert client.post("/tasks/quick", json={}, headers={"Origin": "https://evil.example"}).status_code == 403
    server.client.close()
    assert server.sigterm() == 0
    assert "Traceback" not in server.stderr + server.log


@pytest.mark.parametrize("command", ["serve", "hypercorn", "uvicorn"])
def test_a_websocket_goes_over_tls(secure: Secure, certificate: Certificate, command: Command) -> None:
    server = secure(command)
    task_id = server.post("quick", {"x": 1})
    asked = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nX-API-Key: {KEY}\r\n"
    asked += f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
    with certificate.connect(server.port) as opened:
        opened.sendall(f"GET /ws/tasks/{task_id}?after=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n{asked}\r\n".encode())
        read_until(opened, b'"completed"')


def test_http2_is_off_unless_it_is_asked_for(secure: Secure, certificate: Certificate) -> None:
    with certificate.connect(secure("serve").port, HTTP2) as opened:
        assert opened.selected_alpn_protocol() == "http/1.1"


def test_a_body_that_goes_on_after_its_answer_costs_no_other_request(secure: Secure, certificate: Certificate) -> None:
    server = secure("serve", HTTP2)
    with Connection(certificate.connect(server.port, HTTP2)) as connection:
        assert connection.answer(connection.request("GET", "/tasks"))[0] == 200  # this key is known from here
        for _ in range(20):
            refused = connection.request("POST", "/tasks/quick", end=False, key=WRONG)
            assert connection.answer(refused)[0] in (401, 429)  # the guesses are slowed
            beside = connection.request("GET", "/ready")
            connection.send(refused, b"{", b" " * 1000, b"}")
            assert connection.answer(beside)[0] == 200
        assert connection.answer(connection.request("GET", "/tasks"))[0] == 200
    assert "Traceback" not in server.stderr + server.log


def test_a_body_that_nobody_reads_costs_no_other_request(secure: Secure, certificate: Certificate) -> None:
    server = secure("serve", HTTP2)
    with Connection(certificate.connect(server.port, HTTP2)) as connection:
        for _ in range(20):
            refused = connection.request("POST", "/uploads", end=False, key=WRONG)
            connection.send(refused, *[b"x" * 50] * 100, end=False)
            assert connection.answer(refused)[0] in (401, 429)  # the guesses are slowed
            connection.send(refused, *[b"x" * 50] * 100)
            assert connection.answer(connection.request("GET", "/ready"))[0] == 200
    assert "Traceback" not in server.stderr + server.log


def test_a_client_that_keeps_its_window_shut_is_disconnected(secure: Secure, certificate: Certificate) -> None:
    server = secure("serve", HTTP2, ("-c", IMPATIENT))
    with Connection(certificate.connect(server.port, HTTP2), window=0) as connection:
        stream = connection.request("GET", "/openapi.json")
        connection.until(lambda: stream in connection.ended)
        assert connection.closed
        assert connection.answers[stream] == (200, b"")
    assert "Traceback" not in server.stderr + server.log


def test_a_websocket_goes_over_http2(secure: Secure, certificate: Certificate) -> None:
    server = secure("serve", HTTP2)
    task_id = server.post("quick", {"x": 1})
    with Connection(certificate.connect(server.port, HTTP2)) as connection:
        connection.until(lambda: connection.knows_the_server)
        stream = connection.request("CONNECT", f"/ws/tasks/{task_id}?after=0", end=False, protocol="websocket")
        connection.until(lambda: b'"completed"' in connection.answers.get(stream, (0, b""))[1])
        assert connection.answers[stream][0] == 200


@pytest.mark.parametrize("command", ["serve", "hypercorn", "uvicorn"])
def test_no_stranger_gets_a_traceback_into_the_log(secure: Secure, certificate: Certificate, command: Command) -> None:
    server = secure(command)
    ask = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    upload = b"POST /uploads HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000000\r\n\r\n"
    for _ in range(5):
        for raw in (ask + b"\r\n", b"\x16\x03\x01\x00\xff" + b"x" * 300, b"\x16\x03", b""):
            with socket.create_connection(("127.0.0.1", server.port), timeout=30) as plain:
                plain.sendall(raw)
                reset(plain)
        for raw in (ask + b"\r\n", ask, b"nonsense\r\n\r\n", upload + b"x" * 100_000, b""):
            for last in (reset, lambda _: None):
                with certificate.connect(server.port) as opened, contextlib.suppress(OSError):
                    opened.sendall(raw)
                    last(opened)
        for raw in (ask + b"Connection: close\r\n\r\n", b"nonsense\r\n\r\n", upload):
            with certificate.connect(server.port) as opened, contextlib.suppress(OSError):
                opened.sendall(raw)
                opened.recv(1)
                for _ in range(20):  # after the server's goodbye
                    opened.sendall(b"x" * 10_000)
    assert server.client.get("/ready").status_code == 200
    server.client.close()
    assert server.sigterm() == 0
    assert "Traceback" not in server.stderr + server.log
    assert "ERROR" not in server.stderr


@pytest.mark.parametrize("command", ["serve", "hypercorn"])
@pytest.mark.parametrize("protocols", [None, HTTP2], ids=["http1", "http2"])
def test_a_client_that_says_no_goodbye_does_not_hold_up_a_stop(
    secure: Secure, certificate: Certificate, command: Command, protocols: list[str] | None
) -> None:
    server = secure(command, protocols, drain_seconds=3)
    server.client.close()
    with certificate.connect(server.port, HTTP2) as silent:
        if protocols:
            connection = Connection(silent)
            assert connection.answer(connection.request("GET", "/ready"))[0] == 200
        else:
            silent.sendall(b"GET /ready HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            read_until(silent, b'"ready"')
        assert server.sigterm() == 0
    assert "stopped after" not in server.stderr, "the watchdog had to end it"


def reset(opened: socket.socket) -> None:
    """It ends with a reset when it is closed."""
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
