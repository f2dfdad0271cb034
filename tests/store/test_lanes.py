"""Limits, pauses and turns of owners on the real statements: never above a limit, never idle, nobody left behind."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

import pytest

from quart_app.store.gates import Gates
from tests.store import lane_kit
from tests.store.lane_histories import History
from tests.store.lane_kit import LaneStore
from tests.store.lane_sums import assert_sums

HISTORIES = range(60)


@pytest.fixture
def store() -> Iterator[LaneStore]:
    made = LaneStore(slots=8)
    yield made
    made.close()


def claimed(store: LaneStore, most: int, queue: str = "default") -> list[str]:
    """The ids of the tasks that one claim starts."""
    return [str(row[0]) for row in store.claim({queue: most})[0]]


@pytest.mark.parametrize("number", HISTORIES)
def test_limits_hold_and_nothing_waits_in_vain(number: int) -> None:
    History(number).play()


# What each guard is for: without it, some of the histories fail.
FAULTS = {
    "a run that ends opens no gate": ("dirty = dirty OR OLD.status = 'processing'", "dirty = dirty"),
    "a lane that is filled again stays parked": ("parked = CASE WHEN ready > 0 THEN parked END", "parked = parked"),
    "a task that wakes up counts as a start": (
        "WHEN NEW.lane > 0 AND NEW.cause = 'suspend'",
        "WHEN 0 AND NEW.cause = 'suspend'",
    ),
    "a limit that gives way opens no gate": (
        "AFTER UPDATE ON limits BEGIN\n  UPDATE gates SET dirty = 1",
        "AFTER UPDATE ON limits BEGIN\n  UPDATE gates SET dirty = dirty",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_guard_is_caught(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    what, instead = FAULTS[fault]
    broken = [text.replace(what, instead) for text in lane_kit.TEXTS]
    assert broken != lane_kit.TEXTS
    monkeypatch.setattr(lane_kit, "TEXTS", broken)
    with pytest.raises(AssertionError):
        for number in HISTORIES:
            History(number).play()


def test_a_place_that_is_not_handed_on_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gates, "hand_on", lambda self, gate: None)
    with pytest.raises(AssertionError):
        for number in HISTORIES:
            History(number).play()


def test_a_lane_that_is_emptied_by_hand_hands_its_place_on(store: LaneStore) -> None:
    store.limit("a", concurrency=1)
    for kind in ("x", "y"):
        store.kind(kind, ("a", None))
    first, second, third = store.enqueue("x"), store.enqueue("x", queue="other"), store.enqueue("y")
    assert claimed(store, 1) == [first]
    assert claimed(store, 1, "other") == []  # both are parked now
    assert claimed(store, 1) == []
    store.end("complete", first, 1)
    assert store.claim({"nobody": 1})[1] == ["other"]  # its lane is let in, and no slot is free for it
    store.end("cancel_pending", second, 0)
    assert store.claim({"nobody": 1})[1] == ["default"]
    assert claimed(store, 1) == [third]


def test_owners_take_turns(store: LaneStore) -> None:
    for _ in range(100):
        store.enqueue("x", "ann")
    bob = store.enqueue("x", "bob")
    cid = [store.enqueue("x", "cid") for _ in range(3)]
    assert set(claimed(store, 6)) >= {bob, *cid[:2]}


def test_who_was_away_has_no_credit(store: LaneStore) -> None:
    for _ in range(50):
        store.enqueue("x", "ann")
    for _ in range(40):
        for task in claimed(store, 1):
            store.end("complete", task, 1)
    for _ in range(20):
        store.enqueue("x", "bob")
    owners = Counter(store.sql("SELECT owner FROM tasks WHERE id = ?", task)[0][0] for task in claimed(store, 8))
    assert owners == {"ann": 4, "bob": 4}


def test_an_owner_with_half_of_the_slots_starts_nothing_while_others_wait() -> None:
    with contextlib.closing(LaneStore(slots=8, most_of_one=4)) as store:
        for _ in range(20):
            store.enqueue("x", "ann")
        assert len(claimed(store, 8)) == 8  # nobody else is there
        running = [row[0] for row in store.sql("SELECT id FROM tasks WHERE status = 'processing'")]
        bob = {store.enqueue("x", "bob") for _ in range(6)}
        for task in running[:4]:
            store.end("complete", task, 1)
        started = claimed(store, 4)
        assert set(started) < bob
        assert len(started) == 4


def test_of_one_owner_the_higher_priority_comes_first_and_one_place_of_eight_goes_to_the_oldest(
    store: LaneStore,
) -> None:
    old = store.enqueue("x")
    store.now += 1
    for _ in range(20):
        store.enqueue("x", priority=5)
    first = claimed(store, 8)
    assert old in first
    assert len(first) == 8
    others = store.sql("SELECT priority FROM tasks WHERE status = 'processing' AND id <> ?", old)
    assert others == [(5,)] * 7


def test_a_rate_is_kept_in_any_window_and_tells_when_it_opens(store: LaneStore) -> None:
    store.limit("r", rate=3, window_ms=1000)
    store.kind("x", ("r", None))
    for _ in range(10):
        store.enqueue("x")
    assert len(claimed(store, 2)) == 2
    store.up += 600
    rows, _, held, opens = store.claim({"default": 8})
    assert (len(rows), held, opens) == (1, ["default"], store.up + 400)
    store.up += 399
    assert claimed(store, 8) == []
    store.up += 1
    assert len(claimed(store, 8)) == 2
    store.up += 599
    assert claimed(store, 8) == []
    store.up += 1
    assert len(claimed(store, 8)) == 1


def test_each_value_of_a_key_has_a_limit_of_its_own(store: LaneStore) -> None:
    store.limit("r", concurrency=1)
    store.kind("x", ("r", "customer"))
    for customer in ('"a"', '"a"', '"b"', "null", "7", '"7"'):
        store.enqueue("x", args=f'{{"customer":{customer}}}')
    store.enqueue("x")  # without a value: as null
    assert len(claimed(store, 8)) == 5


def test_a_limit_that_is_new_holds_for_tasks_that_waited_before(store: LaneStore) -> None:
    for _ in range(4):
        store.enqueue("x")
    store.limit("a", concurrency=1)
    store.kind("x", ("a", None))
    assert len(claimed(store, 8)) == 1
    store.kind("x", ("b", None))
    store.limit("b", concurrency=2)
    assert len(claimed(store, 8)) == 2  # those that wait have the limits of now
    assert_sums(store)


def test_a_suspect_goes_through_the_gates_too(store: LaneStore) -> None:
    store.limit("a", concurrency=1)
    store.kind("x", ("a", None))
    one, two = store.enqueue("x"), store.enqueue("x")
    for fence in (1, 2):
        assert claimed(store, 1) == [one] or fence == 2
        store.end("crash", one, fence)
    assert_sums(store)
    assert claimed(store, 8) == [two]
    assert store.claim_suspects(8) == []
    store.end("complete", two, 1)
    assert [row[0] for row in store.claim_suspects(8)] == [one]
