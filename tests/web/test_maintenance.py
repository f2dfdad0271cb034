"""`cleanup` and `stats-update` do what they say, and `/status` shows what was found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.web.conftest import Serve
from tests.web.site import KINDS, Site


async def run(site: Site, name: str) -> Any:
    task = await site.ended((await site.post(f"/schedules/{name}/trigger")).id)
    assert task["status"] == "completed", task
    return task["result"]


async def test_cleanup_deletes_what_retention_no_longer_keeps_and_says_how_much(serve: Serve, tmp_path: Path) -> None:
    kinds = tmp_path / "fleeting.py"
    kinds.write_text("from quart_app import task\n@task('fleeting', retention=0)\nasync def fleeting() -> None: ...\n")
    async with serve(tasks=f"{KINDS},{kinds}") as site:
        gone = [await site.run("fleeting") for _ in range(3)]
        kept = await site.run("echo")
        result = await run(site, "cleanup")
        assert result["files"] == []
        # The pruner looks now and then by itself, and may have been first.
        assert 0 <= result["rows"] <= 3
        assert [(await site.get(f"/tasks/{one['task_id']}")).status for one in [*gone, kept]] == [404, 404, 404, 200]


async def test_cleanup_sweeps_temporary_files_that_were_left_behind_and_no_others(site: Site) -> None:
    root = site.settings.data_path
    (root / "outbox").mkdir()
    old = ["outbox/.a.eml.0123abcd.tmp", ".tasks.backup.89abcdef.tmp"]
    kept = ["outbox/a.eml", "outbox/.mine.tmp", ".a.0123456z.tmp", "notes.0123abcd.tmp"]
    for name in (*old, *kept, "outbox/.young.eml.0123abcd.tmp"):
        (root / name).write_text("x")
    (root / ".link.0123abcd.tmp").symlink_to(root / "outbox/a.eml")
    (root / ".folder.0123abcd.tmp").mkdir()
    for name in (*old, *kept):
        os.utime(root / name, (1_000_000_000, 1_000_000_000))
    result = await run(site, "cleanup")
    assert sorted(result["files"]) == sorted(old)
    assert [name for name in old if (root / name).exists()] == []
    assert all((root / name).exists() for name in (*kept, "outbox/.young.eml.0123abcd.tmp", ".folder.0123abcd.tmp"))
    assert (root / ".link.0123abcd.tmp").is_symlink()


async def test_the_statistics_count_runs_and_ends_of_each_kind(site: Site) -> None:
    assert (await site.get("/status")).json["statistics"] is None
    for _ in range(3):
        await site.run("echo")
    await site.run("fail")
    later = await site.make("echo", query="?delay=1000")
    await site.post(f"/tasks/{later}/cancel")
    await site.make("echo", query="?delay=1000")
    result = await run(site, "stats-update")
    shown = (await site.get("/status")).json["statistics"]
    assert shown == result
    assert shown["window_seconds"] == 3600
    echo, failed = (shown["kinds"][kind] for kind in ("echo", "fail"))
    assert echo["tasks"] == {"pending": 1, "processing": 0, "completed": 3, "failed": 0, "cancelled": 1}
    figures = echo["last_hour"]
    assert (figures["completed"], figures["failed"], figures["cancelled"], figures["runs"]) == (3, 0, 1, 3)
    assert 0 <= figures["p50_seconds"] <= figures["p95_seconds"]
    assert failed["last_hour"]["failed"] == 1
    assert failed["last_hour"]["runs"] >= 1


async def test_what_was_found_is_there_after_a_restart(serve: Serve) -> None:
    async with serve() as site:
        result = await run(site, "stats-update")
    async with serve() as site:
        assert (await site.get("/status")).json["statistics"] == result
