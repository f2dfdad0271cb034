"""The bounds of what handlers emit: commits, bytes, events; and who may emit no more."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from quart_app import TaskContext, task
from quart_app.core.errors import StoreUnavailable
from quart_app.engine import context, output
from tests.engine import process_kinds
from tests.engine.conftest import Start
from tests.engine.engine import Engine, Gate, result, until

AGAIN = (0.0, 1.0, 0.0)  # a backoff of nothing
gate = Gate()
caught: list[BaseException] = []


@pytest.fixture(autouse=True)
async def fresh(start: Start) -> AsyncIterator[None]:
    gate.close()
    caught.clear()
    yield
    gate.open()


@task("emits")
async def emits(ctx: TaskContext, values: list[Any]) -> None:
    for value in values:
        await ctx.emit(value)


@task("emits-at-once")
async def emits_at_once(ctx: TaskContext, n: int) -> None:
    await asyncio.gather(*(ctx.emit(k) for k in range(n)))


@task("emits-texts-at-once")
async def emits_texts_at_once(ctx: TaskContext, sizes: list[int]) -> None:
    await asyncio.gather(*(ctx.emit("x" * size) for size in sizes))


@task("emits-and-waits")
async def emits_and_waits(ctx: TaskContext, n: int) -> None:
    for k in range(n):
        await ctx.emit(k)
    await gate.wait()
    await ctx.emit("last")


@task("too-large", max_attempts=3, backoff=AGAIN)
async def too_large(ctx: TaskContext, text: str, times: int) -> None:
    await ctx.emit(text * times)


@task("bad-output")
async def bad_output(ctx: TaskContext, what: str) -> None:
    await ctx.emit({"set": {1}, "nan": math.nan, "bytes": b"x"}[what])


@task("emits-as-long-as-it-may", max_attempts=3, backoff=AGAIN)
async def emits_as_long_as_it_may(ctx: TaskContext) -> None:
    for n in range(1000):
        try:
            await ctx.emit(n)
        except BaseException as error:
            caught.append(error)
            raise


@task("emits-after-the-end")
async def emits_after_the_end(ctx: TaskContext) -> None:
    async def later() -> None:
        await gate.wait()
        try:
            await ctx.emit("too late")
        except BaseException as error:
            caught.append(error)

    ctx.later = asyncio.create_task(later())  # type: ignore[attr-defined]
    await ctx.emit("in time")


class Commits:
    """How many emissions each commit of output held, and when it began."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.held: list[int] = []
        self.began: list[float] = []
        store = engine.runtime.flow_store
        emit = store.emit

        async def counted(task_id: str, fence: int, outputs: Sequence[str], now: int) -> bool:
            self.held.append(len(outputs))
            self.began.append(asyncio.get_running_loop().time())
            return await emit(task_id, fence, outputs, now)

        monkeypatch.setattr(store, "emit", counted)


async def emitted(engine: Engine, done: Any) -> list[tuple[int, int, Any]]:
    """(run, n, data) of all output, oldest first."""
    return [(one["run"], one["n"], one["data"]) for one in await engine.events(done, "output")]


async def test_many_emissions_are_one_commit(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = Commits(engine, monkeypatch)
    done = await engine.run("emits", {"values": list(range(900))})
    assert len(await emitted(engine, done)) == 900
    assert sum(commits.held) == 900
    assert len(commits.held) <= 2, "the first ones, and at the end the others"


async def test_the_commits_of_a_run_keep_their_distance_but_for_the_last(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = Commits(engine, monkeypatch)
    # With ROW over half of BUFFER each emission but the first of a commit waits for the one before.
    monkeypatch.setattr(output, "BUFFER", 10)
    await engine.run("emits", {"values": list(range(5))})
    assert commits.held == [1] * 5
    gaps = [later - earlier for earlier, later in zip(commits.began[:-2], commits.began[1:-1], strict=True)]
    assert all(gap >= output.INTERVAL * 0.9 for gap in gaps), "a bound from below; a slow machine only makes it longer"


async def test_the_end_of_a_run_does_not_wait_for_the_next_commit(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "INTERVAL", 1000.0)
    handle = await engine.enqueue("emits-and-waits", {"n": 1})

    async def first() -> bool:
        return len(await emitted(engine, await handle.get())) == 1

    await until(first, "the first commit")
    gate.open()
    assert await emitted(engine, await engine.end(handle)) == [(1, 1, 0), (1, 2, "last")]


async def test_a_small_emission_does_not_overtake_a_large_one_that_waits(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "BUFFER", 3 * output.ROW)
    sizes = [1, 2000, 1, 2, 3000, 1, 1, 2500, 2]
    done = await engine.run("emits-texts-at-once", {"sizes": sizes})
    assert [(n, len(data)) for _, n, data in await emitted(engine, done)] == list(enumerate(sizes, 1))


async def test_the_last_emission_is_seen_while_the_handler_goes_on(engine: Engine) -> None:
    handle = await engine.enqueue("emits-and-waits", {"n": 3})

    async def third() -> bool:
        return len(await emitted(engine, await handle.get())) == 3

    await until(third, "the emissions that were not followed by others")
    assert (await handle.get()).status == "processing"
    gate.open()
    assert await emitted(engine, await engine.end(handle)) == [(1, 1, 0), (1, 2, 1), (1, 3, 2), (1, 4, "last")]


async def test_a_handler_that_emits_faster_than_is_written_waits(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = Commits(engine, monkeypatch)
    monkeypatch.setattr(output, "BUFFER", 20 * (output.ROW + 3))
    done = await engine.run("emits-at-once", {"n": 200})
    assert await emitted(engine, done) == [(1, n + 1, n) for n in range(200)]
    assert max(commits.held) <= 20
    assert len(commits.held) >= 10


@pytest.mark.parametrize(
    ("text", "times", "fits"),
    [("x", 65_534, True), ("x", 65_535, False), ("é", 32_767, True), ("é", 32_768, False), ("\n", 40_000, False)],
)
async def test_an_emission_has_at_most_64_kib_of_utf_8(engine: Engine, text: str, times: int, fits: bool) -> None:
    done = await engine.run("too-large", {"text": text, "times": times}, max_attempts=1)
    if fits:
        assert await emitted(engine, done) == [(1, 1, text * times)]
    else:
        assert (done.status, done.error_type) == ("failed", "ValueError")
        assert "at most 65536 bytes" in (done.error_message or "")
        assert await emitted(engine, done) == []


@pytest.mark.parametrize("what", ["set", "nan", "bytes"])
async def test_what_is_not_json_is_the_handlers_error(engine: Engine, what: str) -> None:
    failed = await engine.run("bad-output", {"what": what})
    assert (failed.status, failed.error_type) == ("failed", "not_json")


async def test_an_emission_past_a_full_history_is_an_error_that_no_retry_helps(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "MAX_EVENTS", 30)
    failed = await engine.run("emits-as-long-as-it-may")
    assert (failed.status, failed.error_type, failed.attempt) == ("failed", "HistoryFull", 1)
    assert "full" in (failed.error_message or "")
    assert await emitted(engine, failed) == [(1, n + 1, n) for n in range(29)], "what was taken is kept"
    assert [type(error).__name__ for error in caught] == ["HistoryFull"]


async def test_a_run_that_lost_its_claim_emits_nothing_more(engine: Engine) -> None:
    handle = await engine.enqueue("emits-and-waits", {"n": 1})

    async def first() -> bool:
        return len(await emitted(engine, await handle.get())) == 1

    await until(first, "the first emission")
    engine.sql("UPDATE tasks SET fence = fence + 1, worker = 'another' WHERE id = ?", handle.id)
    gate.open()
    await until(lambda: not engine.runtime.runner.runs, "the end of the run")
    assert engine.runtime.runner.refused_writes == 1
    assert await emitted(engine, await handle.get()) == [(1, 1, 0)]


@task("goes-on-without-its-claim")
async def goes_on_without_its_claim(ctx: TaskContext) -> None:
    await gate.wait()
    for n in range(10_000):
        try:
            await ctx.emit(n)
        except Exception as error:  # what users write
            caught.append(error)
        await asyncio.sleep(0)
    caught.append(AssertionError("it was never told"))


async def test_the_loss_of_a_claim_ends_a_handler_that_emits(engine: Engine) -> None:
    handle = await engine.enqueue("goes-on-without-its-claim")
    await engine.status(handle, "processing")
    engine.sql("UPDATE tasks SET fence = fence + 1, worker = 'another' WHERE id = ?", handle.id)
    gate.open()
    await until(lambda: not engine.runtime.runner.runs, "the end of the run")
    assert caught == []
    assert engine.sql("SELECT count(*) FROM events WHERE name = 'output'") == [(0,)]


async def test_what_a_handler_has_left_behind_emits_nothing_after_its_end(engine: Engine) -> None:
    done = await engine.run("emits-after-the-end")
    gate.open()
    await until(lambda: caught, "the error")
    assert [type(error).__name__ for error in caught] == ["ClaimLost"]
    assert await emitted(engine, done) == [(1, 1, "in time")]


async def test_a_disk_that_takes_nothing_for_a_while_costs_no_emission(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, refused = engine.runtime.flow_store, []
    emit = store.emit

    async def unwilling(*args: Any) -> bool:
        if len(refused) < 2:
            refused.append(args)
            raise StoreUnavailable("the disk is full")
        return await emit(*args)

    monkeypatch.setattr(store, "emit", unwilling)
    done = await engine.run("emits", {"values": list(range(50))})
    assert len(refused) == 2
    assert await emitted(engine, done) == [(1, n + 1, n) for n in range(50)]


async def test_a_child_process_emits_too(start: Start) -> None:
    engine = await start([process_kinds.emits_in_a_process])
    done = await engine.run("emits-in-a-process", {"n": 2000})
    assert result(done) == 2000
    assert await emitted(engine, done) == [(1, n + 1, {"n": n}) for n in range(2000)]


async def test_what_a_child_process_emits_has_the_same_bounds(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = await start([process_kinds.emits_in_a_process])
    failed = await engine.run("emits-in-a-process", {"n": 1, "size": 65_530})
    assert (failed.status, failed.error_type) == ("failed", "ValueError")
    monkeypatch.setattr(context, "MAX_EVENTS", 30)
    failed = await engine.run("emits-in-a-process", {"n": 100})
    assert (failed.status, failed.error_type) == ("failed", "HistoryFull")
    assert [data["n"] for _, _, data in await emitted(engine, failed)] == list(range(29))


async def test_the_emissions_of_a_run_have_a_size_together(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "MAX_RUN", 10 * (output.ROW + 1))
    done = await engine.run("emits-as-long-as-it-may")
    assert (done.status, done.error_type, done.attempt) == ("failed", "HistoryFull", 1)
    assert [data for _, _, data in await emitted(engine, done)] == list(range(10))
    assert len(caught) == 1
