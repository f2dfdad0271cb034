"""What a handler in a child process leaves behind ends with its task, and a child's death is its own task's error."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quart_app.core.errors import StoreUnavailable
from quart_app.core.retry import MAX_DELAY
from quart_app.core.task import Task
from quart_app.engine.processes import pool as processes_module
from quart_app.engine.registry import Registry
from quart_app.engine.upload import Upload
from quart_app.service.tasks import TaskHandle
from tests.acceptance.harness import alive, children
from tests.engine import process_kinds
from tests.engine.conftest import Start
from tests.engine.engine import Engine, result, until

linux = pytest.mark.skipif(sys.platform != "linux", reason="NOT LINUX: what leaves its group is not found there")


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes_module, "KILL_AFTER", 0.3)


@pytest.fixture
async def engine(start: Start) -> Engine:
    registry = Registry()
    registry.add_module(process_kinds)
    return await start(kinds=registry, cpu_slots=1)


@pytest.fixture
def started() -> Iterator[list[int]]:
    """Processes that a handler has started; what is left of them ends with the test."""
    pids: list[int] = []
    yield pids
    for pid in filter(alive, pids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def pids_of(handle: TaskHandle) -> list[int]:
    async def said() -> Task | None:
        row = await handle.get()
        return row if row.message else None

    row: Task = await until(said, "what the handler has started")
    return [int(word) for word in (row.message or "").split()]


@linux
@pytest.mark.parametrize("how", ["cancel", "timeout", "stop", "returns"])
async def test_all_that_a_handler_has_started_ends_with_its_task(engine: Engine, started: list[int], how: str) -> None:
    options = {"timeout": 2} if how == "timeout" else {}
    handle = await engine.enqueue("starts-others", {"how": how}, **options)
    started += await pids_of(handle)
    match how:
        case "cancel":
            await engine.runtime.service.cancel(handle.id)
            assert (await engine.end(handle)).status == "cancelled"
        case "timeout":
            assert (await engine.end(handle)).error_type == "timeout"
        case "returns":
            assert (await engine.end(handle)).status == "completed"
        case "stop":
            await engine.close()
    await until(lambda: not any(map(alive, started)), "the end of all that was started")
    if how != "stop":
        assert result(await engine.run("square", {"x": 3})) == 9


@linux
async def test_a_child_that_dies_frees_its_slot_and_its_group_though_others_hold_its_socket(
    engine: Engine, started: list[int]
) -> None:
    handle = await engine.enqueue("starts-others", {"how": "dies"})
    started += await pids_of(handle)
    failed = await engine.end(handle)
    assert (failed.error_type, failed.error_message) == ("process_died", "the child process ended with exit code 9")
    group, _session, orphan, _forked = started
    await until(lambda: not alive(group) and not alive(orphan), "the end of the group")
    assert result(await engine.run("square", {"x": 3})) == 9


async def test_a_thread_that_is_left_behind_does_not_speak_for_the_next_task(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "end"
    pid = result(await engine.run("leaves-a-thread", {"path": str(path)}))
    following = await engine.run("counts", {"upto": 300})
    said = {event["message"] for event in await engine.events(following, "progress")}
    assert "from another task" not in said
    await until(path.exists, "the end of the thread")
    assert path.read_text() == "the task has ended; what its handler has left running cannot speak for it"
    assert result(await engine.run("about", {"x": 1}))["pid"] == pid


async def test_a_line_of_another_run_is_not_heard(engine: Engine) -> None:
    """Also when the child itself does not know better."""
    told = await engine.run(
        "forges", {"messages": [{"run": 0, "progress": [1, 2, "forged"]}, {"run": 0, "result": "1"}]}
    )
    assert result(told) == "mine"
    assert told.message is None


@pytest.mark.parametrize("noticed", [True, False])
async def test_the_death_of_an_idle_child_is_no_tasks_error(engine: Engine, noticed: bool) -> None:
    pid = result(await engine.run("about", {"x": 1}))["pid"]
    os.kill(pid, signal.SIGKILL)
    if noticed:
        await until(lambda: pid not in children(os.getpid()), "the end of the child")
        await until(lambda: not engine.runtime.processes._idle, "its removal")
    told = await engine.run("about", {"x": 2})
    assert (result(told)["attempt"], told.attempt) == (1, 1)
    assert result(told)["pid"] != pid


async def test_a_child_serves_as_many_attempts_as_its_kind_says(engine: Engine) -> None:
    pids = [result(await engine.run("twice")) for _ in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]
    assert not alive(pids[0])


@linux
async def test_over_its_memory_an_attempt_ends_and_the_next_one_has_a_child_of_its_own(engine: Engine) -> None:
    assert result(await engine.run("eats", {"megabytes": 16})) == 16 * 2**20
    failed = await engine.run("eats", {"megabytes": 300})
    assert (failed.status, failed.attempt, failed.error_type) == ("failed", 2, "out_of_memory")
    assert failed.error_message == "the attempt needed more than 128 MB"
    assert result(await engine.run("about", {"x": 1}))["attempt"] == 1


@pytest.mark.parametrize("after", ["9.3e15", "1e300", "inf", "nan", "-inf"])
async def test_any_pause_that_a_handler_asks_for_is_one(engine: Engine, after: str) -> None:
    before = engine.runtime.clock.now()
    handle = await engine.enqueue("asks-for-a-pause", {"after": after})

    async def decided() -> Task | None:
        row = await handle.get()
        return row if row.cause == "retry" or row.ended or row.attempt == 2 else None

    row: Task = await until(decided, "the retry")
    if after in ("nan", "-inf"):
        assert row.run_at <= engine.runtime.clock.now() + 1000
    else:
        assert row.run_at >= before + MAX_DELAY * 1000


@pytest.mark.parametrize(("how", "code"), [("exits", 3), ("returns", 0)])
async def test_a_forked_child_that_leaves_the_handler_is_not_heard(engine: Engine, how: str, code: int) -> None:
    assert result(await engine.run("forks-and-leaves", {"how": how})) == code


async def test_an_upload_is_asked_for_until_the_store_answers(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def find(upload_id: str, owner: str) -> Upload:
        asked.append(upload_id)
        if len(asked) < 3:
            raise StoreUnavailable("the disk is full")
        return Upload("u1", tmp_path, "photo.png", 3, "00")

    monkeypatch.setattr(engine.runtime.uploads, "find", find)
    assert result(await engine.run("reads-upload", {"upload_id": "u1"})) == "photo.png"
    assert asked == ["u1"] * 3
