"""Files of tasks that are gone, and nobody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from quart_app.core import artifacts
from quart_app.engine.upkeep import orphan_files as module
from quart_app.engine.upkeep.orphan_files import PAUSE, OrphanFiles
from quart_app.process.files import Files
from quart_app.store.protocols.tasks import Store
from quart_app.store.reports import SqlReports
from quart_app.store.sqlite.database import Database
from tests.clock import START
from tests.store.kit import in_status


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "files")


@pytest.fixture
def sweeper(files: Files, database: Database) -> OrphanFiles:
    return OrphanFiles(files, SqlReports(database))


def names(files: Files) -> set[str]:
    return set(files.names(artifacts.FOLDER))


async def made(store: Store, files: Files, status: str = "completed", **changes: object) -> str:
    """The file of a new task."""
    task = await in_status(store, status, **changes)
    name = artifacts.file_name("tasks", task.id, "csv")
    files.write(artifacts.FOLDER, name, b"x")
    return name


async def test_the_files_of_a_task_go_after_it_and_no_others(store: Store, files: Files, sweeper: OrphanFiles) -> None:
    deleted, kept = await made(store, files), await made(store, files)
    running = await made(store, files, "processing", queue="q")
    files.write(artifacts.FOLDER, "notes.txt", b"somebody else's")
    assert await sweeper.run_once(START) is None
    task = artifacts.task_of(deleted)
    assert task is not None
    await store.delete(task)
    assert await sweeper.run_once(START) == PAUSE
    assert names(files) == {kept, running, "notes.txt"}
    assert await sweeper.run_once(START) is None


async def test_pruning_takes_the_files_too(store: Store, files: Files, sweeper: OrphanFiles) -> None:
    await made(store, files)
    await store.prune(START + 10, START + 10, 100)
    await sweeper.run_once(START)
    assert names(files) == set()


async def test_what_a_dead_process_had_begun_goes_and_what_this_one_writes_stays(
    files: Files, sweeper: OrphanFiles, tmp_path: Path
) -> None:
    folder = tmp_path / "files" / artifacts.FOLDER
    with files.writing(artifacts.FOLDER, "a"):
        (folder / ".b.00000000.00000000.tmp").write_bytes(b"half")
        assert await sweeper.run_once(START) == PAUSE
        assert ".b.00000000.00000000.tmp" not in names(files)
        assert len(names(files)) == 1
    assert names(files) == {"a"}


async def test_many_files_are_looked_at_in_bites(
    store: Store, files: Files, sweeper: OrphanFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 2)
    for _ in range(5):
        await made(store, files)
    await store.prune(START + 10, START + 10, 100)
    left = []
    for _ in range(3):
        await sweeper.run_once(START)
        left.append(len(names(files)))
    assert left == [3, 1, 0]


async def test_a_folder_that_is_not_there_is_empty(sweeper: OrphanFiles) -> None:
    assert await sweeper.run_once(START) is None


async def test_mails_in_the_outbox_go_with_their_task_and_no_others(
    store: Store, files: Files, sweeper: OrphanFiles
) -> None:
    pruned, kept = await in_status(store, "completed"), await in_status(store, "pending")
    mine = {f"{kept.id}.eml", f"{kept.id}.{'a' * 12}.eml", f"{kept.id}.body.txt"}
    others = {"notes.eml", f"x-{pruned.id}.eml", f"{pruned.id}.txt", ".mine.tmp"}
    for name in (f"{pruned.id}.eml", f"{pruned.id}.{'b' * 12}.eml", f"{pruned.id}.body.txt", *mine, *others):
        files.write(artifacts.OUTBOX, name, b"x")
    assert await sweeper.run_once(START) is None
    await store.prune(START + 10, START + 10, 100)
    assert await sweeper.run_once(START) == PAUSE
    assert set(files.names(artifacts.OUTBOX)) == mine | others
