"""`keys`: made without a key through the socket or without a server, shown once, good over the port at once."""

from __future__ import annotations

import json

import pytest

from tests.acceptance.conftest import Command, MakeServer
from tests.acceptance.harness import Command as Program
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


@pytest.mark.parametrize("served", [True, False], ids=["beside a server", "without a server"])
def test_a_key_is_rotated_limited_revoked_with_its_tasks_and_all_of_it_is_told(
    server: Server, command: Command, served: bool
) -> None:
    if served:
        server.start().wait_ready()
    old = good(command("keys", "add", "ci", "--kinds", "quick", "--expires", "90d")).strip()
    new = good(command("keys", "rotate", "ci", "--grace", "12h")).strip()
    (listed,) = json.loads(good(command("keys", "list", "--json")))["keys"]
    assert listed["kinds"] == ["quick"]
    assert None not in (listed["expires_at"], listed["old_until"])
    if not served:
        server.start().wait_ready()
    for key in (old, new):
        good(command("tasks", "create", "quick", "--delay", "3600", "--url", server.url, "--key", key))
    refused = command("tasks", "create", "add", "--url", server.url, "--key", new)
    assert refused.returncode == 1
    assert "may not start add" in one_line(refused)
    for bad in (("add", "x", "--expires", "soon"), ("rotate", "ci", "--grace", "-1s"), ("add", "x", "--kinds", "")):
        assert command("keys", *bad).returncode in (1, 2)
    assert good(command("keys", "revoke", "ci", "--cancel")) == "revoked, 2 tasks cancelled\n"
    assert command("tasks", "list", "--url", server.url, "--key", new).returncode == 1
    told = json.loads(good(command("audit-log", "--json")))["acts"]
    assert [(one["act"], one["actor"], one["target"]) for one in told][-3:] == [
        ("key.revoke", "operator", "ci"),
        ("key.rotate", "operator", "ci"),
        ("key.add", "operator", "ci"),
    ]
    assert "key.rotate" in good(command("audit-log", "--act", "key.rotate", "--limit", "1"))


def test_the_first_key_can_be_made_where_the_server_would_not_start_without(make_server: MakeServer) -> None:
    server = make_server(trusted_proxies="127.0.0.1,unix")
    assert server.start().wait_exit() == 78
    key = good(server.command("keys", "add", "chief", "--scopes", "admin")).strip()
    server.start().wait_ready()
    headers = {"Authorization": f"Bearer {key}", "X-Forwarded-For": "203.0.113.9"}
    assert server.client.get("/keys", headers=headers).status_code == 200
    assert server.client.get("/keys", headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 401


@pytest.mark.parametrize("program", ["serve", "uvicorn"])
def test_a_proxy_before_a_server_without_keys_gets_no_key(server: Server, program: Program) -> None:
    server.start(program).wait_ready()
    body = {"name": "mallory", "scopes": ["admin"]}
    for headers in ({"X-Forwarded-For": "203.0.113.9"}, {"Forwarded": "for=203.0.113.9"}, {"X-Real-IP": "127.0.0.1"}):
        answer = server.client.post("/keys", json=body, headers={"Host": "127.0.0.1", **headers})
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:quart-app:problem:forwarded")
    assert server.rows("SELECT count(*) FROM api_keys") == [(0,)]
    assert server.log.count("came through a proxy") == 1
    assert server.client.post("/keys", json=body).status_code == 201, "this machine itself"
