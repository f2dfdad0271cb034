"""Where a task stands: what is said before it starts, against when it starts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from quart_app.core.explanation import MANY, Coming, Place, Standing, explain
from quart_app.core.task import Task
from quart_app.store import statements
from quart_app.store.explain import _Reader
from tests.store.lane_kit import LaneStore

TEXTS = {name: statement.text for name, statement in statements.load("sqlite").items()}
FREE = Place(8, 8, False)
COLUMNS = ("seq", "id", "kind", "queue", "owner", "status", "cause", "priority", "run_at", "attempt", "max_attempts")


@pytest.fixture
def store() -> Iterator[LaneStore]:
    made = LaneStore(slots=8)
    yield made
    made.close()


def _reader(store: LaneStore) -> _Reader:
    def run(name: str, params: Any) -> list[tuple[Any, ...]]:
        return store._connection.execute(TEXTS[name], params).fetchall()

    return _Reader(run, store.now, store.up)


def task(store: LaneStore, task_id: str) -> Task:
    (row,) = store.sql(f"SELECT {', '.join(COLUMNS)} FROM tasks WHERE id = ?", task_id)
    return Task(**dict.fromkeys(Task.__struct_fields__) | dict(zip(COLUMNS, row, strict=True)))  # type: ignore[arg-type]


def standing(store: LaneStore, task_id: str) -> Standing:
    found = _reader(store).of_task(task(store, task_id))
    assert found is not None
    return found


def coming(
    store: LaneStore, kind: str, owner: str = "", queue: str = "default", gates: tuple[str, ...] = ()
) -> Standing:
    return _reader(store).of_coming(Coming(kind, queue, owner, 0, gates))


def starts(store: LaneStore, most: int = 1, queue: str = "default") -> list[str]:
    return [str(row[0]) for row in store.claim({queue: most})[0]]


def pass_time(store: LaneStore, ms: int) -> None:
    store.now += ms
    store.up += ms


def test_the_tasks_of_one_owner_start_in_the_order_that_was_told(store: LaneStore) -> None:
    made = []
    for number in range(40):
        store.now += number * 7 % 3
        made.append(store.enqueue("x"))
    told = {task_id: standing(store, task_id).before for task_id in made}
    order = [one for _ in range(40) for one in starts(store)]
    assert [told[one] for one in order] == list(range(40))


def test_a_higher_priority_comes_before(store: LaneStore) -> None:
    low, high, middle = (store.enqueue("x", priority=priority) for priority in (0, 9, 5))
    assert [standing(store, one).before for one in (high, middle, low)] == [0, 1, 2]
    store.kind("limited", ("a", None))
    store.limit("a", concurrency=1)
    low, high, middle = (store.enqueue("limited", queue="q", priority=priority) for priority in (0, 9, 5))
    assert [standing(store, one).before for one in (high, middle, low)] == [0, 1, 2]


def test_owners_take_turns_in_what_is_told_as_in_what_starts(store: LaneStore) -> None:
    anns = [store.enqueue("x", "ann") for _ in range(30)]
    bobs = [store.enqueue("x", "bob") for _ in range(2)]
    told = [standing(store, one).before for one in (*bobs, anns[0], anns[9], anns[-1])]
    assert told == [1, 3, 1, 11, 31]
    order = [one for _ in range(32) for one in starts(store)]
    assert all(order.index(one) <= before for one, before in zip((*bobs, anns[-1]), (*told[:2], told[-1]), strict=True))


def test_of_many_owners_some_are_counted(store: LaneStore) -> None:
    for number in range(150):
        store.enqueue("x", f"owner-{number:03}")
    first, _, third = (store.enqueue("x", "ann") for _ in range(3))
    assert [standing(store, one).before for one in (first, third)] == [150, 152]


def test_lanes_that_wait_for_one_limit_are_let_in_by_turns(store: LaneStore) -> None:
    store.limit("a", concurrency=1)
    store.kind("x", ("a", None))
    anns = [store.enqueue("x", "ann") for _ in range(20)]
    bob = store.enqueue("x", "bob")
    running = starts(store)
    assert starts(store) == []  # the lanes have met the closed gate
    told = {one: standing(store, one) for one in (bob, anns[1], anns[-1])}
    assert {one.parked for one in told.values()} == {"a"}
    assert told[bob].before <= 1
    assert told[anns[-1]].before == 19
    order: list[str] = []
    while running:
        (one,) = running
        pass_time(store, 5)
        store.end("complete", one, 1)
        running = starts(store)
        order += running
    assert abs(order.index(bob) - told[bob].before) <= 1  # over several lanes an estimate
    assert order.index(anns[-1]) == told[anns[-1]].before


@pytest.mark.parametrize(("rate", "keyed"), [(1, False), (3, False), (3, True)])
def test_under_a_rate_each_starts_when_it_was_told(store: LaneStore, rate: int, keyed: bool) -> None:
    store.limit("r", rate=rate, window_ms=1000)
    store.kind("x", ("r", "who" if keyed else None))
    for _ in range(rate + 1):  # the ring has gone round
        pass_time(store, 400)
        store.enqueue("x", args='{"who":"a"}')
        starts(store, 8)
    made = [store.enqueue("x", args='{"who":"a"}') for _ in range(10)]
    waiting = [one for (one,) in store.sql("SELECT id FROM tasks WHERE status = 'pending' ORDER BY seq")]
    told = {}
    for one in waiting:
        said = explain(task(store, one), standing(store, one), FREE, store.now)
        assert said.expected_start is not None or said.reason == "starting"
        told[one] = said.expected_start
    begun = {}
    while len(begun) < len(waiting):
        found, _, _, opens = store.claim({"default": 8})
        begun |= {row[0]: store.now for row in found}
        if opens is not None and not found:
            pass_time(store, opens - store.up)
    assert begun == told
    assert len(set(begun.values())) >= len(made) / rate


SITUATIONS: dict[str, tuple[str, str, str, tuple[str, ...]]] = {  # kind, owner, queue, gates
    "the owner of the queue": ("x", "", "default", ()),
    "another owner": ("x", "ann", "default", ()),
    "a queue that is new": ("x", "ann", "fresh", ()),
    "a limit": ("limited", "", "default", ("a",)),
    "a limit and another owner": ("limited", "ann", "default", ("a",)),
    "a key that is in use": ("keyed", "", "default", ('k/"a"',)),
    "a key that is new": ("keyed", "", "default", ('k/"b"',)),
    "a rate": ("rated", "", "default", ("r",)),
    "a paused kind": ("stopped", "", "default", ()),
    "a paused queue": ("x", "", "still", ()),
    "a limited queue": ("x", "", "narrow", ()),
}


def _busy(store: LaneStore) -> None:
    store.limit("a", concurrency=1)
    store.limit("k", concurrency=1)
    store.limit("r", rate=2, window_ms=60_000)
    store.limit("queue:narrow", concurrency=1)
    store.kind("limited", ("a", None))
    store.kind("keyed", ("k", "who"))
    store.kind("rated", ("r", None))
    for kind in ("x", "limited", "rated", "keyed"):
        for owner in ("", "", "", "bob"):
            store.enqueue(kind, owner, args='{"who":"a"}')
    store.enqueue("x", queue="narrow")
    store.enqueue("x", queue="narrow")
    store.pause("stopped", False, True)
    store.pause("still", True, True)
    for _ in range(4):
        starts(store, 3)
        starts(store, 1, "narrow")
    for _ in range(4):
        store.enqueue("x")


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_task_to_come_stands_where_it_will(store: LaneStore, situation: str) -> None:
    kind, owner, queue, gates = SITUATIONS[situation]
    _busy(store)
    before = coming(store, kind, owner, queue, gates)
    key = gates[0].partition("/")[2] if gates else ""
    made = store.enqueue(kind, owner, queue, args=f'{{"who":{key or "null"}}}')
    assert standing(store, made) == before


def test_above_a_thousand_the_number_is_estimated(store: LaneStore) -> None:
    made = []
    for _ in range(3000):
        store.now += 10
        made.append(store.enqueue("x"))
    assert standing(store, made[999]).before == 999
    assert standing(store, made[1500]).before == pytest.approx(1500, rel=0.01)
    assert standing(store, made[-1]).before == coming(store, "x").before - 1 == 2999
    said = explain(task(store, made[-1]), standing(store, made[-1]), Place(0, 8, False), store.now)
    assert (said.position, "more than 1000" in said.text) == (2999, True)
    assert said.position is not None and said.position > MANY


def test_in_lanes_the_number_is_estimated_too(store: LaneStore) -> None:
    store.limit("a", concurrency=1)
    store.kind("x", ("a", None))
    made = []
    for number in range(3000):
        store.now += 10
        made.append(store.enqueue("x", priority=number % 2))
    starts(store)
    assert 1499 <= standing(store, made[-1]).before <= 2000  # how many have a lower priority is not counted to the end
    assert standing(store, made[-2]).before == pytest.approx(2998, rel=0.01)


def test_how_long_a_kind_runs_is_known_of_its_last_runs(store: LaneStore) -> None:
    for number in range(3):
        one = store.enqueue("slow")
        starts(store)
        pass_time(store, 100 * (number + 1))
        store.end("complete", one, 1)
    assert sorted(coming(store, "slow").runs) == [100, 200, 300]
    assert coming(store, "quick").runs == []
    for _ in range(1001):
        one = store.enqueue("quick")
        starts(store)
        store.end("complete", one, 1)
    # A thousand others came later: found among the tasks of the kind itself.
    assert sorted(coming(store, "slow").runs) == [100, 200, 300]


def test_a_task_that_is_gone_or_was_started_meanwhile_stands_nowhere(store: LaneStore) -> None:
    waiting = task(store, store.enqueue("x"))
    assert _reader(store).of_task(msgspec.structs.replace(waiting, seq=99)) is None
    starts(store)
    assert _reader(store).of_task(waiting) is None
