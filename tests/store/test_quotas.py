"""What the store counts of owners, and that `audit` proves it."""

from __future__ import annotations

from pathlib import Path

import pytest

from quart_app.core.arg_types import UploadRow
from quart_app.core.quotas import Usage
from quart_app.store.audit import audit
from quart_app.store.going_back import SqlGoingBack
from quart_app.store.quotas import SqlQuotas
from quart_app.store.sqlite.backup import backup
from quart_app.store.sqlite.database import Database
from quart_app.store.tasks import SqlStore
from quart_app.store.uploads import SqlUploads
from tests.store.kit import ERROR, Bells, T, new_task
from tests.store.test_audit import Vandal

LONG = '{"x":"' + "ä" * 300 + '"}'
BYTES = len(LONG.encode())


@pytest.fixture
def quotas(database: Database) -> SqlQuotas:
    return SqlQuotas(database)


async def test_tasks_count_where_they_are_and_no_more_once_they_end(store: SqlStore, quotas: SqlQuotas) -> None:
    now, later = new_task(T, owner="ann"), new_task(T, owner="ann", queue="slow", delay=60_000)
    await store.enqueue([now, later, new_task(T), new_task(T, owner="bob")])
    two = len((now.args + later.args).encode())
    assert await quotas.usage("ann") == Usage(waiting=1, delayed=1, bytes=two, queues=frozenset({"default", "slow"}))
    assert await quotas.usage("") == await quotas.usage("nobody") == Usage()
    claims = {one.id: one for one in await store.claim({"default": 9}, T)}
    assert (await quotas.usage("ann")).waiting == 0
    await store.complete(now.id, claims[now.id].fence, '"ok"', T)
    assert await quotas.usage("ann") == Usage(delayed=1, bytes=two + 4, queues=frozenset({"slow"}))
    await store.make_ready(T + 60_000, 10, None)
    assert (await quotas.usage("ann")).waiting == 1
    await store.cancel(later.id, T + 60_000)
    assert await quotas.usage("ann") == Usage(bytes=two + 4)
    await store.rerun(later.id, False, T + 60_000)
    assert (await quotas.usage("ann")).queues == {"slow"}


async def test_what_is_long_counts_until_it_is_deleted(store: SqlStore, quotas: SqlQuotas, database: Database) -> None:
    task = new_task(T, owner="ann", args=LONG)
    await store.enqueue([task])
    (claim,) = await store.claim({"default": 1}, T)
    assert await store.record_step(task.id, claim.fence, "a", LONG, 1, T, False)
    assert (await quotas.usage("ann")).bytes == 2 * BYTES
    await store.complete(task.id, claim.fence, LONG, T)
    assert (await quotas.usage("ann")).bytes == 3 * BYTES
    await SqlGoingBack(database, Bells()).fork(task.id, "fork", None, None, None, T)
    assert await quotas.usage("ann") == Usage(waiting=1, bytes=5 * BYTES, queues=frozenset({"default"}))
    await store.delete(task.id)
    assert (await quotas.usage("ann")).bytes == 5 * BYTES  # its rows are still there
    while await store.clear_deleted(1, 1):
        pass
    assert (await quotas.usage("ann")).bytes == 2 * BYTES


async def test_a_step_that_is_forgotten_gives_its_bytes_back(
    store: SqlStore, quotas: SqlQuotas, database: Database
) -> None:
    task = new_task(T, owner="ann", max_attempts=1)
    await store.enqueue([task])
    (claim,) = await store.claim({"default": 1}, T)
    assert await store.record_step(task.id, claim.fence, "a", LONG, 1, T, False)
    await store.fail(task.id, claim.fence, ERROR, T)
    before = await quotas.usage("ann")
    await SqlGoingBack(database, Bells()).rerun_from(task.id, "a", T)
    assert (await quotas.usage("ann")).bytes == before.bytes - BYTES


async def test_uploads_count_until_they_are_gone(database: Database, quotas: SqlQuotas) -> None:
    uploads = SqlUploads(database)
    for number, owner in enumerate(("ann", "ann", "")):
        row = UploadRow(f"{number:032}", owner, f"file-{number}", "a.txt", 1000, "0" * 64)
        assert await uploads.add_upload(row, T, T + 5, 10) == row.file
        assert await uploads.add_upload(row, T, T + 5, 10) == row.file  # the same once more
    assert await quotas.usage("ann") == Usage(bytes=2000, uploads=2)
    await uploads.expire_uploads(T + 5, 10)
    assert await quotas.usage("ann") == Usage()


async def test_files_are_of_the_owner_of_their_task(store: SqlStore, quotas: SqlQuotas) -> None:
    ann, nobody = new_task(T, owner="ann"), new_task(T)
    await store.enqueue([ann, nobody])
    before = (await quotas.usage("ann")).bytes
    sizes = {ann.id: 700, nobody.id: 50, "no-such-task": 3}
    found = await quotas.files_of_owners(sizes)
    assert found == {"ann": 700}
    await quotas.put_files_of_owners(found)
    assert (await quotas.usage("ann")).bytes == before + 700
    await quotas.put_files_of_owners({})
    assert (await quotas.usage("ann")).bytes == before


async def test_queues_of_the_past_are_forgotten(store: SqlStore, database: Database) -> None:
    tasks = [new_task(T, owner="ann", queue=f"q{number}") for number in range(30)]
    await store.enqueue(tasks)
    for task in tasks[1:]:
        await store.cancel(task.id, T)
    while await store.prune_counters(10) == 10:
        pass
    assert await database.read("SELECT queue FROM owned_queues", {}) == [("q0",)]
    await store.rerun(tasks[1].id, False, T)
    assert (await SqlQuotas(database).usage("ann")).queues == {"q0", "q1"}


FAULTS = {
    "bytes": ("UPDATE owners SET bytes = bytes + 1", "owner ann: says"),
    "uploads": ("UPDATE owners SET uploads = 3", "3 uploads"),
    "waiting": ("UPDATE owned_queues SET waiting = 5", "says 5 waiting"),
    "a queue that is not counted": ("DELETE FROM owned_queues", "is not counted"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_planted_fault_is_found(store: SqlStore, database_path: Path, tmp_path: Path, fault: str) -> None:
    await store.enqueue([new_task(T, owner="ann", args=LONG)])
    backup(database_path, tmp_path / "copy.db")
    assert audit(tmp_path / "copy.db").findings == []
    statement, words = FAULTS[fault]
    Vandal(tmp_path / "copy.db")(statement)
    assert any(words in line for line in audit(tmp_path / "copy.db").findings)
