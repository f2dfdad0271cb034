"""`queues` and `limits`: the same against a running server, over a URL, and without a server."""

from __future__ import annotations

import json

import pytest

from tests.acceptance.conftest import Command
from tests.acceptance.harness import Server
from tests.acceptance.test_cli import good, one_line, reached

__all__ = ["reached"]


def test_a_queue_is_limited_paused_and_resumed(reached: Command) -> None:
    assert "mail" in good(reached("queues", "set", "mail", "--concurrency", "3", "--rate", "100/60"))
    (row,) = (line.split() for line in good(reached("queues")).splitlines() if line.startswith("mail "))
    assert row == ["mail", "0", "0", "0", "0", "0s", "3", "100/60"]
    assert "paused" in good(reached("queues", "pause", "mail"))
    listed = json.loads(good(reached("queues", "list", "--json")))
    (mail,) = (one for one in listed["queues"] if one["name"] == "mail")
    assert (mail["paused"], mail["concurrency"], mail["rate_limit"], listed["next"]) == (True, 3, "100/60", None)
    assert json.loads(good(reached("queues", "resume", "mail", "--json")))["paused"] is False
    changed = json.loads(good(reached("queues", "set", "mail", "--concurrency", "none", "--json")))
    assert (changed["concurrency"], changed["rate_limit"]) == (None, "100/60")


def test_a_limit_is_changed_lifted_and_put_back(reached: Command) -> None:
    name = "queue:mail"
    good(reached("queues", "set", "mail", "--concurrency", "3"))
    assert "changed" in good(reached("limits", "set", name, "--rate", "5/60"))
    (row,) = (line.split() for line in good(reached("limits", "list")).splitlines() if line.startswith(f"{name} "))
    assert row == [name, "3", "5/60", "0", "0", "0", "0", "changed"]
    lifted = json.loads(good(reached("limits", "set", name, "--concurrency", "off", "--json")))
    assert (lifted["concurrency"], lifted["rate"], lifted["override"]["concurrency"]) == (None, "5/60", "off")
    assert name in good(reached("limits", "set", name, "--concurrency", "none", "--rate", "none"))
    assert name not in good(reached("limits"))


def test_all_pages_are_listed(server: Server, command: Command) -> None:
    server.start().wait_ready()
    names = [f"q{number:03}" for number in range(230)]
    for name in names:
        assert server.client.patch(f"/queues/{name}", json={"concurrency": 1}).status_code == 200
    listed = [one["name"] for one in json.loads(good(command("queues", "--json")))["queues"]]
    assert [name for name in listed if name in set(names)] == names
    assert good(command("limits")).count("queue:q") == 230


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("queues", "set", "mail"), 2),
        (("queues", "set", "mail", "--rate", "often"), 1),
        (("queues", "set", "mail", "--concurrency", "0"), 2),
        (("queues", "set", "mail", "--concurrency", "off"), 2),
        (("queues", "resume", "nothing"), 1),
        (("queues", "pause"), 2),
        (("limits", "set", "nothing", "--rate", "5/60"), 1),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(
    server: Server, command: Command, arguments: tuple[str, ...], code: int
) -> None:
    done = command(*arguments)
    assert done.returncode == code
    if code == 1:
        assert one_line(done)
    assert done.stderr
