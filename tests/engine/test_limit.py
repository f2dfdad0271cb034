"""`ctx.limit` in handlers, on the loop and in threads: cancel, stop, time limit, mistakes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from quart_app.core.errors import StoreUnavailable
from quart_app.engine import TaskContext, task
from tests.engine.conftest import Start
from tests.engine.engine import Engine, Gate, result, until

calls: list[str] = []
gate = Gate()

pytestmark = pytest.mark.usefixtures("fresh_state")


@task("call", max_attempts=1)
async def call(ctx: TaskContext, who: str) -> str:
    async with ctx.limit("service", 1, 600):
        calls.append(who)
        await gate.wait()
    return who


@task("call-in-thread")
def call_in_thread(ctx: Any, who: str) -> str:
    with ctx.limit("service", 1, 600) as limit:
        calls.append(who)
        limit.hold(0)
        gate.wait_blocking()
    return who


@task("ask-for-nonsense")
async def ask_for_nonsense(ctx: TaskContext) -> None:
    async with ctx.limit("service", 0, 600):
        raise AssertionError("never")


KINDS = ["call", "call-in-thread"]


async def waiting(engine: Engine, kind: str) -> Any:
    """A task that waits behind another one, which calls."""
    await engine.enqueue("call", {"who": "first"})
    await until(lambda: calls == ["first"], "the first call")
    handle = await engine.enqueue(kind, {"who": "second"})
    ledger = engine.runtime.limits._ledgers["service"]
    await until(lambda: ledger.users == 2, "the second one to wait")
    return handle


@pytest.mark.parametrize("kind", KINDS)
async def test_the_block_is_the_call(engine: Engine, kind: str) -> None:
    handle = await engine.enqueue(kind, {"who": "me"})
    await until(lambda: calls == ["me"], "the call")
    ledger = engine.runtime.limits._ledgers["service"]
    assert (ledger.in_flight, len(ledger.dates)) == (1, 0)
    gate.open()
    assert result(await engine.end(handle)) == "me"
    assert (ledger.in_flight, len(ledger.dates), ledger.users) == (0, 1, 0)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancel_ends_the_wait_and_leaves_no_entry(engine: Engine, kind: str) -> None:
    handle = await waiting(engine, kind)
    await engine.runtime.service.cancel(handle.id)
    assert (await engine.end(handle)).status == "cancelled"
    ledger = engine.runtime.limits._ledgers["service"]
    await until(lambda: ledger.users == 1, "the end of the wait")
    assert engine.sql("SELECT count(*) FROM limit_calls") == [(1,)]
    assert calls == ["first"]
    assert not engine.runtime.runner.lingering
    assert engine.runtime.runner.refused_writes == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_a_time_limit_ends_the_wait(engine: Engine, kind: str) -> None:
    await engine.enqueue("call", {"who": "first"})
    await until(lambda: calls == ["first"], "the first call")
    task = await engine.run(kind, {"who": "second"}, timeout=0.05)
    assert (task.status, task.error_type) == ("failed", "timeout")
    assert calls == ["first"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stop_ends_the_wait_and_what_was_in_flight_counts_in_the_next_life(start: Start, kind: str) -> None:
    engine = await start()
    await waiting(engine, kind)
    await engine.close()
    assert calls == ["first"]

    engine = await start()
    ledger = engine.runtime.limits._ledgers["service"]
    await until(lambda: ledger.users == 2, "both to wait")
    assert (ledger.in_flight, len(ledger.dates)) == (0, 1)
    assert calls == ["first"]


async def test_a_limit_that_is_none_is_an_error_of_the_task(engine: Engine) -> None:
    task = await engine.run("ask-for-nonsense")
    assert (task.error_type, "max_calls is 1 to" in (task.error_message or "")) == ("ValueError", True)


async def test_a_store_that_cannot_write_costs_time_and_no_call(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = engine.runtime.limits._store
    enter = store.enter_call
    tries: list[int] = []

    async def enter_call(call: int, name: str, window_ms: int) -> None:
        tries.append(call)
        if len(tries) == 1:
            raise StoreUnavailable("the disk is full")
        await enter(call, name, window_ms)

    monkeypatch.setattr(store, "enter_call", enter_call)
    gate.open()
    assert result(await engine.run("call", {"who": "me"})) == "me"
    assert len(tries) == 2
    assert len(set(tries)) == 1


async def test_dates_that_cannot_be_written_now_are_written_later(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = engine.runtime.limits
    settle = limits._store.settle_calls
    tries: list[int] = []

    async def settle_calls(*args: Any) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise StoreUnavailable("the disk is full")
        await settle(*args)

    async def no_time(seconds: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(limits._store, "settle_calls", settle_calls)
    monkeypatch.setattr(engine.runtime.clock, "sleep", no_time)
    gate.open()
    await engine.run("call", {"who": "me"})
    dated = "SELECT count(*) FROM limit_calls WHERE wall IS NOT NULL"
    await until(lambda: engine.sql(dated) == [(1,)], "the date")
