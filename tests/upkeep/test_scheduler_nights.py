"""The scheduler in nights on which clocks change and processes die: no fire is made twice."""

from __future__ import annotations

import itertools
import json
import os
import random
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from quart_app.core import trusted_time
from quart_app.core.schedule import TAG
from tests.clock import VirtualClock
from tests.store.kit import Sql
from tests.upkeep.plant import HOUR, Plant


@pytest.mark.parametrize("wary", [False, True], ids=["believes the clock", "waits for a step to last"])
@pytest.mark.parametrize("night", ["2026-03-08T05:30:00+00:00", "2026-11-01T04:00:00+00:00"])
async def test_fifty_steps_of_the_clock_and_a_hundred_restarts_in_a_night_make_no_fire_twice(
    plant: Plant, clock: VirtualClock, sql: Sql, night: str, wary: bool
) -> None:
    """In each of the nights on which New York changes its clocks."""
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")  # pytest shows it when the test fails
    chance = random.Random(seed)
    clock.step(datetime.fromisoformat(night).timestamp() - clock.now() / 1000)
    for catch_up in ("one", "all", "skip"):
        plan = {"timezone": "America/New_York", "overlap": "queue", "catch_up": catch_up}
        await plant.add(f"often-{catch_up}", cron="*/7 * * * *", **plan)
        await plant.add(f"once-{catch_up}", cron="30 1,2 * * *", **plan)
        await plant.add(f"every-{catch_up}", every_ms=700_000, overlap="queue", catch_up=catch_up)
    step = 0.0
    for turn in range(100):
        plant.restart(wary)
        if turn % 2:
            step = -step or chance.uniform(-2 * HOUR, 2 * HOUR)  # to and fro
            clock.step(step)
        if turn % 10 == 1:  # planned anew, they begin from the clock's idea of now
            for name, paused in itertools.product(("often-all", "once-one"), (True, False)):
                await plant.door.change(name, None, {"paused": paused})
        clock.advance(chance.uniform(0, HOUR / 4))
        await plant.settle()
        for _ in range(trusted_time.TO_RUN // 1000 + 2 if wary else 0):
            clock.advance(1)
            await plant.settle()
    made = {json.loads(tags)[0].removeprefix(TAG): n for tags, n in sql("SELECT tags, count(*) FROM tasks GROUP BY 1")}
    times: dict[str, list[int]] = {name: [] for name in made}
    for name, at in sql("SELECT schedule, fire_at FROM fires"):
        times[name].append(at)
    assert made == {name: len(set(found)) for name, found in times.items()}
    assert {"often-all", "once-all", "every-all"} < made.keys()
    # A fixed local time is one instant a day, also where the clock shows it twice.
    zone = ZoneInfo("America/New_York")
    for name in times.keys() & {"once-all", "once-one"}:
        shown = [datetime.fromtimestamp(at // 1000, zone).replace(tzinfo=None) for at in times[name]]
        assert len(set(shown)) == len(shown)
