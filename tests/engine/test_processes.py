"""`executor="process"`: handlers in children that can be killed, and whose death is only their task's error."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from quart_app.core.errors import ConfigError
from quart_app.core.task import Task
from quart_app.engine import attempt as runner_module
from quart_app.engine.processes import pool as processes_module
from quart_app.engine.registry import Registry
from quart_app.service.tasks import TaskHandle
from tests.acceptance.harness import children
from tests.engine import process_kinds
from tests.engine.conftest import Start
from tests.engine.engine import Engine, result, until


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes_module, "KILL_AFTER", 0.3)


@pytest.fixture
async def engine(start: Start) -> Engine:
    return await _start(start)


async def _start(start: Start, **settings: int) -> Engine:
    registry = Registry()
    registry.add_module(process_kinds)
    return await start(kinds=registry, **settings)


def alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


async def pid_of(handle: TaskHandle) -> int:
    """The child that runs the task, as the handler's progress says."""

    async def said() -> Task | None:
        row = await handle.get()
        return row if row.message else None

    row: Task = await until(said, "the handler's pid")
    return int(row.message or "")


async def test_a_result_comes_back_from_another_process(engine: Engine) -> None:
    assert result(await engine.run("square", {"x": 10**400})) == 10**800
    told = result(await engine.run("about", {"x": 7}, max_attempts=3))
    assert told["pid"] != os.getpid()
    assert (told["kind"], told["attempt"], told["args"]) == ("about", 1, {"x": 7})


async def test_a_child_is_kept_for_the_next_task_and_there_are_no_more_than_slots(start: Start) -> None:
    engine = await _start(start, cpu_slots=1)
    handles = [await engine.enqueue("about", {"x": number}) for number in range(5)]
    assert len({result(await engine.end(handle))["pid"] for handle in handles}) == 1


async def test_progress_of_a_child_is_the_tasks_and_bad_characters_are_replaced(engine: Engine) -> None:
    done = await engine.run("counts", {"upto": 500})
    assert result(done) == "a\ufffdb\ufffd"
    assert (done.done, done.total, done.message) == (500, 500, "at 500 \ufffd\ufffd")
    assert done.started_at is not None and done.completed_at is not None
    writes = len(await engine.events(done, "progress"))
    assert writes <= 2 + (done.completed_at - done.started_at) / 200


async def test_every_exception_in_a_child_ends_in_a_failed_row(engine: Engine) -> None:
    for what, (_, name) in process_kinds.ERRORS.items():
        failed = await engine.run("raises", {"what": what})
        assert (what, failed.status, failed.error_type) == (what, "failed", name)
        assert len((failed.error_message or "").encode()) <= 4096
    _, _, (error,) = await engine.history(await engine.run("raises", {"what": "plain"}))
    assert error.message == "why"
    assert "raise ERRORS[what][0]()" in (error.traceback or "")
    assert result(await engine.run("square", {"x": 3})) == 9


async def test_every_result_that_cannot_be_stored_ends_in_a_failed_row(engine: Engine) -> None:
    for what, (_, name) in process_kinds.RESULTS.items():
        failed = await engine.run("returns", {"what": what}, max_attempts=3)
        assert (what, failed.status, failed.error_type) == (what, "failed", name)
        assert (failed.attempt, failed.error_retryable) == (1, 0)
    assert result(await engine.run("square", {"x": 3})) == 9


@pytest.mark.parametrize("how", process_kinds.DEATHS)
async def test_the_death_of_a_child_is_an_error_of_its_task_alone(engine: Engine, how: str) -> None:
    bystander = await engine.enqueue("computes")
    pid = await pid_of(bystander)
    failed = await engine.run("dies", {"how": how})
    assert (failed.status, failed.error_type, failed.attempt) == ("failed", "process_died", 2)
    assert process_kinds.DEATHS[how] in (failed.error_message or "")
    assert result(await engine.run("dies", {"how": how, "on_attempt": 1})) == "attempt 2"
    assert alive(pid)
    assert (await bystander.get()).status == "processing"


@pytest.mark.parametrize(
    ("what", "attempts", "error"),
    [("os", 3, "OSError"), ("value", 1, "ValueError"), ("never", 1, "NonRetryable"), ("group", 1, "ExceptionGroup")],
)
async def test_the_rules_for_retries_hold_in_a_child(engine: Engine, what: str, attempts: int, error: str) -> None:
    failed = await engine.run("retries", {"what": what})
    assert (failed.status, failed.attempt, failed.error_type) == ("failed", attempts, error)
    if what == "group":
        assert failed.error_message == "two (2 sub-exceptions): OSError: may be; ValueError: may not"


async def test_retry_after_and_a_second_attempt_hold_in_a_child(engine: Engine) -> None:
    assert result(await engine.run("retries", {"what": "once"})) == "attempt 2"
    before = engine.runtime.clock.now()
    handle = await engine.enqueue("retries", {"what": "later"})

    async def waiting() -> Task | None:
        row = await handle.get()
        return row if row.cause == "retry" else None

    row: Task = await until(waiting, "the retry")
    assert row.run_at >= before + 600_000


async def test_a_cancel_kills_a_child_that_does_not_look_up(engine: Engine) -> None:
    handle = await engine.enqueue("computes")
    pid = await pid_of(handle)
    await engine.runtime.service.cancel(handle.id)
    assert (await engine.end(handle)).status == "cancelled"
    await until(lambda: not alive(pid), "the end of the child")
    assert result(await engine.run("square", {"x": 3})) == 9


async def test_a_cancel_kills_the_child_even_when_the_grace_is_over_before(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "GRACE", 0.05)
    handle = await engine.enqueue("computes")
    pid = await pid_of(handle)
    await engine.runtime.service.cancel(handle.id)
    assert (await engine.end(handle)).status == "cancelled"
    await until(lambda: not alive(pid), "the end of the child")
    await until(lambda: not engine.runtime.runner.lingering, "the end of the handler")


async def test_a_child_that_looks_at_cancelled_may_clean_up(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes_module, "KILL_AFTER", 2.0)  # as it is; the handler looks up a hundred times a second
    handle = await engine.enqueue("listens", {"path": str(tmp_path / "seen")})
    pid = await pid_of(handle)
    await engine.runtime.service.cancel(handle.id)
    assert (await engine.end(handle)).status == "cancelled"
    await until(lambda: not alive(pid), "the end of the child")
    assert (tmp_path / "seen").read_text() == "saw it"


async def test_a_timeout_kills_the_child(engine: Engine) -> None:
    # The child's start counts: give it time to say its pid.
    handle = await engine.enqueue("computes-shortly", timeout=2)
    pid = await pid_of(handle)
    failed = await engine.end(handle)
    assert (failed.status, failed.error_type) == ("failed", "timeout")
    await until(lambda: not alive(pid), "the end of the child")


async def test_a_timeout_before_the_child_has_even_started_leaves_none_behind(engine: Engine) -> None:
    failed = await engine.run("computes-shortly", timeout=0.001)
    assert (failed.status, failed.error_type) == ("failed", "timeout")
    assert result(await engine.run("square", {"x": 3})) == 9


async def test_a_task_that_waits_for_a_child_can_be_cancelled(start: Start) -> None:
    engine = await _start(start, cpu_slots=1)
    busy = await engine.enqueue("computes")
    await pid_of(busy)
    waiting = await engine.enqueue("square", {"x": 3})
    await engine.status(waiting, "processing")
    await engine.runtime.service.cancel(waiting.id)
    assert (await engine.end(waiting)).status == "cancelled"
    await engine.runtime.service.cancel(busy.id)
    assert (await engine.end(busy)).status == "cancelled"
    assert result(await engine.run("square", {"x": 3})) == 9


async def test_a_stop_kills_the_children_and_releases_their_tasks(start: Start) -> None:
    first_life = await _start(start)
    handle = await first_life.enqueue("computes")
    pid = await pid_of(handle)
    idle = result(await first_life.run("about", {"x": 1}))["pid"]
    await first_life.close()
    await until(lambda: not alive(pid) and not alive(idle), "the end of the children")
    assert first_life.sql("SELECT status, attempt, crashes FROM tasks WHERE id = ?", handle.id) == [("pending", 0, 0)]


async def test_a_stop_while_a_child_starts_leaves_none_behind(start: Start) -> None:
    for turns in range(3, 30, 2):
        engine = await _start(start)
        await engine.enqueue("computes")
        for _ in range(turns):
            await asyncio.sleep(0)
        await engine.close()
        assert children(os.getpid()) == set(), f"after {turns} turns of the loop"


async def test_a_lost_claim_ends_the_child(engine: Engine) -> None:
    handle = await engine.enqueue("counts", {"upto": 10_000_000})
    await engine.status(handle, "processing")
    engine.sql("UPDATE tasks SET fence = fence + 1, worker = 'another' WHERE id = ?", handle.id)
    await until(lambda: not engine.runtime.runner.runs, "the end of the run")
    assert engine.runtime.runner.refused_writes == 1
    assert result(await engine.run("square", {"x": 3})) == 9


USER_FILE = """
from quart_app import task

@task("{kind}", executor="process")
def handler(x: int) -> list:
    return [x, "{kind}"]
"""


async def test_kinds_of_files_of_one_name_run_in_children_or_are_refused(start: Start, tmp_path: Path) -> None:
    """Two folders may each have their `tasks.py`."""
    for kind in ("one", "two"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "same_tasks.py").write_text(USER_FILE.format(kind=kind))
    try:
        engine = await start(tasks=f"{tmp_path}/one/same_tasks.py,{tmp_path}/two/same_tasks.py")
    except ConfigError as error:
        assert "same_tasks" in str(error)
        return
    assert result(await engine.run("one", {"x": 1})) == [1, "one"]
    assert result(await engine.run("two", {"x": 2})) == [2, "two"]
