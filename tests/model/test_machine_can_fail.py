"""The machine is a real check: the same short history passes on the true statements and fails on broken ones."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import pytest

pytest.importorskip("hypothesis", reason="pip install -r requirements-dev.txt brings hypothesis")

from quart_app.clock import Clock
from quart_app.core import lifecycle
from quart_app.core.errors import Draining
from quart_app.core.lifecycle import Outcome
from quart_app.core.retry import Backoff
from quart_app.core.task import Claimed, Enqueued
from quart_app.core.task_request import TaskRequest
from quart_app.engine.attempt import Runner
from quart_app.engine.upkeep.recovery import Recovery
from quart_app.service import tasks
from quart_app.service.tasks import TaskService
from quart_app.store import statements
from quart_app.store.statements import Statement
from tests.model.machine import TaskMachine

Event = tuple[object, ...]

FENCE = re.compile(r"AND (tasks|t)\.fence = value->>'fence'")
# Two runs of one task: the first lost its claim to the second, and is the first to be picked.
ZOMBIE: list[Event] = [
    ("create_with", {"attempts": 3}),
    ("claim_all", 1),
    ("crash_but_live_on",),
    ("recover",),
    ("let_time_pass_and_poll", 1),
    ("claim_all", 1),
]
# statement that loses its fence -> what the zombie does that would get through
WRITES: dict[str, Event] = {
    "record_step": ("step", 0, "a"),
    "put_event": ("progress_and_log", 0, 1),
    "complete": ("complete", 0),
    "retry": ("fail", 0, "plain"),
    "fail": ("fail", 0, "final"),
    "release": ("race", 0, ("release", "crash")),
    "end_cancelled": ("race", 0, ("end_cancelled", "crash")),
    "crash": ("race", 0, ("crash", "release")),
}


def play(events: list[Event]) -> None:
    """A history without hypothesis; the invariants are checked after each event, as it would do."""
    machine = TaskMachine()
    try:
        machine.begin(tasks=[])
        for event in events:
            machine.happens(event)
            machine.the_table_is_as_the_model_says()
            machine.every_recorded_step_is_there_once_and_unchanged()
            machine.results_and_errors_are_those_of_the_end()
            machine.it_is_known_who_ran_beside_whom_at_a_crash()
            machine.the_tables_are_sound()
    finally:
        machine.teardown()


def break_statement(monkeypatch: pytest.MonkeyPatch, name: str, what: str | re.Pattern[str], instead: str) -> None:
    texts: dict[str, Statement] = statements.load("sqlite")
    broken, times = re.subn(what, instead, texts[name].text)
    assert times == 1, f"{name} does not hold {what!r} once"
    texts[name] = msgspec.structs.replace(texts[name], text=broken)
    monkeypatch.setattr(statements, "load", lambda dialect: texts)


def test_a_new_row_of_crashes_leaves_the_groups_of_the_one_before_also_beside_a_task_that_is_to_blame() -> None:
    crash, crash_again, crash_later, crash_at_last = (
        ("die_and_go_on", False, seconds) for seconds in (0.1, 1.5, 6, 0.1)
    )
    create: Event = ("create_with", {"attempts": 9})
    beside_another: list[Event] = [create, create, ("claim_all", 2), crash, ("complete", 1)]
    alone: list[Event] = [create, ("claim_all", 1), ("fail", 0, "retry"), crash, crash_again, crash_later]
    play([*beside_another, *alone, crash_at_last])


@pytest.mark.parametrize("name", WRITES)
def test_a_zombie_is_refused_by_the_true_statements(name: str) -> None:
    play([*ZOMBIE, WRITES[name]])


@pytest.mark.parametrize("name", WRITES)
def test_a_zombie_that_a_lost_fence_lets_through_is_caught(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    break_statement(monkeypatch, name, FENCE, "")
    with pytest.raises(AssertionError):
        play([*ZOMBIE, WRITES[name]])


# A fault in a statement, and a short history that shows it.
FAULTS: dict[str, tuple[str, str, str, list[Event]]] = {
    "a claim that does not count": (
        "claim_plain",
        r"attempt = attempt \+ 1",
        "attempt = attempt",
        [("create_with", {}), ("claim_all", 1)],
    ),
    "a claim under the old fence": (
        "claim_plain",
        r"fence = fence \+ 1",
        "fence = max(fence, 1)",
        [*ZOMBIE],
    ),
    "a crash that charges an attempt": (
        "crash",
        r"max\(attempt - 1, 0\)",
        "attempt",
        [*ZOMBIE],
    ),
    "a release that charges an attempt": (
        "release",
        "attempt = attempt - 1",
        "attempt = attempt",
        [("create_with", {}), ("claim_all", 1), ("stop_gracefully",)],
    ),
    "a rerun that keeps the old attempts": (
        "rerun",
        "attempt = 0",
        "attempt = attempt",
        [("create_with", {}), ("claim_all", 1), ("fail", 0, "final"), ("rerun", 0, False)],
    ),
    "a restart that keeps the steps": (
        "forget_steps",
        "DELETE FROM steps WHERE",
        "DELETE FROM steps WHERE 0 AND",
        [("create_with", {}), ("claim_all", 1), ("step", 0, "a"), ("fail", 0, "final"), ("rerun", 0, True)],
    ),
    "a cancel that is forgotten by a retry": (
        "cancel_instead",
        "WHERE tasks.id",
        "WHERE 0 AND tasks.id",
        [("create_with", {"attempts": 3}), ("claim_all", 1), ("cancel", 0, False), ("fail", 0, "plain")],
    ),
    "suspects among the others": (
        "claim_plain",
        r"INDEXED BY tasks_ready([^)]*?)AND crashes < 2",
        r"\1",
        [
            *ZOMBIE,
            ("crash_but_live_on",),
            ("recover",),
            ("let_time_pass_and_poll", 1),
            ("create_with", {}),
            ("claim_all", 2),
        ],
    ),
}


def test_the_faults_are_in_the_statements_and_not_in_the_histories() -> None:
    for _, _, _, history in FAULTS.values():
        play(history)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_statement_is_caught(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    name, what, instead, history = FAULTS[fault]
    break_statement(monkeypatch, name, what, instead)
    with pytest.raises(AssertionError):
        play(history)


# A fault in the code around the statements, as it once was: what stood in its place, and a history that shows it.


enqueue = TaskService.enqueue


async def refuse_when_draining(service: TaskService, requests: Sequence[TaskRequest]) -> list[Enqueued]:
    if not tasks.accepting:
        raise Draining("the server is stopping")
    return await enqueue(tasks, requests)


async def ask_once(call: Callable[[], Awaitable[Any]], clock: Clock) -> Any:
    return await call()


async def look_away(rescuer: Recovery, now: int) -> None:
    pass


async def give_up(runner: Runner, task: Claimed, outcome: Outcome, seconds: float | None) -> None:
    decision = lifecycle.after_run(task, outcome, runner._clock.now(), Backoff(), lambda: 0.5)
    await runner._write(task, decision)


CODE: dict[str, tuple[object, str, object, list[Event]]] = {
    "a drain that hits the tasks that run on": (
        TaskService,
        "enqueue",
        refuse_when_draining,
        [("create_with", {}), ("claim_all", 1), ("drain_begins",), ("enqueue_within", 0)],
    ),
    "storage trouble that fails a task": (
        tasks,
        "retry_store_call",
        ask_once,
        [("create_with", {}), ("claim_all", 1), ("in_trouble", 0, "enqueue")],
    ),
    "an end that is not recorded": (
        Runner,
        "_record",
        give_up,
        [("create_with", {}), ("claim_all", 1), ("end_refused", 0, "fail", ("retry",))],
    ),
    "a row that stays processing": (
        Recovery,
        "give_back_strays",
        look_away,
        [("create_with", {}), ("claim_all", 1), ("end_refused", 0, "fail", ("retry", "fail")), ("look_for_strays",)],
    ),
}


def test_the_faults_are_in_the_code_and_not_in_the_histories() -> None:
    for _, _, _, history in CODE.values():
        play(history)


@pytest.mark.parametrize("fault", CODE)
def test_a_fault_in_the_code_is_caught(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    where, name, instead, history = CODE[fault]
    monkeypatch.setattr(where, name, instead)
    with pytest.raises(AssertionError):
        play(history)
