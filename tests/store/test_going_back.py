"""The store of going back: reruns from a step, and forks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from quart_app.core.errors import TaskNotFound, UnknownStep, UploadNotFound, WrongState
from quart_app.core.flow import ForChildren, ForSignal, Record, Sleeping
from quart_app.core.task import STATUSES
from quart_app.store.going_back import MOST_NAMES
from quart_app.store.protocols.going_back import NewArgs
from tests.store.back_kit import LONG, BackKit
from tests.store.flow_kit import LATER, opened, wait_record
from tests.store.kit import ERROR, T, claimed, in_status, new_task
from tests.store.soundness import everything


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[BackKit]:
    async with opened(tmp_path / "tasks.db") as one:
        yield BackKit(one)


# --- a rerun from a step


async def test_a_rerun_forgets_a_step_and_all_recorded_after_it(kit: BackKit) -> None:
    run = await kit.recorded("a", "b", "c")
    assert await kit.store.fail(run.id, run.fence, ERROR, T)
    kit.bells.take()
    await kit.back.rerun_from(run.id, "b", LATER)
    assert kit.bells.take() == [("changed", run.id), ("ready", "default", False)]
    assert await kit.names(run.id) == ["a"]
    row = await kit.kit.row(run.id)
    assert (row.status, row.cause, row.attempt, row.run_at) == ("pending", "rerun", 0, LATER)
    assert await kit.logs(run.id) == [{"message": "forgotten from step b", "fields": {"steps": ["b", "c"]}}]
    (event,) = [one for one in await kit.store.events(run.id, 0, 99) if one.name == "log"]
    assert (event.at, event.status, event.cause) == (LATER, "pending", "rerun")


async def test_of_one_ordinal_those_recorded_earlier_are_kept(kit: BackKit) -> None:
    run = await kit.recorded("first")
    for name, at in (("early", T + 1), ("x", T + 2), ("beside", T + 2), ("late", T + 3)):
        await kit.step(run, name, 5, at)
    await kit.step(run, "next", 6, T + 1)
    await kit.store.fail(run.id, run.fence, ERROR, T + 4)
    await kit.back.rerun_from(run.id, "x", LATER)
    assert sorted(await kit.names(run.id)) == ["early", "first"]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("step", ["a", None])
async def test_only_a_failed_or_cancelled_task_goes_back(kit: BackKit, status: str, step: str | None) -> None:
    run = await in_status(kit.store, "processing")
    await kit.step(run, "a", 1)
    match status:
        case "pending":
            await kit.store.release(run.id, run.fence, "default", T)
        case "completed":
            await kit.store.complete(run.id, run.fence, "1", T)
        case "failed":
            await kit.store.fail(run.id, run.fence, ERROR, T)
        case "cancelled":
            await kit.store.end_cancelled(run.id, run.fence, T)
    before = everything(kit.sql)
    if status in ("failed", "cancelled"):
        await kit.back.rerun_from(run.id, step, LATER)
        assert await kit.names(run.id) == []
        return
    with pytest.raises(WrongState, match=status):
        await kit.back.rerun_from(run.id, step, LATER)
    assert everything(kit.sql) == before


async def test_an_unknown_step_or_task_changes_nothing(kit: BackKit) -> None:
    run = await kit.recorded("a")
    await kit.store.fail(run.id, run.fence, ERROR, T)
    before = everything(kit.sql)
    with pytest.raises(UnknownStep):
        await kit.back.rerun_from(run.id, "b", LATER)
    with pytest.raises(TaskNotFound):
        await kit.back.rerun_from("no-such-id", "a", LATER)
    assert everything(kit.sql) == before


async def test_a_task_that_rerun_already_is_not_told_to_forget(kit: BackKit) -> None:
    """A second request comes after the first: it must not take what the task has recorded until then."""
    run = await kit.recorded("a", "b")
    await kit.store.fail(run.id, run.fence, ERROR, T)
    await kit.store.rerun(run.id, False, T)
    with pytest.raises(WrongState):
        await kit.back.rerun_from(run.id, "a", LATER)
    assert await kit.names(run.id) == ["a", "b"]
    assert await kit.logs(run.id) == []


async def test_a_restart_tells_what_it_forgets_and_drops_the_progress(kit: BackKit) -> None:
    run = await kit.recorded("a", "b")
    await kit.store.progress(run.id, run.fence, 2, 3, "half", T)
    await kit.store.fail(run.id, run.fence, ERROR, T)
    assert await kit.store.rerun(run.id, True, LATER)
    assert await kit.logs(run.id) == [{"message": "forgotten from the beginning", "fields": {"steps": ["a", "b"]}}]
    assert (await kit.kit.row(run.id)).message is None


async def test_the_history_names_so_many_and_counts_the_rest(kit: BackKit) -> None:
    run = await kit.recorded(*[f"s{n}" for n in range(MOST_NAMES + 5)])
    await kit.store.fail(run.id, run.fence, ERROR, T)
    await kit.back.rerun_from(run.id, "s1", LATER)
    (line,) = await kit.logs(run.id)
    assert line["fields"] == {"steps": [f"s{n}" for n in range(1, MOST_NAMES + 1)], "count": MOST_NAMES + 4}


async def test_children_made_after_the_step_are_cancelled_and_others_are_not(kit: BackKit) -> None:
    run = await claimed(kit.store)
    (kept,) = await kit.kit.spawn(run, 1, name="before")
    await kit.step(run, "a", 2)
    made = [new_task(T, queue="later") for _ in range(3)]
    record = Record("after", "children", msgspec.json.encode([child.id for child in made]).decode(), 3)
    assert await kit.flow.spawn(run.id, run.fence, record, made, True, T, False)
    done, running = await kit.store.claim({"later": 2}, T)
    await kit.store.complete(done.id, done.fence, "1", T)
    (waiting,) = {child.id for child in made} - {done.id, running.id}
    await kit.store.fail(run.id, run.fence, ERROR, T)
    kit.bells.take()
    found = await kit.back.rerun_from(run.id, "a", LATER)
    assert (found.kinds, found.asked) == (("thumbnail",), (running.id,))
    heard = kit.bells.take()
    assert ("changed", waiting) in heard
    assert ("changed", running.id) in heard
    statuses = {one: (await kit.kit.row(one)).status for one in (kept, done.id, running.id, waiting)}
    assert list(statuses.values()) == ["pending", "completed", "processing", "cancelled"]
    assert (await kit.kit.row(running.id)).cancel_requested_at == LATER
    assert await kit.names(run.id) == ["before"]
    assert await kit.flow.count_children(run.id) == 1, "others may be made in their place"


async def test_a_restart_cancels_all_children(kit: BackKit) -> None:
    run, ids = await kit.kit.parent(2, detached=True)
    await kit.store.fail(run.id, run.fence, ERROR, T)
    found = await kit.back.rerun_from(run.id, None, LATER)
    assert len(found.kinds) == 2
    assert {(await kit.kit.row(one)).status for one in ids} == {"cancelled"}


async def test_the_family_of_a_cancelled_child_is_told(kit: BackKit) -> None:
    run, (child_id,) = await kit.kit.parent(1)
    (child,) = await kit.kit.run()
    (grandchild,) = await kit.kit.spawn(child, 1)
    await kit.store.release(child.id, child.fence, "children", T)
    await kit.store.fail(run.id, run.fence, ERROR, T)
    kit.bells.take()
    await kit.back.rerun_from(run.id, "kids", LATER)
    assert ("parent ended",) in kit.bells.take()
    while (await kit.flow.settle_parents(LATER, 9))[0]:
        pass
    assert (await kit.kit.row(grandchild)).status == "cancelled"
    assert child_id == child.id


async def test_a_forgotten_signal_is_gone_and_its_key_still_known(kit: BackKit) -> None:
    run = await claimed(kit.store)
    assert await kit.flow.put_signal(run.id, "go", "1", "key", T) == "sent"
    assert await kit.flow.take_signal(run.id, run.fence, wait_record(), "go", T, False, False)
    await kit.store.fail(run.id, run.fence, ERROR, T)
    await kit.back.rerun_from(run.id, "signal:go-1", LATER)
    (again,) = await kit.store.claim({"default": 1}, LATER)
    assert await kit.flow.wait_for_signal(again.id, again.fence, ForSignal(wait_record(), "go"), LATER) == "landed"
    assert (await kit.kit.row(run.id)).waiting_for == "signal:go"
    assert await kit.flow.put_signal(run.id, "go", "1", "key", LATER) == "replayed"
    assert (await kit.kit.row(run.id)).waiting_for == "signal:go"
    assert await kit.flow.put_signal(run.id, "go", "2", "other", LATER) == "sent"
    assert [(step.name, step.output) for step in await kit.store.steps(run.id)] == [("signal:go-1", "2")]


async def test_a_wait_that_was_cancelled_can_be_forgotten(kit: BackKit) -> None:
    run = await kit.recorded("a")
    await kit.flow.wait_for_signal(run.id, run.fence, ForSignal(wait_record(2), "go", LATER, 50), T)
    await kit.store.cancel(run.id, T)
    await kit.back.rerun_from(run.id, "signal:go-2", LATER)
    assert await kit.names(run.id) == ["a"]


# --- forks


@pytest.mark.parametrize("status", STATUSES)
async def test_a_task_in_any_status_is_forked(kit: BackKit, status: str) -> None:
    given = {"queue": "q", "priority": 4, "tags": ("x", "y"), "owner": "ann", "retention_ms": 9000, "timeout_ms": 77}
    task = await in_status(kit.store, status, **given, args=LONG)
    before = await kit.kit.row(task.id)
    kit.bells.take()
    fork_id = await kit.fork(task.id)
    assert kit.bells.take() == [("ready", "q", False)]
    fork = await kit.kit.row(fork_id)
    assert await kit.kit.row(task.id) == before
    assert (fork.status, fork.cause, fork.forked_from, fork.created_at) == ("pending", "enqueue", task.id, LATER)
    for name in ("kind", "queue", "owner", "priority", "max_attempts", "tags", "args"):
        assert getattr(fork, name) == getattr(before, name), name
    assert kit.sql("SELECT DISTINCT timeout_ms, retention_ms FROM tasks") == [(77, 9000)]
    (event,) = await kit.store.events(fork_id, 0, 9)
    assert json.loads(event.data or "") == {"forked_from": task.id}


@pytest.mark.parametrize(("step", "kept"), [(None, ["a", "b", "c"]), ("b", ["a"]), ("a", [])])
async def test_a_fork_has_the_steps_before(kit: BackKit, step: str | None, kept: list[str]) -> None:
    run = await kit.recorded("a", "b", "c")
    fork_id = await kit.fork(run.id, step)
    assert await kit.names(fork_id) == kept
    assert await kit.names(run.id) == ["a", "b", "c"]
    (first,) = await kit.store.claim({"default": 1}, LATER)
    assert (first.id, first.has_steps) == (fork_id, bool(kept))


@pytest.mark.parametrize("text", ['{"url":"y"}', LONG])
async def test_a_fork_takes_other_args(kit: BackKit, text: str) -> None:
    for own in ('{"url":"z"}', LONG):
        run = await claimed(kit.store, args=own)
        assert (await kit.kit.row(await kit.fork(run.id, None, NewArgs(text)))).args == text
        assert (await kit.kit.row(run.id)).args == own


async def test_what_cannot_be_forked_makes_nothing(kit: BackKit) -> None:
    run = await kit.recorded("a")
    before = everything(kit.sql)
    with pytest.raises(UnknownStep):
        await kit.fork(run.id, "b")
    with pytest.raises(TaskNotFound):
        await kit.fork("no-such-id")
    with pytest.raises(UploadNotFound):
        await kit.fork(run.id, None, NewArgs("{}", ("u" * 32,)))
    assert everything(kit.sql) == before


async def test_a_fork_keeps_sleeps_and_asks_again_for_signals(kit: BackKit) -> None:
    run = await claimed(kit.store)
    await kit.flow.sleep(run.id, run.fence, Sleeping(Record("sleep-1", "sleep", str(LATER), 1), LATER, 50), T)
    await kit.store.make_ready(LATER, 9)
    (run,) = await kit.store.claim({"default": 1}, LATER)
    await kit.flow.wait_for_signal(run.id, run.fence, ForSignal(wait_record(2), "go"), LATER)
    steps = await kit.store.steps(await kit.fork(run.id))
    assert [(step.name, step.type, step.output) for step in steps] == [("sleep-1", "sleep", str(LATER))]


async def test_a_fork_has_children_with_their_results_or_makes_its_own(kit: BackKit) -> None:
    run = await claimed(kit.store)
    await kit.kit.spawn(run, 2, name="gathered")
    await kit.kit.spawn(run, 2, name="open")
    await kit.step(run, "none", 3, T, "children", "[]")
    ids = [child.id for child in await kit.kit.run()]
    await kit.flow.wait_for_children(run.id, run.fence, ForChildren(tuple(ids)), T)
    gathered = json.loads(next(step.output for step in await kit.store.steps(run.id) if step.name == "gathered"))
    for child in kit.sql("SELECT id, fence FROM tasks WHERE parent IS NOT NULL"):
        await kit.store.complete(child[0], child[1], "1", LATER)
    (run,) = await kit.store.claim({"default": 1}, LATER)
    outcomes = [{"id": one, "status": "completed", "kind": "k", "result": "1"} for one in gathered]
    await kit.step(run, "gather-1", 4, T, "gather", json.dumps(outcomes))
    await kit.step(run, "last", 5)
    fork_id = await kit.fork(run.id, "last")
    assert sorted(await kit.names(fork_id)) == ["gather-1", "gathered", "none"]
    assert await kit.names(await kit.fork(run.id, "gather-1")) == ["none"]
    # Back before the results, the fork forgets that it had children: they are those of another.
    (forked,) = await kit.store.claim({"default": 1}, LATER)
    assert forked.id == fork_id
    await kit.store.fail(forked.id, forked.fence, ERROR, LATER)
    found = await kit.back.rerun_from(fork_id, "gather-1", LATER)
    assert (found.kinds, found.asked) == ((), ())
    assert await kit.names(fork_id) == ["none"]
    assert (await kit.logs(fork_id))[0]["fields"] == {"steps": ["gathered", "gather-1"]}
