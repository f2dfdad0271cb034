"""`keys`: made without a key through the socket or without a server, shown once, good over the port at once."""

from __future__ import annotations

import json

import pytest

from tests.acceptance.conftest import Command
from tests.acceptance.harness import Server
from tests.acceptance.test_cli import good, one_line


@pytest.mark.parametrize("served", [True, False], ids=["beside a server", "without a server"])
def test_a_key_is_made_shown_once_listed_and_revoked(server: Server, command: Command, served: bool) -> None:
    if served:
        server.start().wait_ready()
    key = good(command("keys", "add", "ann")).strip()
    assert len(key) >= 32
    assert json.loads(good(command("keys", "add", "boss", "--scopes", "read,write,admin", "--json")))["name"] == "boss"
    listed = good(command("keys", "list"))
    assert "ann" in listed
    assert "read write" in listed
    assert key not in listed
    assert key not in good(command("keys", "list", "--json"))
    for arguments in (("add", "ann"), ("add", "no spaces"), ("revoke", "nobody")):
        done = command("keys", *arguments)
        assert done.returncode == 1
        assert one_line(done)

    if not served:
        server.start().wait_ready()
    refused = command("tasks", "list", "--url", server.url)
    assert refused.returncode == 1
    assert "QUART_APP_KEY" in one_line(refused)
    task_id = good(command("tasks", "create", "quick", "--url", server.url, "--key", key)).strip()
    by_environment = server.command("tasks", "show", task_id, "--url", server.url, QUART_APP_KEY=key)
    assert "owner         ann" in good(by_environment)
    assert task_id in good(command("tasks", "list")), "the operator sees everybody's"
    forbidden = command("keys", "list", "--url", server.url, "--key", key)
    assert forbidden.returncode == 1
    assert "admin" in one_line(forbidden)

    assert good(command("keys", "revoke", "ann")) == "revoked\n"
    assert command("tasks", "list", "--url", server.url, "--key", key).returncode == 1
    for bad in ("wrong" * 8, "with space", "ä", "line\nend"):
        done = command("tasks", "list", "--url", server.url, "--key", bad)
        assert done.returncode == 1
        assert one_line(done)


def test_the_operators_mark_cannot_be_sent(server: Server, command: Command) -> None:
    server.start().wait_ready()
    good(command("keys", "add", "ann"))
    names = ("quart_app.operator", "X-Quart-App-Operator", "Quart-App-Operator")
    answer = server.client.get("/tasks", headers=dict.fromkeys(names, "True"))
    assert answer.status_code == 401
