"""Unique kinds in code: `enqueue` and `ctx.enqueue` follow the kind, children have no key."""

from __future__ import annotations

import pytest

from quart_app import DuplicateTask, TaskContext, TaskFailed, task
from tests.engine.engine import Engine, Gate

GATE = Gate()


@pytest.fixture(autouse=True)
def closed() -> None:
    GATE.close()


@task("one-each", unique=("n",), on_duplicate="reject")
async def one_each(n: int) -> int:
    await GATE.wait()
    return n


@task("asks")
async def asks(ctx: TaskContext) -> str:
    await one_each.enqueue(n=1)
    try:
        await ctx.enqueue("one-each", {"n": 1})
    except DuplicateTask as refused:
        return str(refused.task_id)
    return "made twice"


@task("family")
async def family(ctx: TaskContext, refused: bool = False) -> list[int]:
    if refused:
        await ctx.spawn(one_each, {"n": 1}, unique_key="k")
    ids = await ctx.spawn_many(one_each, [{"n": 1}, {"n": 1}])
    GATE.open()
    done: list[int] = await ctx.gather(ids)
    return done


async def test_code_is_told_of_a_duplicate(engine: Engine) -> None:
    handle = await asks.enqueue()
    holder = await handle.result(timeout=20)
    with pytest.raises(DuplicateTask) as refused:
        await one_each.enqueue(n=1)
    assert refused.value.task_id == holder
    again = await one_each.enqueue_with({"on_duplicate": "return"}, n=1)
    assert again.id == holder
    GATE.open()
    assert await again.result(timeout=20) == 1


async def test_children_have_no_key_and_none_can_be_given(engine: Engine) -> None:
    there = await one_each.enqueue(n=1)
    assert await (await family.enqueue()).result(timeout=20) == [1, 1]
    assert await there.result(timeout=20) == 1
    handle = await family.enqueue(refused=True)
    with pytest.raises(TaskFailed, match="a child has no unique key"):
        await handle.result(timeout=20)
