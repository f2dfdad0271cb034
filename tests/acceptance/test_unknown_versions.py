"""A package of another version than those that are known is used as its makers made it, with one warning."""

from __future__ import annotations

import json

import pytest

from tests.acceptance.conftest import Command as RunCommand
from tests.acceptance.harness import Command, Server
from tests.acceptance.test_cli import good, one_line

# What tests/acceptance/test_unread.py does with patience, for versions.
ANOTHER = """
import importlib.metadata, runpy, sys
real = importlib.metadata.version
importlib.metadata.version = lambda name: "99.1.0" if name in {names} else real(name)
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
# One of the private parts that are replaced is gone, though the version is known.
GONE = """
import runpy, sys
import {module}
del {module}.{name}
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
WARNING = "versions that are not known"


def serves(server: Server) -> None:
    server.wait_ready()
    assert server.ended(server.post("quick"))["status"] == "completed"
    assert server.client.get("/chat").status_code == 200
    file = b"x" * 2_000_000  # above QUART_APP_MAX_BODY, which is not the limit of files
    assert server.client.post("/uploads", files={"file": file}).status_code == 201
    assert server.client.post("/tasks/quick", content=file).status_code == 413
    assert server.sigterm() == 0
    assert "Traceback" not in server.stderr + server.log


@pytest.mark.parametrize("command", ["serve", "serve-uvicorn", "hypercorn", "uvicorn"])
@pytest.mark.parametrize(
    "names", [("hypercorn",), ("uvicorn",), ("wsproto",), ("quart",), ("hypercorn", "uvicorn", "quart")], ids=str
)
def test_an_unknown_version_serves_with_one_warning(server: Server, command: Command, names: tuple[str, ...]) -> None:
    server.start(command, prefix=("-c", ANOTHER.format(names=names)))
    serves(server)
    told = [line for line in server.stderr.splitlines() if WARNING in line]
    expected = [name for name in names if name != "uvicorn" or "uvicorn" in command]
    assert len(told) == bool(expected)
    for name in expected:
        assert f"{name} 99.1.0 (" in told[0]


@pytest.mark.parametrize(
    ("command", "module", "name"),
    [
        ("serve", "hypercorn.protocol.h11", "WSStream"),
        ("hypercorn", "hypercorn.protocol.h11", "H11WSConnection"),
        ("serve", "quart.utils", "encode_headers"),
        ("uvicorn", "quart.wrappers.request", "Body"),
        ("serve-uvicorn", "uvicorn.protocols.http.flow_control", "FlowControl.drain"),
    ],
)
def test_a_part_that_is_gone_is_not_replaced(server: Server, command: Command, module: str, name: str) -> None:
    server.start(command, prefix=("-c", GONE.format(module=module, name=name)))
    serves(server)
    assert server.stderr.count(WARNING) == 1


def test_under_an_unknown_hypercorn_commands_need_a_url(
    server: Server, command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quart_app.cli.connect.PATIENCE", 0.5)
    server.start(prefix=("-c", ANOTHER.format(names=("hypercorn",)))).wait_ready()
    assert server.stderr.count("hypercorn 99.1.0 (without the control socket, so commands need --url, ") == 1
    assert not (server.data / "control.sock").exists()
    assert json.loads(good(command("status", "--json", "--url", server.url)))["worker_info"]["pid"] == server.pid
    done = command("status")
    assert done.returncode == 75
    line = one_line(done)
    assert f"process {server.pid} holds" in line
    assert "--url" in line
    assert server.sigterm() == 0


def test_a_control_socket_whose_parts_are_gone_costs_a_line(server: Server) -> None:
    gone = GONE.format(module="hypercorn.asyncio.worker_context", name="WorkerContext")
    server.start("uvicorn", prefix=("-c", gone))
    serves(server)
    assert server.stderr.count("no control socket in ") == 1


def test_known_versions_are_served_by_without_a_word(server: Server) -> None:
    server.start("serve-uvicorn")
    serves(server)
    assert WARNING not in server.stderr
