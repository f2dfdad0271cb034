"""The same commands against the running server, over a URL, and without a server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.acceptance.conftest import Command, MakeServer
from tests.acceptance.harness import Server, until


def one_line(done: CompletedProcess[str]) -> str:
    """The reason on stderr: one line for a person."""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("quart_app: ")
    return done.stderr.removeprefix("quart_app: ").strip()


def good(done: CompletedProcess[str]) -> str:
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(params=["socket", "url", "offline"])
def reached(request: pytest.FixtureRequest, server: Server, command: Command) -> Command:
    """Runs a command, and adds what this way of reaching the service needs."""
    more = ["--url", server.url] if request.param == "url" else []
    if request.param != "offline":
        server.start().wait_ready()
    return lambda *arguments, **options: command(*arguments, *more, **options)


def test_a_task_is_made_shown_listed_cancelled_retried_and_deleted(reached: Command) -> None:
    task_id = good(
        reached("tasks", "create", "quick", '{"x": [1]}', "--delay", "600", "--tag", "a", "--tag", "b", "--priority=-5")
    ).strip()
    shown = good(reached("tasks", "show", task_id))
    for words in (task_id, "quick", "pending", "-5", "a, b", '{"x": [1]}'):
        assert words in shown
    document = json.loads(good(reached("tasks", "show", task_id, "--json")))
    assert (document["task_id"], document["status"], document["tags"]) == (task_id, "pending", ["a", "b"])
    assert task_id in good(reached("tasks", "list", "--tag", "b", "--kind", "quick", "--status", "pending"))
    listed = json.loads(good(reached("tasks", "list", "--tag", "b", "--json")))
    del document["args"], document["result"]
    assert listed == {"tasks": [document], "next": None}
    assert task_id not in good(reached("tasks", "list", "--tag", "c"))

    refused = reached("tasks", "delete", task_id)
    assert refused.returncode == 1
    assert "pending" in one_line(refused)
    assert good(reached("tasks", "cancel", task_id)) == "cancelled\n"
    assert good(reached("tasks", "retry", task_id, "--restart")) == "will run again\n"
    # What runs nothing leaves it pending; a server may have run it already.
    assert reached("tasks", "cancel", task_id).returncode in (0, 1)
    assert good(reached("tasks", "delete", task_id)) == "deleted\n"
    assert reached("tasks", "show", task_id).returncode == 1


def test_mistakes_are_one_line_and_start_nothing(reached: Command) -> None:
    for arguments, words in (
        (("tasks", "create", "quick", '{"x": '), "JSON"),
        (("tasks", "create", "quick", '{"y": 1}'), "/y"),
        (
            ("tasks", "create", "no-such-kind"),
            "'no-such-kind' is registered (GET /kinds lists them; is QUART_APP_TASKS",
        ),
        (("tasks", "create", "../status"), "kind"),
        (("tasks", "create", "quick", "--delay", "1e9"), "from 0 to 316224000"),
        (("tasks", "create", "quick", "--idempotency-key", "ä"), "idempotency"),
        (("tasks", "show", "01a1fc91-bf65-7cf5-9e74-aba76276041c"), "not found"),
        (("tasks", "cancel", "../../status"), "not found"),
    ):
        done = reached(*arguments)
        assert (done.returncode, done.stdout) == (1, ""), arguments
        assert words in one_line(done)
    assert json.loads(good(reached("tasks", "list", "--json"))) == {"tasks": [], "next": None}


def test_args_come_from_stdin_too(reached: Command) -> None:
    text = 'grüße \u2028 "\\u001b[31m" ' + "x" * 5000
    body = json.dumps({"x": text}, ensure_ascii=False)
    task_id = good(reached("tasks", "create", "quick", "-", "--delay", "600", stdin=body)).strip()
    document = json.loads(good(reached("tasks", "show", task_id, "--json")))
    assert document["args"] == {"x": text}
    assert "\x1b" not in good(reached("tasks", "show", task_id))


def test_a_key_makes_one_task(reached: Command) -> None:
    ids = {good(reached("tasks", "create", "quick", "--delay=600", "--idempotency-key", "k-1")) for _ in range(2)}
    assert len(ids) == 1


def test_status_says_who_runs(reached: Command, server: Server) -> None:
    document: dict[str, Any] = json.loads(good(reached("status", "--json")))
    shown = good(reached("status"))
    if server.running:
        assert (document["status"], document["worker_info"]["pid"]) == ("running", server.pid)
        assert str(server.pid) in shown
    else:
        assert document["status"] == "idle"
        assert "no server runs" in shown


def test_a_long_list_follows_the_pages(server: Server, command: Command) -> None:
    server.start().wait_ready()
    batch = [{"kind": "quick", "delay": 600} for _ in range(450)]
    assert server.client.post("/tasks", json=batch).status_code == 202
    found = json.loads(good(command("tasks", "list", "--limit", "430", "--json")))
    assert len({task["task_id"] for task in found["tasks"]}) == 430
    assert found["next"] is not None
    table = command("tasks", "list", "--limit", "430")
    assert table.stdout.count("\n") == 431
    assert "more than 430" in table.stderr
    assert len(good(command("tasks", "list", "--limit", "1000")).splitlines()) == 451


def test_create_and_wait_exits_by_the_outcome(server: Server, command: Command) -> None:
    refused = command("tasks", "create", "quick", "--wait")
    assert refused.returncode == 69
    assert "no server" in one_line(refused)
    server.start().wait_ready()
    done = command("tasks", "create", "quick", '{"x": 5}', "--wait")
    assert done.returncode == 0
    assert done.stdout.splitlines()[1] == "completed: 5"
    failed = command("tasks", "create", "exits-inside", '{"how": "wait_for"}', "--wait", "--json")
    assert failed.returncode == 1
    assert json.loads(failed.stdout)["status"] == "failed"


def test_what_is_made_without_a_server_runs_with_the_next_one(server: Server, command: Command) -> None:
    task_id = good(command("tasks", "create", "quick", '{"x": 7}')).strip()
    assert json.loads(good(command("tasks", "show", task_id, "--json")))["attempt"] == 0
    server.start().wait_ready()
    assert server.ended(task_id)["result"] == 7


def test_without_a_server_nothing_is_recovered_released_or_pruned(
    server: Server, command: Command, journal: Path, flag: Path
) -> None:
    server.start().wait_ready()
    task_id = server.post("sleeper", {"path": str(journal), "flag": str(flag)})
    until(journal.exists, "the start of the task")
    server.kill9()
    before = server.rows("SELECT status, cause, version, crashes, worker FROM tasks")
    assert "processing" in good(command("tasks", "show", task_id))
    good(command("tasks", "list"))
    assert server.rows("SELECT status, cause, version, crashes, worker FROM tasks") == before
    assert good(command("tasks", "cancel", task_id)) == "asked to end\n"
    server.start().wait_ready()
    assert server.ended(task_id)["status"] == "cancelled"


def test_nothing_answers_at_a_url_is_69_and_one_line(server: Server, command: Command) -> None:
    done = server.command("status", "--url", server.url)
    assert done.returncode == 69
    assert server.url in one_line(done)
    assert not server.database.exists()
    for url in (
        "localhost:8000",
        "ftp://localhost",
        "http://",
        "http://[::1",
        "http://a:b",
        "http://a:65536",
        "http://a:-1",
    ):
        done = command("status", "--url", url)
        assert done.returncode == 1
        assert "--url" in one_line(done)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("HTTP_PROXY", "http://127.0.0.1:99999", "no port 99999"), ("SSL_CERT_FILE", "/nowhere", "SSL_CERT_FILE")],
)
def test_what_the_environment_has_for_a_url_is_looked_at_too(server: Server, name: str, value: str, words: str) -> None:
    done = server.command("status", "--url", "https://127.0.0.1:9", **{name: value})
    assert done.returncode == 1
    assert words in one_line(done)


def test_a_bad_setting_is_78_here_too(make_server: MakeServer) -> None:
    done = make_server(concurrency="many").command("tasks", "list")
    assert done.returncode == 78
    assert "QUART_APP_CONCURRENCY" in one_line(done)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("tasks", "ACTION"),
        ("nonsense", "nonsense"),
        ("tasks list --limit 0", "1 to 1000000"),
        ("tasks list --status done", "completed"),
        ("tasks create quick --delay abc", "--delay"),
        ("tasks create quick --priority high", "--priority"),
        ("keys add ann --scopes read,foo", "no scope 'foo'; there are read, write, admin"),
        ("serve --bind 8000", "must be HOST:PORT"),
        ("--bind localhost:80000", "no port 80000"),
        ("backup", "FILE"),
        ("tasks list --tag \udcff", "tag: is no text"),
        ("tasks list --kind a\udcff", "kind: is no text"),
        ("tasks create quick --tag a --tag \udcff", "tag: is no text"),
        ("tasks create quick \udcff", "args: is no text"),
        ("tasks create quick --idempotency-key \udcff", "idempotency-key: is no text"),
        ("tasks show \udcff", "id: is no text"),
        ("keys add \udcff", "name: is no text"),
        ("keys add ann --kinds add,\udcff", "kinds: is no text"),
        ("keys rotate \udcff", "name: is no text"),
        ("keys revoke \udcff", "name: is no text"),
        ("status --key \udcff --url http://127.0.0.1:9", "key: is no text"),
        ("status --url http://\udcff", "url: is no text"),
    ],
)
def test_a_mistake_in_the_command_is_2(
    server: Server, command: Command, capsys: pytest.CaptureFixture[str], arguments: str, words: str
) -> None:
    done = command(*arguments.split())
    assert done.returncode == 2
    assert words in done.stderr
    assert not server.data.exists()


def test_bytes_that_are_no_text_are_a_mistake_and_good_for_a_path(server: Server) -> None:
    done = server.command("keys", "revoke", os.fsdecode(b"\xff"))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("error: argument name: is no text in UTF-8")
    assert server.command("migrate").returncode == 0
    copy = os.fsdecode(b"copy-\xff")
    for name in ("backup", "audit"):
        assert server.command(name, copy).returncode == 0
    assert (server.folder / copy).exists()


def test_a_failed_task_is_shown_with_the_traceback_of_its_last_error(reached: Command, server: Server) -> None:
    if not server.running:
        server.start().wait_ready()
    failed, good_one = server.post("steps", {"path": "/nowhere/journal"}), server.post("quick")
    server.ended(failed)
    shown = good(reached("tasks", "show", failed)).splitlines()
    assert shown[-1].startswith("    | FileNotFoundError: ")
    assert "    | Traceback (most recent call last):" in shown
    assert "    | " not in good(reached("tasks", "show", good_one))


def test_a_url_that_misses_the_prefix_says_so(server: Server, command: Command) -> None:
    server.start().wait_ready()
    done = command("tasks", "list", "--url", f"{server.url}/jobs")
    assert done.returncode == 1
    assert "there is no /jobs/tasks; --url takes the url_prefix" in one_line(done)


def test_every_command_says_in_its_help_what_it_does(command: Command) -> None:
    for words in ("serve", "migrate", "status", "tasks list", "tasks watch", "keys add", "backup", "restore", "audit"):
        shown = command(*words.split(), "--help").stdout
        assert "\n\noptions:" in shown or "\n\npositional arguments:" in shown
        assert len(shown.partition("\n\n")[2].partition("\n\n")[0]) > 10
    assert "exits 0 completed, 1 failed, 2 cancelled, 3 unknown" in " ".join(
        command("tasks", "watch", "--help").stdout.split()
    )


def test_a_reader_that_has_read_enough_gets_no_traceback(server: Server) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "quart_app", "tasks", "list", "--json"],
        cwd=server.folder,
        env=server.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
