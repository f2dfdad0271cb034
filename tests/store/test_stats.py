"""Figures over time: each event is counted once, in the bucket of its time."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from quart_app.core.statistics import KEPT, NAMES, OTHER, WIDTHS, Figures, Tally, floor, percentile, step_of, value_of
from quart_app.store.audit import audit
from quart_app.store.protocols.tasks import Store
from quart_app.store.sqlite.database import Database
from quart_app.store.statistics import SqlStatistics
from tests.store.kit import ERROR, Sql, T, claimed, pending

FIVE = WIDTHS["5m"]
NOW = floor(T, "1d") + 36_000_000  # ten o'clock


@pytest.fixture
def statistics(database: Database) -> SqlStatistics:
    return SqlStatistics(database)


async def count(statistics: SqlStatistics, limit: int = 1000, now: int = NOW) -> int:
    """Count all there is; how many events that were."""
    total = 0
    while True:
        counted = await statistics.count_events(now, limit)
        total += counted.events
        if not counted.more:
            return total


async def figures(statistics: SqlStatistics, by: str = "kind", width: str = "5m") -> list[Figures]:
    return await statistics.figures(by, WIDTHS[width], 0, 2**53)  # type: ignore[arg-type,index]


async def test_starts_ends_and_durations_are_those_of_the_tasks(store: Store, statistics: SqlStatistics) -> None:
    await pending(store, now=NOW, kind="a")
    (one,) = await store.claim({"default": 1}, NOW + 2000)
    assert await store.complete(one.id, one.fence, "1", NOW + 12_000)
    await pending(store, now=NOW, kind="b", queue="slow")
    (two,) = await store.claim({"slow": 1}, NOW + FIVE)
    assert await store.fail(two.id, two.fence, ERROR, NOW + FIVE + 100)
    await store.cancel(await pending(store, now=NOW, kind="a"), NOW + FIVE)
    assert await count(statistics) == 8
    two_s, ten_s, wait, tenth = (value_of(step_of(ms)) for ms in (2000, 10_000, FIVE, 100))
    first, second = NOW, NOW + FIVE
    assert await figures(statistics) == [
        Figures(first, "a", 1, 1, 0, 0, two_s, two_s, ten_s, ten_s),
        Figures(second, "a", 0, 0, 0, 1, None, None, None, None),
        Figures(second, "b", 1, 0, 1, 0, wait, wait, tenth, tenth),
    ]
    assert await figures(statistics, "queue") == [
        Figures(first, "default", 1, 1, 0, 0, two_s, two_s, ten_s, ten_s),
        Figures(second, "default", 0, 0, 0, 1, None, None, None, None),
        Figures(second, "slow", 1, 0, 1, 0, wait, wait, tenth, tenth),
    ]
    for width in ("1h", "1d"):
        assert [(one.start, one.name, one.started) for one in await figures(statistics, width=width)] == [
            (floor(NOW, width), "a", 1),  # type: ignore[arg-type]
            (floor(NOW, width), "b", 1),  # type: ignore[arg-type]
        ]


WAYS = ["complete", "fail", "rerun", "retry", "cancelled", "suspend"]


async def history(store: Store, rng: random.Random, tasks: int, ways: list[str]) -> None:
    """Tasks of three kinds and queues that end in these ways."""
    for n in range(tasks):
        now = NOW + n * 20_000
        name = rng.choice("abc")
        one = await claimed(store, now, kind=name, queue=rng.choice([f"q{name}", "default"]))
        now += rng.randrange(2000)
        way = rng.choice(ways)
        if way in ("complete", "delete"):
            assert await store.complete(one.id, one.fence, "1", now)
        elif way in ("fail", "rerun"):
            assert await store.fail(one.id, one.fence, ERROR, now)
        elif way == "cancelled":
            assert await store.end_cancelled(one.id, one.fence, now)
        elif way == "retry":
            assert await store.retry(one.id, one.fence, ERROR, now + 1000, now)
            assert await store.make_ready(now + 1000, 9) == 1
        else:
            assert await store.suspend(one.id, one.fence, "kind:x", now)
            assert await store.resume_waiting(["x"], now, 9) == 1
        if way == "rerun":
            assert await store.rerun(one.id, True, now + 10)
        if way in ("rerun", "retry", "suspend"):
            (again,) = await store.claim({one.queue: 1}, now + 1500)
            assert await store.complete(again.id, again.fence, "1", now + 2000)
        if way == "delete":
            assert await store.delete(one.id)


@pytest.mark.parametrize("limit", [1, 7, 1000])
async def test_any_chunks_give_the_sums_of_the_events(
    store: Store, statistics: SqlStatistics, sql: Sql, limit: int
) -> None:
    await history(store, random.Random(limit), 60, [*WAYS, "delete"])
    expected = sql(
        "SELECT sum(e.cause = 'claim' AND p.cause <> 'suspend'), sum(e.status = 'completed'), sum(e.status = 'failed'),"
        " sum(e.status = 'cancelled') FROM events e JOIN events p"
        " ON p.seq = (SELECT max(seq) FROM events WHERE task = e.task AND seq < e.seq)"
    )[0]
    assert await count(statistics, limit) == sql("SELECT count(*) FROM events")[0][0]
    for by in ("kind", "queue"):
        for width in WIDTHS:
            found = await figures(statistics, by, width)
            assert tuple(
                map(sum, zip(*[(f.started, f.completed, f.failed, f.cancelled) for f in found], strict=True))
            ) == (expected), (by, width)
            assert len({(one.start, one.name) for one in found}) == len(found)


async def test_chunks_change_no_figure(store: Store, statistics: SqlStatistics, sql: Sql) -> None:
    await history(store, random.Random(5), 60, WAYS)
    await count(statistics, 3)
    by_threes = sql("SELECT * FROM stats ORDER BY 1, 2, 3, 4")
    sql("DELETE FROM stats")
    sql("UPDATE stats_mark SET seq = 0")
    await count(statistics, 1000)
    assert sql("SELECT * FROM stats ORDER BY 1, 2, 3, 4") == by_threes
    assert len(by_threes) > 20


async def test_two_that_count_at_once_count_each_event_once(
    store: Store, statistics: SqlStatistics, database: Database
) -> None:
    for _ in range(30):
        one = await claimed(store, NOW)
        assert await store.complete(one.id, one.fence, "1", NOW)
    others = [SqlStatistics(database) for _ in range(5)]
    counted = await asyncio.gather(*(count(one, 4) for one in others))
    assert sum(counted) == 90
    assert [(one.started, one.completed) for one in await figures(statistics)] == [(30, 30)]


async def test_the_events_of_a_deleted_task_are_counted_before_they_are_deleted(
    store: Store, statistics: SqlStatistics, sql: Sql, database_path: Path
) -> None:
    for _ in range(2):
        one = await claimed(store, NOW)
        assert await store.complete(one.id, one.fence, "1", NOW + 100)
        assert await store.delete(one.id)
    assert await statistics.uncounted()
    assert audit(database_path).findings == []
    assert await store.clear_deleted(5, 100_000) == 5
    assert sql("SELECT count(*) FROM events") == [(6,)], "five of six are counted, none is deleted"
    while await store.clear_deleted(5, 100_000):
        pass
    assert sql("SELECT count(*) FROM events") == [(0,)]
    assert sql("SELECT count(*) FROM deleted_tasks") == [(0,)]
    assert not await statistics.uncounted()
    tenth = value_of(step_of(100))
    assert await figures(statistics) == [Figures(NOW, "thumbnail", 2, 2, 0, 0, 0, 0, tenth, tenth)]
    assert audit(database_path).findings == []


async def test_a_delay_is_no_wait_and_nor_is_the_pause_before_a_retry(store: Store, statistics: SqlStatistics) -> None:
    await pending(store, NOW, delay=60_000)
    assert await store.make_ready(NOW + 60_000, 9) == 1
    (one,) = await store.claim({"default": 1}, NOW + 60_005)
    await count(statistics)
    assert [(one.waited_p50, one.waited_p95) for one in await figures(statistics)] == [(5, 5)]
    assert await store.retry(one.id, one.fence, ERROR, NOW + 90_000, NOW + 70_000)
    assert await store.make_ready(NOW + 90_000, 9) == 1
    (one,) = await store.claim({"default": 1}, NOW + 90_000)
    await count(statistics)
    (found,) = await figures(statistics)
    assert (found.started, found.waited_p50, found.waited_p95) == (2, 0, 5)


async def test_names_are_bounded_and_the_rest_is_counted_together(
    store: Store, statistics: SqlStatistics, database_path: Path
) -> None:
    for n in range(NAMES + 30):
        await claimed(store, NOW, queue=f"invented-{n:03}")
    for _ in range(3):
        await claimed(store, NOW, queue="busy")
    await count(statistics, 10_000)
    first = await figures(statistics, "queue")
    assert len(first) == NAMES + 1
    assert [(one.name, one.started) for one in first if one.started > 1] == [("busy", 3), (OTHER, 31)]
    for n in range(100, 130):
        await claimed(store, NOW, queue=f"invented-{n:03}")
    await count(statistics)
    second = await figures(statistics, "queue")
    assert {one.name for one in second} == {one.name for one in first}
    assert [one.started for one in second if one.name == OTHER] == [61]
    assert audit(database_path).findings == []


async def test_old_buckets_are_deleted_as_a_whole_and_the_others_stay(
    store: Store, statistics: SqlStatistics, sql: Sql
) -> None:
    for n in range(3):
        await claimed(store, NOW + n * FIVE, queue=f"q{n}")
    await count(statistics)
    assert await statistics.prune_figures(NOW + FIVE - 1, 99) == 0
    assert await statistics.prune_figures(NOW + 2 * FIVE, 1) == 1
    assert await statistics.prune_figures(NOW + 2 * FIVE, 99) == 1
    assert [one.start for one in await figures(statistics)] == [NOW + 2 * FIVE]
    assert [one.name for one in await figures(statistics, "queue")] == ["q2"]
    assert await statistics.prune_figures(NOW + KEPT, 99) == 3
    assert sql("SELECT count(*) FROM stats") == [(0,)]


def test_a_percentile_is_near_the_true_one() -> None:
    rng = random.Random(4)
    for _ in range(200):
        values = [int(rng.lognormvariate(rng.uniform(0, 12), rng.uniform(0, 3))) for _ in range(rng.randrange(1, 200))]
        tally = Tally()
        for value in values:
            tally.waited[step_of(value)] = tally.waited.get(step_of(value), 0) + 1
        for percent in (50, 95):
            true = sorted(values)[-(-len(values) * percent // 100) - 1]
            found = percentile(tally.waited, percent)
            assert found is not None
            assert abs(found - true) <= 0.5 + 0.05 * true


async def test_audit_finds_what_does_not_add_up(
    store: Store, statistics: SqlStatistics, sql: Sql, database_path: Path
) -> None:
    one = await claimed(store, NOW)
    assert await store.complete(one.id, one.fence, "1", NOW)
    await count(statistics)
    assert audit(database_path).findings == []
    sql("UPDATE stats SET started = 2 WHERE dimension = 'kind' AND width = 300000")
    sql("UPDATE stats SET ran = '{\"1\":5}' WHERE width = 3600000")
    sql("UPDATE stats_mark SET seq = 99")
    findings = audit(database_path).findings
    assert len(findings) == 3
    for part in ("one thing by kind", "more runs than ends", "events that do not exist"):
        assert [line for line in findings if part in line], findings
