"""`check`: beside a server, without one, and without a database; it finds what is wrong and changes nothing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.acceptance.harness import Server
from tests.acceptance.test_cli import good

KINDS = """
from quart_app import schedule, task

@schedule("0 9 * * *", timezone="Europe/Paris")
@task("daily")
async def daily() -> None: ...

@task("sized")
async def sized(width: int) -> None: ...
"""


@pytest.fixture
def kinds(server: Server) -> Path:
    path = server.folder / "kinds_to_check.py"
    path.write_text(KINDS)
    server.environment["QUART_APP_TASKS"] = str(path)
    return path


def found(done: CompletedProcess[str]) -> dict[str, Any]:
    assert done.stderr == ""
    document: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode == 0) == (document["findings"] == [])
    return document


def contents(folder: Path) -> dict[str, str]:
    """All files but those that every reader of SQLite has beside the database (an empty -wal, and -shm)."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.endswith(("-shm", "-wal"))
    }


def test_without_a_database_it_says_what_there_is_and_makes_nothing(server: Server, kinds: Path) -> None:
    before = contents(server.folder)
    said = good(server.command("check"))
    assert contents(server.folder) == before
    assert not server.data.exists()
    assert "schedule daily of daily: 2" in said
    assert "there is no database" in said
    assert "1 task modules" in said
    assert said.endswith("no findings\n")


def test_beside_a_server_and_after_it_it_finds_kinds_and_schedules_without_code(server: Server, kinds: Path) -> None:
    server.start().wait_ready()
    server.post("daily", delay=600)
    server.post("sized", {"width": 5}, delay=600)
    for name, kind, args in (("often", "sized", {"width": 1}), ("still", "daily", {}), ("old", "sized", {"width": 2})):
        made = server.client.post("/schedules", json={"name": name, "kind": kind, "args": args, "every": 3600})
        assert made.status_code == 201, made.text
    server.client.patch("/schedules/still", json={"paused": True})
    document = found(server.command("check", "--json"))
    assert document["findings"] == []
    planned = {one["name"]: one for one in document["schedules"]}
    assert planned.keys() == {"daily", "often", "still", "old", "cleanup", "stats-update"}
    assert (planned["often"]["source"], planned["daily"]["source"]) == ("api", "code")
    assert planned["still"]["next_at"] is None
    shown = server.client.get("/schedules/often").json()["next_at"]
    assert planned["often"]["next_at"] == shown

    # The code changes: one kind is gone, the args of another.
    kinds.write_text(KINDS.replace('"daily"', '"weekly"').replace("width: int", "height: int"))
    for life in ("beside", "after"):
        if life == "after":
            assert server.sigterm() == 0
            before = contents(server.data)
        document = found(server.command("check", "--json"))
        assert sorted(line.split(":")[0] for line in document["findings"]) == [
            "kind daily",
            "schedule often",
            "schedule old",
            "schedule still",
        ]
        assert "1 task waits, and there is no code for it" in "\n".join(document["findings"])
        done = server.command("check")
        assert done.returncode == 1
        assert "4 findings" in done.stdout
        if life == "after":
            assert contents(server.data) == before


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("import nothing_of_this_name\n", ["cannot import", "(line 1)"]),
        (KINDS.replace("0 9 * * *", "61 9 * * *"), ["@schedule of 'daily'"]),
        (
            KINDS.replace('@task("sized")', '@schedule(every=60, name="daily")\n@task("sized")').replace(
                "width: int", "width: int = 1"
            ),
            ["two have the name 'daily'"],
        ),
    ],
    ids=["import", "schedule", "name"],
)
def test_a_module_or_schedule_that_is_wrong_is_a_line_each(
    server: Server, kinds: Path, text: str, parts: list[str]
) -> None:
    kinds.write_text(text)
    other = server.folder / "other.py"
    other.write_text("1 / 0\n")
    done = server.command("check", "--json", QUART_APP_TASKS=f"{kinds},{other}")
    assert done.returncode == 78
    wrong, *_ = [line for line in found(done)["findings"] if str(other) not in line]
    assert [part for part in parts if part not in wrong] == []
    assert len([line for line in json.loads(done.stdout)["findings"] if str(other) in line]) == 1


def test_a_wrong_setting_and_a_foreign_database_end_it_as_they_end_serve(server: Server, kinds: Path) -> None:
    done = server.command("check", "--json", QUART_APP_CONCURRENCY="many")
    assert (done.returncode, len(found(done)["findings"])) == (78, 1)
    server.data.mkdir()
    server.database.write_bytes(b"no database" * 1000)
    done = server.command("check", "--json")
    assert done.returncode == 74
    assert str(server.database) in found(done)["findings"][0]
