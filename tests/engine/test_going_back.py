"""Going back with real handlers: what a rerun from a step and a fork do again, and what they do not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from quart_app import TaskContext, task
from quart_app.core.task import Task
from quart_app.core.task_request import EnqueueOptions
from quart_app.service.tasks import TaskHandle
from tests.engine.engine import Engine, Gate, result

GATE = Gate()
BROKEN: list[str] = []  # empty once it is mended
DONE: list[str] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    BROKEN[:] = ["it is broken"]
    DONE.clear()
    GATE.close()


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    engine = await Engine(tmp_path, [whole, part], max_children=2).open()
    yield engine
    await engine.close()


@task("part")
async def part(n: int) -> int:
    DONE.append(f"part {n}")
    if n == 100:
        await GATE.wait()
    return n


@task("whole")
async def whole(ctx: TaskContext, numbers: list[int], order: bool = False) -> list[Any]:
    """Children, a step, a sleep, a signal, and a step that fails until it is mended."""
    first = await ctx.step("first", done, "first")
    ids = await ctx.spawn_many(part, [{"n": n} for n in numbers])
    parts = await ctx.gather(ids)
    await ctx.sleep(1)
    order_text = await ctx.wait_signal("order") if order else None
    return [first, parts, order_text, await ctx.step("last", last)]


def done(what: str) -> str:
    DONE.append(what)
    return what


def last() -> str:
    if BROKEN:
        raise ValueError(*BROKEN)
    return done("last")


def mend() -> None:
    BROKEN.clear()
    DONE.clear()


async def failed(engine: Engine, **args: Any) -> Task:
    handle = await engine.enqueue("whole", {"numbers": [1, 2], **args})
    if args.get("order"):
        await engine.runtime.family.signal(handle.id, "order", '"two of them"', None, None)
    task = await engine.end(handle)
    assert (task.status, task.error_message) == ("failed", "it is broken")
    mend()
    return task


async def again(engine: Engine, task: Task, step: str) -> Task:
    await engine.runtime.going_back.rerun(task.id, step=step)
    return await engine.end(TaskHandle(task.id, engine.runtime.service))


async def forked(engine: Engine, task: Task, step: str | None = None, args: dict[str, Any] | None = None) -> Task:
    made = await engine.runtime.going_back.fork(task.id, step, args)
    return await engine.end(TaskHandle(made.id, engine.runtime.service))


async def test_a_rerun_from_its_spawn_makes_new_children(engine: Engine) -> None:
    """Though it may have two only: those that are forgotten do not count."""
    task = await failed(engine)
    found = await again(engine, task, "spawn_many-1")
    assert result(found) == ["first", [1, 2], None, "last"]
    assert sorted(DONE) == ["last", "part 1", "part 2"]
    assert (found.children, found.children_ended) == (4, 4)


async def test_a_rerun_from_its_gather_asks_the_same_children(engine: Engine) -> None:
    task = await failed(engine)
    assert result(await again(engine, task, "gather-1")) == ["first", [1, 2], None, "last"]
    assert DONE == ["last"]


async def test_a_rerun_from_a_signal_waits_for_a_new_one(engine: Engine) -> None:
    task = await failed(engine, order=True)
    await engine.runtime.going_back.rerun(task.id, step="signal:order-1")
    handle = TaskHandle(task.id, engine.runtime.service)
    waiting = await engine.status(handle, "pending")
    while waiting.waiting_for != "signal:order":
        waiting = await engine.runtime.service.wait(task.id, 20, version=waiting.version)
    await engine.runtime.family.signal(task.id, "order", '"three"', None, None)
    assert result(await engine.end(handle)) == ["first", [1, 2], "three", "last"]
    assert DONE == ["last"]


async def test_a_fork_of_all_that_is_recorded_does_the_rest_alone(engine: Engine) -> None:
    task = await failed(engine, order=True)
    fork = await forked(engine, task)
    assert result(fork) == ["first", [1, 2], "two of them", "last"]
    assert DONE == ["last"]
    assert (fork.children, fork.forked_from) == (None, task.id)
    assert (await engine.runtime.service.get(task.id)).status == "failed"


async def test_a_fork_from_before_the_results_makes_children_of_its_own(engine: Engine) -> None:
    task = await failed(engine)
    fork = await forked(engine, task, "gather-1", {"numbers": [3]})
    assert result(fork) == ["first", [3], None, "last"]
    assert sorted(DONE) == ["last", "part 3"]
    assert fork.children == 1


async def test_a_fork_goes_back_too(engine: Engine) -> None:
    """Its children were those of another task: it makes its own."""
    task = await failed(engine)
    BROKEN[:] = ["it is broken"]
    fork = await forked(engine, task)
    assert fork.status == "failed"
    mend()
    assert result(await again(engine, fork, "gather-1")) == ["first", [1, 2], None, "last"]
    assert sorted(DONE) == ["last", "part 1", "part 2"]


async def test_a_restart_ends_children_that_run(engine: Engine) -> None:
    handle = await engine.enqueue("whole", {"numbers": [100]})
    waiting = await handle.get()
    while waiting.waiting_for != "children":
        waiting = await engine.runtime.service.wait(handle.id, 20, version=waiting.version)
    ((child,),) = engine.sql("SELECT id FROM tasks WHERE kind = 'part'")
    await engine.status(TaskHandle(child, engine.runtime.service), "processing")
    await engine.runtime.service.cancel(handle.id)
    mend()
    await engine.runtime.going_back.rerun(handle.id, restart=True)
    assert (await engine.end(TaskHandle(child, engine.runtime.service))).status == "cancelled"
    GATE.open()
    assert result(await engine.end(handle)) == ["first", [100], None, "last"]
    lines = engine.sql("SELECT data FROM events WHERE name = 'log'")
    assert [json.loads(line)["fields"]["steps"] for (line,) in lines] == [["first", "spawn_many-1"]]


async def test_a_sleep_is_moved(engine: Engine) -> None:
    mend()
    handle = await engine.enqueue("whole", {"numbers": []})
    asleep = await handle.get()
    while asleep.waiting_for != "time":
        asleep = await engine.runtime.service.wait(handle.id, 20, version=asleep.version)
    later = EnqueueOptions(run_at=asleep.run_at + 10**9)
    assert (await engine.runtime.going_back.change(handle.id, later)).run_at == asleep.run_at + 10**9
    now = EnqueueOptions(run_at=asleep.created_at)
    await engine.runtime.going_back.change(handle.id, now)
    assert result(await engine.end(handle)) == ["first", [], None, "last"]
