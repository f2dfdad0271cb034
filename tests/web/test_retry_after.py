"""The Retry-After of a 202: when the task will have ended, by the estimate of `explain`."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quart_app.core.explanation import Coming, Standing
from quart_app.core.task_request import EnqueueOptions, TaskRequest
from quart_app.runtime import Runtime
from quart_app.service import forecasts
from quart_app.service.forecasts import Forecasts
from quart_app.settings import Settings
from quart_app.store.protocols.explain import ExplainStore
from tests.clock import VirtualClock
from tests.store.kit import Sql
from tests.web.conftest import Serve
from tests.web.site import KINDS, Answer, Site, assert_problem
from tests.web.test_keys import ANN, BOB, KEYS, bearer

TASKS = f"{KINDS},{KINDS.with_name('limited_kinds.py')}"
RUN = 14.0  # seconds that the last runs took, on record
SPARE = 10  # seconds that a slow machine may take between two requests; less than a run


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, the first request waits for the figures."""
    monkeypatch.setattr(forecasts, "PATIENCE", 20.0)


async def took(site: Site, kind: str, args: Any = None, seconds: float = RUN) -> None:
    """Tasks of the kind take so long, it seems."""
    lasted(site, (await site.run(kind, args))["task_id"], seconds)


def lasted(site: Site, task_id: str, seconds: float = RUN) -> None:
    sql = Sql(site.settings.database_path)
    sql("UPDATE tasks SET started_at = completed_at - ? WHERE id = ?", int(seconds * 1000), task_id)
    site.app.extensions["quart_app"].runtime.forecasts._known.clear()  # as after a while


def after(answer: Answer) -> int:
    assert answer.status == 202, answer.body
    return int(answer.headers["Retry-After"])


async def posted(site: Site, kind: str, args: Any = None, query: str = "", **more: Any) -> int:
    return after(await site.post(f"/tasks/{kind}{query}", args or {}, **more))


def near(seconds: float) -> Any:
    """As many, or a few less: time passes after the look."""
    return pytest.approx(seconds - SPARE / 2, abs=SPARE / 2)


async def test_of_a_kind_that_never_ran_nobody_knows(site: Site) -> None:
    assert await posted(site, "echo") == 1


async def test_what_runs_at_once_ends_after_its_usual_time(site: Site) -> None:
    await took(site, "strict", {"x": 1})
    assert await posted(site, "strict", {"x": 1}) == RUN


async def test_it_is_the_estimate_of_explain(serve: Serve) -> None:
    async with serve(concurrency=1) as site:
        await took(site, "strict", {"x": 1})
        await site.held()
        for number in (1, 2, 3):
            answer = await site.post("/tasks/strict", {"x": 1})
            told = (await site.get(f"/tasks/{answer.id}/explain")).json
            ends = datetime.datetime.fromisoformat(told["expected_end"]).timestamp() - time.time()
            assert after(answer) == near(RUN * (number + 1))
            assert ends == near(RUN * (number + 1))


async def test_a_batch_and_a_burst_count_at_once(serve: Serve) -> None:
    async with serve(concurrency=1) as site:
        await took(site, "strict", {"x": 1})
        await site.held()
        assert await posted(site, "strict", {"x": 1}) == near(RUN * 2)
        assert (await site.post("/tasks", [{"kind": "strict", "args": {"x": 1}}])).status == 202
        assert await posted(site, "strict", {"x": 1}) == near(RUN * 4)
        assert (await site.post("/tasks", [{"kind": "strict", "args": {"x": 1}}] * 100)).status == 202
        assert await posted(site, "strict", {"x": 1}) == forecasts.MOST


async def test_each_owner_has_his_own(serve: Serve) -> None:
    async with serve(concurrency=1, api_keys=KEYS) as site:
        ann, bob = {"headers": bearer(ANN)}, {"headers": bearer(BOB)}
        first = (await site.post("/tasks/strict", {"x": 1}, bearer(ANN))).id
        await site.get(f"/tasks/{first}?wait=20", bearer(ANN))
        lasted(site, first)
        held = (await site.post("/tasks/hold", {}, bearer(ANN))).id
        while (await site.get(f"/tasks/{held}", bearer(ANN))).json["status"] == "pending":
            await site.get(f"/tasks/{held}?wait=1", bearer(ANN))
        for _ in range(20):
            await posted(site, "strict", {"x": 1}, **ann)
        assert await posted(site, "strict", {"x": 1}, **ann) == forecasts.MOST
        assert await posted(site, "strict", {"x": 1}, **bob) == near(RUN * 3)  # one of the other owner comes before


async def test_a_delayed_task_ends_after_its_delay(site: Site) -> None:
    await took(site, "strict", {"x": 1})
    assert await posted(site, "strict", {"x": 1}, "?delay=20") == 20 + RUN
    assert await posted(site, "strict", {"x": 1}, "?delay=900") == forecasts.MOST
    assert await posted(site, "echo", query="?delay=20") == 20
    at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=20)
    assert await posted(site, "strict", {"x": 1}, f"?run_at={at.isoformat()[:23]}Z") == near(20 + RUN)


async def test_what_is_paused_or_held_back_says_so(serve: Serve) -> None:
    async with serve(tasks=TASKS) as site:
        await site.post("/queues/mine/pause")
        assert await posted(site, "echo", query="?queue=mine") == forecasts.MOST
        await site.post("/kinds/strict/pause")
        assert await posted(site, "strict", {"x": 1}) == forecasts.MOST
        for _ in range(3):
            await site.run("few")
        assert await posted(site, "few") == forecasts.MOST
        site.open_gate("a")
        await took(site, "for-customer", {"customer": "a"})
        await site.until(await site.make("for-customer", {"customer": "b"}), "processing")
        assert await posted(site, "for-customer", {"customer": "b"}) == near(RUN * 2)
        assert await posted(site, "for-customer", {"customer": "c"}) == near(RUN)


async def test_a_full_queue_says_when_the_task_would_have_ended(serve: Serve) -> None:
    async with serve(concurrency=1, queue_limit=1) as site:
        await took(site, "strict", {"x": 1})
        await site.held()
        await site.make("echo")
        refused = await site.post("/tasks/strict", {"x": 1})
        assert_problem(refused, 503)
        assert int(refused.headers["Retry-After"]) == near(RUN * 2)
        batch = await site.post("/tasks", [{"kind": "strict", "args": {"x": 1}}])
        assert_problem(batch, 503)
        assert int(batch.headers["Retry-After"]) == near(RUN * 2)
        unknown = await site.post("/tasks/nested", {"items": []})
        assert_problem(unknown, 503)
        assert unknown.headers["Retry-After"] == "5"


async def test_what_has_ended_need_not_be_waited_for(site: Site) -> None:
    await took(site, "strict", {"x": 1})
    keyed = {"Idempotency-Key": "k"}
    await site.ended((await site.post("/tasks/strict", {"x": 1}, keyed)).id)
    assert after(await site.post("/tasks/strict", {"x": 1}, keyed)) == 1


async def test_a_wait_is_taken_off(serve: Serve) -> None:
    async with serve(concurrency=1) as site:
        await took(site, "strict", {"x": 1})
        await site.held()
        answer = await site.post("/tasks/strict", {"x": 1}, {"Prefer": "wait=1"})
        assert after(answer) == near(RUN * 2 - 1)


async def test_another_run_of_a_task_has_its_time_too(site: Site) -> None:
    await took(site, "strict", {"x": 1}, seconds=9)
    made = await site.make("strict", {"x": 1}, "?delay=900")
    await site.post(f"/tasks/{made}/cancel")
    assert after(await site.post(f"/tasks/{made}/retry")) == 9
    assert after(await site.post(f"/tasks/{made}/fork", {})) == 9
    plan = {"name": "s", "kind": "strict", "args": {"x": 1}, "every": 9000}
    assert (await site.post("/schedules", plan)).status == 201
    assert after(await site.post("/schedules/s/trigger")) == 9


class Counted:
    """The store of a site, which counts what is asked of it."""

    def __init__(self, store: ExplainStore) -> None:
        self._store = store
        self.asked: list[Coming] = []

    async def standing(self, task: Any, now: int, up: int) -> Standing | None:
        return await self._store.standing(task, now, up)

    async def coming(self, coming: Coming, now: int, up: int) -> Standing:
        self.asked.append(coming)
        return await self._store.coming(coming, now, up)


def of(owners: Sequence[str]) -> list[TaskRequest]:
    return [TaskRequest("echo", {}, EnqueueOptions(owner=owner)) for owner in owners]


async def test_the_store_is_asked_at_most_once_a_second(site: Site) -> None:
    runtime, clock = site.app.extensions["quart_app"].runtime, VirtualClock()
    store = Counted(runtime.explain_store)
    told = Forecasts(store, runtime.registry, clock, runtime._place)
    (ann, bob) = of(["ann", "bob"])
    for _ in range(100):
        await told.seconds(ann)
    assert len(store.asked) == 1
    clock.advance(0.9)
    await told.seconds(ann)
    await told.seconds(bob)
    assert len(store.asked) == 2
    clock.advance(0.2)
    for _ in range(100):
        await told.seconds(ann)
    while told._reading:
        await next(iter(told._reading.values()))
    assert [one.owner for one in store.asked] == ["ann", "bob", "ann"]
    # Many owners at once: some of them are not told, and nobody waits.
    clock.advance(1)
    for request in of([f"owner-{number}" for number in range(100)]):
        await told.seconds(request)
    assert len(store.asked) == 3 + forecasts.READS


async def test_forecasts_are_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, clock = site.app.extensions["quart_app"].runtime, VirtualClock()
    monkeypatch.setattr(forecasts, "KEPT", 5)
    told = Forecasts(runtime.explain_store, runtime.registry, clock, runtime._place)
    for request in of([f"owner-{number}" for number in range(12)]):
        await told.seconds(request)
    assert [one.owner for one in told._known] == [f"owner-{number}" for number in range(7, 12)]


async def test_an_old_forecast_is_none(site: Site) -> None:
    await took(site, "echo")
    runtime, clock = site.app.extensions["quart_app"].runtime, VirtualClock()
    told = Forecasts(runtime.explain_store, runtime.registry, clock, runtime._place)
    (ann,) = of(["ann"])
    assert await told.seconds(ann) == RUN
    assert await told.seconds(msgspec.structs.replace(ann, kind="unknown")) is None
    clock.advance(forecasts.MOST + 1)
    told._reads, told._second = forecasts.READS, int(clock.monotonic())  # nothing more may be read now
    assert await told.seconds(ann) is None


async def test_a_store_that_cannot_be_read_keeps_no_task_away(tmp_path: Path) -> None:
    runtime = Runtime(Settings(data_dir=str(tmp_path), tasks=str(KINDS)), lambda *_: None)
    database = await runtime._storage.open()
    runtime.build(database)
    await database.start()
    await runtime._storage.close()
    assert await runtime.forecasts.seconds(of(["ann"])[0]) is None
