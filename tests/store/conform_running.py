"""Every write of a run: what it does under the fence it holds, and that it does nothing under any other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import pytest

from quart_app.core.task import STATUSES, TaskError
from quart_app.store.protocols.tasks import EndAnswer, Store
from tests.store.kit import ERROR, Bells, Sql, T, claimed, in_status
from tests.store.soundness import everything

Write = Callable[[Store, str, int], Awaitable[bool | EndAnswer]]
LATER = T + 50

# Every verb that names a fence.
WRITES: dict[str, Write] = {
    "record_step": lambda store, task, fence: store.record_step(task, fence, "s", "1", 1, LATER, True),
    "progress": lambda store, task, fence: store.progress(task, fence, 1, 2, "m", LATER),
    "log": lambda store, task, fence: store.log(task, fence, '{"message":"m"}', LATER),
    "complete": lambda store, task, fence: store.complete(task, fence, '{"long":"' + "x" * 500 + '"}', LATER),
    "complete, short": lambda store, task, fence: store.complete(task, fence, "1", LATER),
    "retry": lambda store, task, fence: store.retry(task, fence, ERROR, LATER, LATER),
    "fail": lambda store, task, fence: store.fail(task, fence, ERROR, LATER),
    "suspend": lambda store, task, fence: store.suspend(task, fence, "kind:thumbnail", LATER),
    "release": lambda store, task, fence: store.release(task, fence, "default", LATER),
    "end_cancelled": lambda store, task, fence: store.end_cancelled(task, fence, LATER),
    "crash": lambda store, task, fence: store.crash(task, fence, None, LATER),
    "crash_out": lambda store, task, fence: store.crash_out(task, fence, ERROR, LATER),
}


async def zombie_writes(store: Store, sql: Sql, verbs: Iterable[str] = WRITES) -> dict[str, str]:
    """Let a run that lost its claim write whatever it could; what got through, by verb.

    The task is held by a newer run meanwhile, so that status and id alone do not give the zombie away.
    """
    old = await claimed(store)
    await store.crash(old.id, old.fence, None, T)
    await store.make_ready(T, 9)
    (new,) = await store.claim({"default": 1}, T)
    assert (new.id, new.fence) == (old.id, old.fence + 1)
    through = {}
    for name in verbs:
        before = everything(sql)
        try:
            landed = await WRITES[name](store, old.id, old.fence)
        except Exception as error:
            through[name] = f"raised {error!r}"
            continue
        if landed or everything(sql) != before:
            through[name] = f"answered {landed}"
    return through


async def unasked_cancels(store: Store) -> list[str]:
    """Ends that carry out a cancel although it was asked of another run, or of nobody."""
    other = await claimed(store, queue="other")
    if await store.release(other.id, other.fence, other.queue, T) != "landed":
        return ["of nobody"]
    found = []
    zombie = await claimed(store)
    await store.crash(zombie.id, zombie.fence, None, T)
    (newer,) = await store.claim({"default": 1}, T)
    await store.cancel(newer.id, T)
    if await store.fail(zombie.id, zombie.fence, ERROR, T):
        found.append("of a newer run")
    await store.complete(newer.id, newer.fence, "1", T)
    try:
        if await store.fail(newer.id, newer.fence, ERROR, T):
            found.append("of a run that has completed")
    except Exception as error:
        found.append(f"of a run that has completed: {error}")
    return found


class Running:
    @pytest.mark.parametrize("verb", WRITES)
    async def test_the_holder_of_the_fence_may_write_and_watchers_hear_of_it(
        self, store: Store, bells: Bells, verb: str
    ) -> None:
        task = await claimed(store)
        bells.take()
        assert await WRITES[verb](store, task.id, task.fence) in (True, "landed")
        assert ("changed", task.id) in bells.take()

    @pytest.mark.parametrize("verb", WRITES)
    @pytest.mark.parametrize("off", [-1, 1, 1000])
    async def test_another_fence_changes_nothing_and_says_so(
        self, store: Store, bells: Bells, sql: Sql, verb: str, off: int
    ) -> None:
        task = await claimed(store)
        bells.take()
        before = everything(sql)
        assert not await WRITES[verb](store, task.id, task.fence + off)
        assert everything(sql) == before
        assert bells.take() == []

    @pytest.mark.parametrize("verb", WRITES)
    @pytest.mark.parametrize("status", [status for status in STATUSES if status != "processing"])
    async def test_a_run_that_is_over_writes_nothing_even_under_the_last_fence(
        self, store: Store, sql: Sql, verb: str, status: str
    ) -> None:
        task = await in_status(store, "processing" if status == "pending" else status)
        if status == "pending":
            await store.retry(task.id, task.fence, ERROR, T, T)
        before = everything(sql)
        assert not await WRITES[verb](store, task.id, task.fence)
        assert everything(sql) == before

    @pytest.mark.parametrize("verb", WRITES)
    async def test_an_unknown_task_takes_no_write(self, store: Store, sql: Sql, verb: str) -> None:
        before = everything(sql)
        assert not await WRITES[verb](store, "no-such-id", 1)
        assert everything(sql) == before

    async def test_a_cancel_wins_over_the_end_of_the_run_that_it_was_asked_of_alone(self, store: Store) -> None:
        assert await unasked_cancels(store) == []

    async def test_a_run_that_lost_its_claim_to_a_newer_one_writes_nothing(self, store: Store, sql: Sql) -> None:
        assert await zombie_writes(store, sql) == {}

    # --- what lands

    @pytest.mark.parametrize(
        "result", ["null", "1", '"a\\"b"', '{"n":' + "9" * 1000 + "}", '"' + "é😀\u2028" * 3000 + '"', '"\\\\u0000"']
    )
    async def test_a_completed_task_has_its_result_to_the_letter(self, store: Store, result: str) -> None:
        task = await claimed(store)
        assert await store.complete(task.id, task.fence, result, T + 5)
        row = await store.get(task.id)
        assert row is not None
        assert (row.status, row.cause, row.completed_at, row.error_type) == ("completed", "complete", T + 5, None)
        assert (row.result or "null") == result

    async def test_a_retried_task_waits_with_its_error_on_record(self, store: Store, bells: Bells) -> None:
        task = await claimed(store)
        assert await store.retry(task.id, task.fence, ERROR, T + 90, T + 5)
        assert ("due", T + 90) in bells.take()
        row = await store.get(task.id)
        assert row is not None
        assert (row.status, row.cause, row.run_at, row.attempt) == ("pending", "retry", T + 90, 1)
        assert (row.error_type, row.error_message, row.error_attempt, row.error_retryable) == ("ValueError", "no", 1, 1)
        (error,) = await store.errors(task.id, 9)
        assert (error.fence, error.attempt, error.at, error.traceback) == (1, 1, T + 5, "Traceback …")
        assert await store.claim({"default": 9}, T + 89) == []
        assert await store.make_ready(T + 89, 9) == 0
        assert await store.make_ready(T + 90, 9) == 1

    async def test_a_failed_task_shows_its_last_error_and_keeps_the_others(self, store: Store) -> None:
        task = await claimed(store)
        await store.retry(task.id, task.fence, ERROR, T, T)
        await store.make_ready(T, 9)
        (task,) = await store.claim({"default": 9}, T)
        last = TaskError(type="KeyError", message="\ufffd'x'\n", retryable=False)
        assert await store.fail(task.id, task.fence, last, T + 5)
        row = await store.get(task.id)
        assert row is not None
        assert (row.status, row.cause, row.completed_at, row.result) == ("failed", "fail", T + 5, None)
        assert (row.error_type, row.error_message, row.error_attempt, row.error_retryable) == (
            "KeyError",
            "\ufffd'x'\n",
            2,
            0,
        )
        assert [(error.attempt, error.type) for error in await store.errors(task.id, 9)] == [
            (1, "ValueError"),
            (2, "KeyError"),
        ]

    async def test_a_task_that_completes_in_the_end_shows_no_error(self, store: Store) -> None:
        task = await claimed(store)
        await store.retry(task.id, task.fence, ERROR, T, T)
        await store.make_ready(T, 9)
        (task,) = await store.claim({"default": 9}, T)
        await store.complete(task.id, task.fence, "1", T)
        row = await store.get(task.id)
        assert row is not None
        assert (row.error_type, row.result) == (None, "1")
        assert len(await store.errors(task.id, 9)) == 1, "the history keeps it"

    async def test_a_released_task_is_ready_at_once_and_charged_nothing(self, store: Store, bells: Bells) -> None:
        task = await claimed(store)
        bells.take()
        assert await store.release(task.id, task.fence, task.queue, T + 5)
        assert ("ready", "default", False) in bells.take()
        row = await store.get(task.id)
        assert row is not None
        assert (row.status, row.cause, row.attempt, row.crashes, row.error_type) == ("pending", "release", 0, 0, None)
        (again,) = await store.claim({"default": 9}, T + 5)
        assert (again.id, again.attempt, again.fence) == (task.id, 1, 2)

    async def test_a_suspended_task_waits_for_what_it_names_and_for_nothing_else(self, store: Store) -> None:
        task = await claimed(store)
        assert await store.suspend(task.id, task.fence, "kind:thumbnail", T + 5)
        row = await store.get(task.id)
        assert row is not None
        assert (row.status, row.cause, row.attempt, row.waiting_for) == ("pending", "suspend", 0, "kind:thumbnail")
        assert await store.make_ready(T + 10**9, 9) == 0
        assert await store.claim({"default": 9}, T + 10**9) == []

    async def test_an_acknowledged_cancel_ends_the_task(self, store: Store) -> None:
        task = await claimed(store)
        assert await store.end_cancelled(task.id, task.fence, T + 5)
        row = await store.get(task.id)
        assert row is not None
        assert (row.status, row.cause, row.completed_at) == ("cancelled", "cancel", T + 5)

    @pytest.mark.parametrize("verb", ["complete", "fail", "end_cancelled", "crash_out"])
    async def test_an_end_is_never_dated_before_the_start_when_the_clock_steps_back(
        self, store: Store, verb: str
    ) -> None:
        task = await claimed(store, now=LATER + 7_200_000)
        assert await WRITES[verb](store, task.id, task.fence)
        row = await store.get(task.id)
        assert row is not None
        assert row.completed_at == row.started_at == LATER + 7_200_000
