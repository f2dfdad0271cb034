"""What an update of the statistics does when there is much to count, and what it forgets."""

from __future__ import annotations

from pathlib import Path

import pytest

from quart_app.clock import ClockTrust
from quart_app.core.statistics import KEPT, Counted
from quart_app.engine.upkeep.retention import Retention
from quart_app.process.files import Files
from quart_app.service.maintenance import COUNTING, EVENTS, Maintenance
from quart_app.store.protocols.tasks import Store
from quart_app.store.sqlite.database import Database
from quart_app.store.statistics import SqlStatistics
from tests.clock import VirtualClock
from tests.store.kit import Sql, claimed, new_task

DAY = 86_400


class SlowStatistics(SqlStatistics):
    """The store on a machine where a chunk takes more than half of the time of an update."""

    clock: VirtualClock

    async def count_events(self, now: int | None, limit: int) -> Counted:
        self.clock.advance(COUNTING * 0.6)
        return await super().count_events(now, limit)


@pytest.fixture
def slow(database: Database, clock: VirtualClock) -> SlowStatistics:
    made = SlowStatistics(database)
    made.clock = clock
    return made


def maintenance(store: Store, statistics: SqlStatistics, clock: VirtualClock, folder: Path) -> Maintenance:
    trust = ClockTrust(clock)
    return Maintenance(store, statistics, Retention(store, 0, 0, trust), Files(folder), clock, trust)


async def test_an_update_that_cannot_count_all_in_its_time_leaves_the_rest_for_the_next(
    store: Store, slow: SlowStatistics, clock: VirtualClock, sql: Sql, tmp_path: Path
) -> None:
    events = EVENTS * 5 // 2
    await store.enqueue([new_task(clock.now()) for _ in range(events)])
    upkeep = maintenance(store, slow, clock, tmp_path)
    begun = clock.now()
    await upkeep.update_statistics()
    assert sql("SELECT seq FROM stats_mark") == [(2 * EVENTS,)]
    assert await slow.counted_until() == begun, "that of the last event counted"
    at = clock.now()
    await upkeep.update_statistics()
    assert sql("SELECT seq FROM stats_mark") == [(events,)]
    assert await slow.counted_until() == at, "that of the update itself"


async def test_figures_are_forgotten_after_ninety_days_and_not_by_a_clock_that_is_wrong_for_a_while(
    store: Store, database: Database, clock: VirtualClock, sql: Sql, tmp_path: Path
) -> None:
    await claimed(store, clock.now())
    statistics = SqlStatistics(database)
    upkeep = maintenance(store, statistics, clock, tmp_path)
    await upkeep.update_statistics()
    rows = sql("SELECT * FROM stats")
    assert len(rows) == 6
    clock.step(2 * KEPT / 1000)
    await upkeep.update_statistics()
    assert sql("SELECT * FROM stats") == rows
    clock.step(-2 * KEPT / 1000)
    clock.advance(KEPT / 1000 - 2 * DAY)
    for _ in range(3):
        clock.advance(600)
        await upkeep.update_statistics()
    assert sql("SELECT * FROM stats") == rows
    for _ in range(2 * 144 + 9):
        clock.advance(600)
        await upkeep.update_statistics()
    assert sql("SELECT count(*) FROM stats WHERE width < 86400000") == [(0,)]
    clock.advance(DAY)
    await upkeep.update_statistics()
    clock.advance(600)
    await upkeep.update_statistics()
    assert sql("SELECT count(*) FROM stats") == [(0,)]
