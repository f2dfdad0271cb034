"""crash_at: the service dies at a place, and starts again on the same store."""

from __future__ import annotations

import os

import pytest

from quart_app import UnknownKind
from quart_app.testing import TaskKit
from tests.testing import shop

FETCHED, SHRUNK, LEFT = "fetch a", "shrink a fetched", "left resize"


@pytest.mark.parametrize(
    ("place", "effects"),
    [
        ("before step fetch", [LEFT, FETCHED, SHRUNK, LEFT]),
        ("in step fetch", [FETCHED, LEFT, FETCHED, SHRUNK, LEFT]),
        ("after step fetch", [FETCHED, LEFT, SHRUNK, LEFT]),
        ("before step shrink", [FETCHED, LEFT, SHRUNK, LEFT]),
        ("in step shrink", [FETCHED, SHRUNK, LEFT, SHRUNK, LEFT]),
        ("after step shrink", [FETCHED, SHRUNK, LEFT, LEFT]),
        ("before end", [FETCHED, SHRUNK, LEFT, LEFT]),
    ],
)
@pytest.mark.parametrize("thread", [False, True], ids=["coroutine", "thread"])
async def test_it_goes_on_from_its_last_recorded_step(
    kit: TaskKit, done: list[str], place: str, effects: list[str], thread: bool
) -> None:
    kind = "resize-in-a-thread" if thread else "resize"
    task = await kit.enqueue(kind, {"name": "a"})
    await kit.crash_at(place)
    assert await kit.drain() == 2
    # The end of an around is what a real crash would not run; here it tells that the handler was called twice.
    assert [one.removesuffix("-in-a-thread") for one in done] == effects
    ended = await kit.get(task)
    assert (ended.status, ended.attempt) == ("completed", 1)
    assert ended.steps["fetch"] == "a fetched"
    assert (await task.result()) is not None  # by the handle from before the crash


async def test_it_can_crash_at_one_place_again(kit: TaskKit, done: list[str]) -> None:
    task = await kit.enqueue("welcome", {"name": "a"})
    await kit.crash_at("before end")
    await kit.crash_at("before end", kind="welcome")
    assert await kit.drain() == 3
    assert done == ["welcome a"] * 3
    assert (await kit.get(task)).status == "completed"
    history = await (await kit.client.get(f"/tasks/{task.id}/history")).get_json()
    causes = [event["cause"] for event in history["events"]]
    assert causes == ["enqueue", "claim", "crash", "claim", "crash", "claim", "complete"]


async def test_a_wait_is_no_end(kit: TaskKit, done: list[str]) -> None:
    await kit.crash_at("before end")
    await kit.enqueue("sleepy", {"seconds": 60})
    assert await kit.drain() == 1
    assert await kit.advance("1 minute") == 2
    assert done == ["slept 60", "slept 60"]


async def test_each_crash_comes_once_in_the_order_of_the_handler(kit: TaskKit, done: list[str]) -> None:
    for place in ("in step shrink", "in step fetch", "in step fetch"):
        await kit.crash_at(place)
    assert (await kit.run_task("resize", {"name": "a"})).status == "completed"
    assert done == [FETCHED, LEFT, FETCHED, LEFT, FETCHED, SHRUNK, LEFT, SHRUNK, LEFT]


async def test_a_suspect_is_resumed_after_its_pause(kit: TaskKit) -> None:
    for _ in range(3):
        await kit.crash_at("before step fetch")
    task = await kit.enqueue("resize", {"name": "a"})
    assert await kit.drain() == 3
    assert (await kit.get(task)).crashes == 3
    await kit.advance("1 second")
    assert (await kit.get(task)).status == "completed"


async def test_a_suspect_in_a_drain_of_its_queue_alone(kit: TaskKit) -> None:
    for _ in range(2):
        await kit.crash_at("before step fetch")
    task = await kit.enqueue("resize", {"name": "a"})
    assert await kit.drain(queue="images") == 3
    assert (await kit.get(task)).status == "completed"


class TestFewCrashes:
    @pytest.fixture
    def kit_settings(self) -> dict[str, int]:
        return {"max_crashes": 2}

    async def test_a_task_that_kills_again_and_again_is_poisoned(self, kit: TaskKit) -> None:
        for _ in range(2):
            await kit.crash_at("before step fetch")
        ran = await kit.run_task("resize", {"name": "a"})
        assert (ran.status, ran.error and ran.error.type) == ("failed", "poisoned")


async def test_the_crash_of_one_kind_leaves_another_alone(kit: TaskKit, done: list[str]) -> None:
    await kit.crash_at("before end", kind=shop.resize)
    welcomed = await kit.enqueue("welcome", {"name": "b"})
    await kit.enqueue("resize", {"name": "a"})
    await kit.drain()
    assert done.count("welcome b") == 1
    assert (await kit.get(welcomed)).status == "completed"
    assert done.count(LEFT) == 2


async def test_a_parent_and_its_children_survive(kit: TaskKit, done: list[str]) -> None:
    await kit.crash_at("after step fetch", kind="resize")
    await kit.crash_at("before end", kind="album")
    ran = await kit.run_task("album", {"names": ["a", "b"]})
    assert ran.result == ["a fetched", "b fetched"]
    assert done.count("fetch a") == done.count("fetch b") == 1
    assert len(kit.tasks("resize")) == 2


@pytest.mark.parametrize("drain", [True, False], ids=["drain", "run_task"])
async def test_a_crash_while_other_tasks_are_claimed(
    kit: TaskKit, done: list[str], monkeypatch: pytest.MonkeyPatch, drain: bool
) -> None:
    monkeypatch.setattr("quart_app.testing.life.PATIENCE", 0.01)  # so that others start beside the slow one
    for number in range(100):
        await kit.enqueue("welcome", {"name": str(number)})
    await kit.crash_at("before end", kind="slow")
    if drain:
        await kit.enqueue("slow", {"seconds": 0.05}, priority=9)
    else:
        assert (await kit.run_task("slow", {"seconds": 0.05})).status == "completed"
    await kit.drain()
    assert done.count("begins") == done.count("ends") == 2
    assert {task.status for task in kit.tasks()} == {"completed"}


async def test_a_child_process_is_gone_and_its_task_runs_again(kit: TaskKit) -> None:
    await kit.crash_at("before end", kind="square")
    square = await kit.enqueue("square", {"number": 4})
    assert await kit.drain() == 2
    number, pid = await square.result()
    assert number == 16
    await kit.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_given_steps_and_signals_outlive_a_crash(kit: TaskKit, done: list[str]) -> None:
    await kit.crash_at("in step charge")
    ran = await kit.run_task(
        "order", {"thing": "sofa", "price": 500}, steps={"charge": "r-1"}, signals={"approve": {"choice": "approve"}}
    )
    assert ran.result == {"receipt": "r-1"}
    assert done == ["ship sofa"]


async def test_what_a_crashed_handler_does_after_all_is_not_on_record(kit: TaskKit, done: list[str]) -> None:
    await kit.crash_at("in step first")
    ran = await kit.run_task("stubborn")
    assert ran.status == "completed"
    # The first run could not be stopped from going on; nothing of it counts: both steps run again.
    assert done[-3:] == ["fetch a", "fetch b", "left stubborn"]


async def test_a_sleeper_a_delay_and_a_signal_outlive_a_crash_between_runs(kit: TaskKit, done: list[str]) -> None:
    order = await kit.enqueue("order", {"thing": "sofa", "price": 500})
    await kit.enqueue("welcome", {"name": "b"}, delay=60)
    await kit.drain()
    await kit.crash()
    await kit.signal(order, "approve", {"choice": "approve"})
    await kit.crash()
    await kit.drain()
    await kit.crash()
    await shop.welcome.enqueue(name="now")  # the app's own enqueue goes to the new life
    await kit.advance("2 days")
    assert sorted(done) == ["charge 500 for sofa", "digest", "digest", "ship sofa", "welcome b", "welcome now"]
    assert (await kit.get(order)).crashes == 0


async def test_a_resource_is_opened_again(kit: TaskKit, done: list[str]) -> None:
    await kit.crash_at("before end")
    assert (await kit.run_task("asks-model")).result == 42
    assert done == ["open", "close", "open"]


async def test_the_client_goes_to_the_new_life(kit: TaskKit) -> None:
    task = await kit.enqueue("welcome", {"name": "a"})
    before = kit.client
    await kit.crash()
    assert kit.client is before
    answer = await kit.client.get(f"/tasks/{task.id}")
    assert (await answer.get_json())["status"] == "pending"


@pytest.mark.parametrize("wrong", ["", "step fetch", "during step fetch", "after end", "before step ", "in step", None])
async def test_a_place_that_is_none_is_one_line(kit: TaskKit, wrong: str) -> None:
    with pytest.raises(ValueError, match='a crash is "before step NAME", "in step NAME"') as caught:
        await kit.crash_at(wrong)
    assert "\n" not in str(caught.value)


async def test_a_kind_that_does_not_exist(kit: TaskKit) -> None:
    with pytest.raises(UnknownKind):
        await kit.crash_at("before end", kind="resise")


async def test_a_crash_that_never_came_fails() -> None:
    with pytest.raises(AssertionError) as caught:
        async with TaskKit([shop]) as kit:
            await kit.crash_at("in step fetsh")
            await kit.crash_at("before end", kind="album")
            await kit.run_task("resize", {"name": "a"})
    assert str(caught.value) == (
        "a crash never came: in step fetsh, before end of album; the steps that ran were resize: fetch, resize: shrink"
    )


async def test_a_crash_that_never_came_because_nothing_ran() -> None:
    with pytest.raises(AssertionError, match="a crash never came: before end; no step ran"):
        async with TaskKit([shop]) as kit:
            await kit.crash_at("before end")


async def test_another_error_is_not_hidden_by_a_crash_that_never_came() -> None:
    with pytest.raises(LookupError, match="mine"):
        async with TaskKit([shop]) as kit:
            await kit.crash_at("before end")
            raise LookupError("mine")
