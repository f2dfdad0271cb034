"""What is enqueued, and what the kit tells when something else is."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import pytest

from quart_app import DuplicateTask, InvalidArgs, TaskNotFound, UnknownKind
from quart_app.testing import TaskKit
from tests.testing import shop


def told(failing: Callable[[], None]) -> str:
    """What the assertion says that fails."""
    with pytest.raises(AssertionError) as caught:
        failing()
    return str(caught.value)


async def test_the_own_code_of_an_app_enqueues_and_nothing_runs(kit: TaskKit, done: list[str]) -> None:
    await shop.sign_up("ada")
    kit.assert_enqueued("welcome", args={"name": "ada"}, queue="mail", count=1)
    kit.assert_enqueued(shop.welcome)
    kit.assert_enqueued("remind", args={"plan": {"name": "free"}}, tags=["trial"], priority=5)
    kit.refute_enqueued("welcome", args={"name": "bob"})
    kit.refute_enqueued("digest")
    assert [task.kind for task in kit.all_enqueued()] == ["welcome", "remind"]
    assert done == []


async def test_a_task_is_shown_with_the_names_of_the_api(kit: TaskKit) -> None:
    handle = await kit.enqueue("remind", {"name": "ada", "plan": {"name": "pro"}}, delay=60, tags=["a"], priority=-3)
    (found,) = kit.all_enqueued(shop.remind)
    assert found == await kit.get(handle) == await kit.get(handle.id)
    assert (found.id, found.kind, found.status, found.queue) == (handle.id, "remind", "pending", "default")
    assert (found.args, found.tags, found.priority) == ({"name": "ada", "plan": {"name": "pro"}}, ["a"], -3)
    assert found.run_at - kit.now() == datetime.timedelta(minutes=1)
    assert (found.created_at, found.attempt, found.max_attempts) == (kit.now(), 0, 1)
    assert (found.result, found.error, found.steps, found.ended) == (None, None, {}, False)


async def test_tasks_come_in_the_order_of_their_making_whatever_their_time(kit: TaskKit) -> None:
    for name, delay in (("a", 30), ("b", 0), ("c", 10)):
        await kit.enqueue("welcome", {"name": name}, delay=delay)
    assert [task.args["name"] for task in kit.all_enqueued("welcome")] == ["a", "b", "c"]


async def test_args_are_checked_as_in_production(kit: TaskKit) -> None:
    with pytest.raises(InvalidArgs, match="nam"):
        await kit.enqueue("welcome", {"nam": "ada"})
    with pytest.raises(InvalidArgs, match="delai"):
        await kit.enqueue("welcome", {"name": "ada"}, delai=3)
    with pytest.raises(UnknownKind, match=r"no kind 'welcom' is registered; there are: add, album, .*welcome"):
        await kit.enqueue("welcom", {"name": "ada"})
    assert kit.all_enqueued() == []


async def test_a_unique_task_is_made_once_as_in_production(kit: TaskKit) -> None:
    first = await kit.enqueue("once-a-name", {"name": "ada"})
    assert (await kit.enqueue("once-a-name", {"name": "ada"})).id == first.id
    with pytest.raises(DuplicateTask):
        await kit.enqueue("once-a-name", {"name": "ada"}, on_duplicate="reject")
    kit.assert_enqueued("once-a-name", count=1)


async def test_what_has_run_is_not_enqueued_any_more_and_is_still_there(kit: TaskKit) -> None:
    await kit.enqueue("welcome", {"name": "ada"})
    await kit.drain()
    kit.refute_enqueued("welcome")
    assert [(task.kind, task.status) for task in kit.tasks("welcome")] == [("welcome", "completed")]


async def test_an_unknown_task_is_not_found(kit: TaskKit) -> None:
    with pytest.raises(TaskNotFound):
        await kit.get("01a1fc91-bf65-7cf5-9e74-aba76276041c")


# --- an assertion that fails says what is there


async def test_a_missing_task_is_told_with_what_is_there(kit: TaskKit) -> None:
    await shop.sign_up("ada", plan="pro")
    await kit.drain()
    await kit.enqueue("welcome", {"name": "bob"})
    assert told(lambda: kit.assert_enqueued("welcome", args={"name": "eve"}, queue="mail")) == (
        'no task of welcome with args {"name":"eve"} with queue "mail" is enqueued; there are:\n'
        '  remind {"name":"ada","plan":{"name":"pro"}}, priority 5, tags trial, pending, due in 259200 s\n'
        '  welcome {"name":"bob"}, queue mail, pending, due\n'
        '  welcome {"name":"ada"}, queue mail, completed'
    )


async def test_nothing_at_all_is_told_so(kit: TaskKit) -> None:
    told_of = told(lambda: kit.assert_enqueued(shop.welcome))
    assert told_of == "no task of welcome is enqueued; there are no tasks at all"


async def test_a_wrong_number_is_told(kit: TaskKit) -> None:
    for _ in range(2):
        await kit.enqueue("welcome", {"name": "ada"})
    kit.assert_enqueued("welcome", count=2)
    kit.assert_enqueued("welcome")
    kit.assert_enqueued("digest", count=0)
    assert told(lambda: kit.assert_enqueued("welcome", count=1)).startswith(
        "2 tasks of welcome enqueued, not 1; there are:\n  welcome"
    )
    assert told(lambda: kit.assert_enqueued("welcome", args={"name": "bob"}, count=1)).startswith(
        '0 tasks of welcome with args {"name":"bob"} enqueued, not 1; there are:'
    )


async def test_a_task_that_should_not_be_there_is_told(kit: TaskKit) -> None:
    await kit.enqueue("welcome", {"name": "ada"})
    assert told(lambda: kit.refute_enqueued("welcome", args={"name": "ada"})) == (
        '1 task of welcome with args {"name":"ada"} enqueued; there are:\n'
        '  welcome {"name":"ada"}, queue mail, pending, due'
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"args": {"name": "bob"}},
        {"args": {"other": None}},
        {"args": {"plan": {"name": "pro"}}},
        {"args": {"plan": {}, "name": ["ada"]}},
        {"queue": "mail"},
        {"priority": 0},
        {"tags": ["trial", "gold"]},
    ],
    ids=str,
)
async def test_each_thing_that_differs_counts(kit: TaskKit, wrong: dict[str, object]) -> None:
    await shop.sign_up("ada")
    kit.assert_enqueued("remind", args={"plan": {}}, queue="default", priority=5, tags=[])
    kit.refute_enqueued("remind", **wrong)  # type: ignore[arg-type]
    assert "there are:\n  welcome" in told(lambda: kit.assert_enqueued("remind", **wrong))  # type: ignore[arg-type]


async def test_a_true_is_no_one(kit: TaskKit) -> None:
    await kit.enqueue("resize", {"name": "a", "width": 1})
    kit.assert_enqueued("resize", args={"width": 1})
    kit.assert_enqueued("resize", args={"width": 1.0})
    kit.refute_enqueued("resize", args={"width": True})


async def test_a_kind_that_does_not_exist_is_no_reason_to_pass(kit: TaskKit) -> None:
    for ask in (kit.refute_enqueued, kit.assert_enqueued, kit.all_enqueued):
        with pytest.raises(UnknownKind, match="no kind 'welcom' is registered"):
            ask("welcom")


async def test_what_a_task_waits_for_is_told(kit: TaskKit) -> None:
    await kit.enqueue("two-signals")
    with shop.failing("welcome", 1):
        await kit.enqueue("welcome", {"name": "ada"})
        await kit.drain()
    message = told(lambda: kit.assert_enqueued("digest"))
    assert "two-signals {}, pending, waiting for signal:first" in message
    assert "queue mail, pending (ConnectionError: welcome is down), due in " in message


async def test_many_tasks_are_told_in_short(kit: TaskKit) -> None:
    for number in range(30):
        await kit.enqueue("welcome", {"name": f"{number}" + 400 * "x"})
    message = told(lambda: kit.assert_enqueued("digest"))
    assert message.count("\n") == 21
    assert message.endswith("… and 10 more")
    assert max(map(len, message.splitlines())) < 400
