"""run_task: one task to its end, with given outputs and signals."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

import pytest

from quart_app import InvalidArgs, UnknownKind
from quart_app.testing import TaskKit
from tests.testing import shop

APPROVED = {"choice": "approve", "remark": ""}


async def told(failing: Awaitable[Any]) -> str:
    with pytest.raises(AssertionError) as caught:
        await failing
    return str(caught.value)


async def test_the_result_is_of_the_type_of_the_handler(kit: TaskKit, done: list[str]) -> None:
    ran = await kit.run_task("resize", {"name": "a.png", "width": 40})
    assert ran.status == "completed"
    assert ran.result == shop.Picture("a.png fetched", 40)
    assert ran.steps == {"fetch": "a.png fetched", "shrink": {"name": "a.png fetched", "width": 40}}
    assert (ran.error, ran.attempt, ran.ended) == (None, 1, True)
    assert done == ["fetch a.png", "shrink a.png fetched", "left resize"]


async def test_given_steps_are_not_run(kit: TaskKit, done: list[str]) -> None:
    ran = await kit.run_task(shop.resize, {"name": "a.png"}, steps={"fetch": "x.png"})
    assert ran.result == shop.Picture("x.png", 800)
    assert ran.steps["fetch"] == "x.png"
    assert done == ["shrink x.png", "left resize"]


async def test_a_given_output_has_the_type_of_the_function(kit: TaskKit, done: list[str]) -> None:
    ran = await kit.run_task("resize", {"name": "a"}, steps={"fetch": "x", "shrink": {"name": "y", "width": 3}})
    assert ran.result == shop.Picture("y", 3)
    assert done == ["left resize"]


async def test_given_steps_of_a_handler_in_a_thread(kit: TaskKit, done: list[str]) -> None:
    ran = await kit.run_task("resize-in-a-thread", {"name": "a"}, steps={"fetch": "x"})
    assert ran.result == {"name": "x", "width": 100}
    assert done == ["shrink x", "left resize-in-a-thread"]


async def test_a_given_step_is_recorded_and_given_again_to_no_later_attempt(kit: TaskKit, done: list[str]) -> None:
    with shop.failing("resize", 1):
        ran = await kit.run_task("resize", {"name": "a"}, steps={"fetch": "x"})
    assert (ran.attempt, ran.result.name) == (2, "x")
    assert done == ["left resize", "shrink x", "left resize"]


async def test_sleeps_are_skipped_and_signals_are_sent_when_they_are_waited_for(kit: TaskKit, done: list[str]) -> None:
    began = kit.now()
    ran = await kit.run_task("order", {"thing": "sofa", "price": 500}, signals={"approve": APPROVED})
    assert ran.result == {"receipt": "r-500"}
    assert done == ["charge 500 for sofa", "ship sofa"]
    assert kit.now() - began == timedelta(days=1)


async def test_a_signal_without_its_data_times_out(kit: TaskKit) -> None:
    began = kit.now()
    ran = await kit.run_task("order", {"thing": "sofa", "price": 500}, max_attempts=1)
    assert (ran.status, ran.error and ran.error.type) == ("failed", "SignalTimeout")
    assert kit.now() - began == timedelta(days=2)


async def test_an_error_is_in_the_task(kit: TaskKit) -> None:
    refused = {"choice": "decline", "remark": "too dear"}
    ran = await kit.run_task("order", {"thing": "sofa", "price": 500}, signals={"approve": refused})
    assert ran.status == "failed"
    assert ran.result is None
    assert str(ran.error) == "NonRetryable: declined: too dear"
    assert ran.error is not None
    assert (ran.error.attempt, ran.error.retryable) == (1, False)


async def test_it_is_tried_again_until_it_ends(kit: TaskKit) -> None:
    with shop.failing("welcome", 9):
        ran = await kit.run_task("welcome", {"name": "ada"})
    assert (ran.status, ran.attempt) == ("failed", 3)
    with shop.failing("welcome", 2):
        ran = await kit.run_task("welcome", {"name": "ada"})
    assert (ran.status, ran.attempt, ran.result) == ("completed", 3, "sent to ada")


async def test_children_that_it_waits_for_run_and_no_other_task(kit: TaskKit, done: list[str]) -> None:
    await kit.enqueue("welcome", {"name": "other"})
    ran = await kit.run_task("album", {"names": ["a", "b"]})
    assert ran.result == ["a fetched", "b fetched"]
    kit.assert_enqueued("welcome", count=1)
    assert "welcome other" not in done


async def test_limits_and_pauses_do_not_hold_it_back(kit: TaskKit, done: list[str]) -> None:
    await kit.client.post("/queues/mail/pause")
    assert (await kit.run_task("welcome", {"name": "a"})).status == "completed"
    for number in range(4):
        assert (await kit.run_task("calls", {"number": number})).status == "completed"


async def test_a_delayed_one_and_one_with_options(kit: TaskKit) -> None:
    began = kit.now()
    ran = await kit.run_task("welcome", {"name": "a"}, delay=60, priority=3, tags=["x"], queue="other")
    assert (ran.status, ran.priority, ran.tags, ran.queue) == ("completed", 3, ["x"], "other")
    assert kit.now() - began == timedelta(minutes=1)


async def test_a_child_process_a_resource_and_a_task_that_asks_for_another(kit: TaskKit) -> None:
    assert (await kit.run_task("square", {"number": 3})).result[0] == 9
    assert (await kit.run_task("asks-model")).result == 42
    assert (await kit.run_task("asks-another")).result == "sent to bob, it says"


async def test_args_are_checked_as_in_production(kit: TaskKit) -> None:
    with pytest.raises(InvalidArgs, match="width"):
        await kit.run_task("resize", {"name": "a", "width": "wide"})
    with pytest.raises(UnknownKind, match="no kind 'resise'"):
        await kit.run_task("resise")
    with pytest.raises(InvalidArgs, match="/steps: "):
        await kit.run_task("resize", {"name": "a"}, steps={"fetch": object()})
    assert kit.tasks() == []


# --- what fails the test


async def test_a_given_step_that_nobody_asked_for(kit: TaskKit) -> None:
    message = await told(kit.run_task("resize", {"name": "a"}, steps={"fetsh": "x", "fetch": "y"}))
    assert message == (
        "resize was given the step fetsh, which it never asked for; it asked for fetch, shrink (the task completed)"
    )


async def test_a_given_step_of_a_task_that_fails_before(kit: TaskKit) -> None:
    with shop.failing("resize", 2):
        message = await told(kit.run_task("resize", {"name": "a"}, steps={"shrink": {"name": "y", "width": 3}}))
    assert message == (
        "resize was given the step shrink, which it never asked for; it asked for fetch"
        " (the task failed: ConnectionError: resize is down)"
    )


async def test_a_given_signal_that_nobody_waited_for(kit: TaskKit) -> None:
    message = await told(kit.run_task("order", {"thing": "pen", "price": 2}, signals={"approve": APPROVED}))
    assert message == (
        "order was given the signal approve, which it never waited for; it waited for none (the task completed)"
    )


async def test_a_wait_that_never_ends(kit: TaskKit) -> None:
    message = await told(kit.run_task("two-signals", signals={"first": 1, "third": 3}))
    assert message == "two-signals never ends: it waits for the signal 'second', given with no such signal"
    assert (await kit.get(kit.tasks("two-signals")[0].id)).waiting_for == "signal:second"


async def test_a_child_that_never_ends(kit: TaskKit) -> None:
    message = await told(kit.run_task("family", signals={"first": 1}))
    assert message == "family never ends: its child of two-signals waits for the signal 'first'"


async def test_the_kit_works_on_after_such_a_failure(kit: TaskKit) -> None:
    await told(kit.run_task("two-signals"))
    assert (await kit.run_task("welcome", {"name": "a"})).status == "completed"
    assert await kit.drain() == 0
