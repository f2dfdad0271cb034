"""What is forgotten of lanes and gates, what one claim leaves to the next one, and tasks that resume."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quart_app.store import claim_procedure, lanes
from tests.store.lane_kit import LaneStore
from tests.store.lane_sums import assert_sums


@pytest.fixture
def store() -> Iterator[LaneStore]:
    made = LaneStore(slots=8)
    yield made
    made.close()


def claimed(store: LaneStore, most: int = 8, queue: str = "default") -> list[str]:
    return [str(row[0]) for row in store.claim({queue: most})[0]]


def end_all(store: LaneStore) -> None:
    for task, fence in store.sql("SELECT id, fence FROM tasks WHERE status = 'processing'"):
        store.end("complete", task, fence)


def crash_twice(store: LaneStore, task: str) -> None:
    for fence in (1, 2):
        assert claimed(store, 1) == [task]
        store.end("crash", task, fence)


def test_a_parent_whose_children_have_ended_goes_on_at_once(store: LaneStore) -> None:
    store.limit("a", concurrency=1)
    store.kind("x", ("a", None))
    task = store.enqueue("x")
    assert claimed(store) == [task]
    store.end("suspend_for_children", task, 1)
    assert_sums(store)
    assert claimed(store) == [task]
    assert_sums(store)


def test_a_gate_that_was_forgotten_counts_from_the_start_again(store: LaneStore) -> None:
    store.limit("r", rate=2, window_ms=1000)
    store.kind("x", ("r", None))
    for _ in range(2):
        store.enqueue("x")
        assert len(claimed(store)) == 1
        end_all(store)
        store.prune()  # its starts still count
    store.enqueue("x")
    assert claimed(store) == []
    store.up += 1000
    assert len(claimed(store)) == 1
    end_all(store)
    store.up += 1000
    store.prune()
    assert store.sql("SELECT * FROM gates") == store.sql("SELECT * FROM gate_starts") == []
    for _ in range(3):
        store.enqueue("x")
    assert len(claimed(store)) == 2


def test_the_gate_of_a_queue_with_a_limit_is_kept(store: LaneStore) -> None:
    store.limit("queue:default", concurrency=1)
    for _ in range(2):
        store.enqueue("x")
    assert len(claimed(store)) == 1
    store.prune()
    store.limit("queue:default", concurrency=2)
    assert store.claim({})[1] == ["default"]


def test_names_of_queues_and_owners_are_forgotten(store: LaneStore) -> None:
    store.pause("paused", queue=True, paused=True)
    store.limit("queue:limited", concurrency=1)
    for number in range(20):
        for queue in (f"q{number}", "paused", "limited"):
            store.enqueue("x", f"owner{number}", queue)
            store.enqueue("x", "", queue)
    for (task,) in store.sql("SELECT id FROM tasks"):
        store.end("cancel_pending", task, 0)
        store.end("delete", task, 0)
    store.prune()
    assert store.sql("SELECT * FROM shares") == store.sql("SELECT * FROM lanes") == []
    assert store.sql("SELECT queue FROM queues ORDER BY queue") == [("limited",), ("paused",)]


@pytest.mark.parametrize("fresh", [1, 2])
def test_a_task_that_resumes_passes_a_closed_rate(store: LaneStore, fresh: int) -> None:
    """Both wait for the same place. `fresh`: how many that are new wait before it."""
    store.limit("a", concurrency=1, rate=3, window_ms=1000)
    store.kind("x", ("a", None))
    asleep = store.enqueue("x")
    assert claimed(store) == [asleep]
    store.end("suspend", asleep, 1)
    for _ in range(1 + fresh):
        store.enqueue("x")
    assert len(claimed(store)) == 1
    store.up += 1
    store.wake()
    assert claimed(store) == []
    started = []
    for _ in range(3):
        end_all(store)
        started += claimed(store)
    assert asleep in started
    assert len(started) == 2  # it, and the third start of the rate


def test_a_claim_tells_that_there_are_more_gates_to_open(store: LaneStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim_procedure, "DIRTY", 2)
    store.limit("a", concurrency=1)
    store.kind("x", ("a", "k"))
    for key in range(20):
        store.enqueue("x", args=f'{{"k":{key}}}')
    last = [store.enqueue("x", args='{"k":99}') for _ in range(2)]
    while claimed(store) or store.sql("SELECT gate FROM gates WHERE dirty = 1"):
        pass
    assert store.sql("SELECT id FROM tasks WHERE status = 'pending'") == [(last[1],)]
    store.limit("a", concurrency=2)
    for _ in range(20):
        _, again, _, opens = store.claim({})
        if again:
            break
        assert opens == store.up  # look again at once
    assert again == ["default"]
    assert claimed(store) == [last[1]]


def test_tasks_that_one_claim_does_not_put_into_lanes_are_put_by_the_next(
    store: LaneStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in range(40):
        store.enqueue("x", args=f'{{"k":{key}}}')
    monkeypatch.setattr(lanes, "BATCH", 3)
    store.limit("a", concurrency=1)
    store.kind("x", ("a", "k"))
    for _ in range(30):
        _, again, _, opens = store.claim({"default": 8})
        end_all(store)
        if not again and opens is None:
            break
    assert store.sql("SELECT id FROM tasks WHERE lane = 0 OR status = 'pending'") == []


def test_looking_for_suspects_takes_no_place_away(store: LaneStore) -> None:
    store.limit("a", concurrency=1)
    store.kind("x", ("a", None))
    task = store.enqueue("x")
    store.enqueue("x", "bob")
    assert claimed(store, 1) == [task]
    assert claimed(store, 1) == []
    store.end("complete", task, 1)
    assert store.claim_suspects(8) == []
    assert store.claim({})[1] == ["default"]


@pytest.mark.parametrize("paused", [False, True])
def test_suspects_that_may_not_start_hold_back_no_other(store: LaneStore, paused: bool) -> None:
    store.limit("a", concurrency=1)
    store.kind("held", ("a", None))
    for _ in range(60):
        crash_twice(store, store.enqueue("held"))
    free = store.enqueue("free")
    crash_twice(store, free)
    store.sql("UPDATE tasks SET lived_ms = 1 WHERE id = ?", free)  # it is last
    if paused:
        store.pause("held", queue=False, paused=True)
    assert free in [row[0] for row in store.claim_suspects(2)]
