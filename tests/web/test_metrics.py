"""`GET /metrics`, read with the library's own parser and held against what really happened."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from quart import Quart

from quart_app.app import QuartTasks
from quart_app.core.task import OUTCOMES, Count
from quart_app.process import metrics as module
from quart_app.process.metrics import Figures, Metrics
from quart_app.settings import Settings
from quart_app.web.routes import metrics as views
from tests.web import kinds
from tests.web.conftest import Serve
from tests.web.site import Site


class Samples:
    """One answer: values by name and labels."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._values = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float | None:
        return self._values.get((f"quart_app_{name}", frozenset(labels.items())))

    def labels(self, name: str, label: str) -> set[str]:
        return {dict(labels)[label] for found, labels in self._values if found == f"quart_app_{name}"}

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self._values}


async def scrape(site: Site, path: str = "/metrics") -> Samples:
    answer = await site.get(path)
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return Samples(answer.body.decode())


async def test_every_end_of_a_task_is_counted_by_kind_and_outcome(site: Site) -> None:
    for _ in range(3):
        await site.run("echo")
    await site.run("fail")
    await site.run("fail-twice")
    delayed = await site.make("echo", query="?delay=3600")
    await site.post(f"/tasks/{delayed}/cancel")
    running = await site.held()
    await site.post(f"/tasks/{running}/cancel")
    await site.ended(running)
    late = await site.make("echo", query="?delay=3600&expires=0.001")
    assert (await site.ended(late))["error"]["type"] == "expired"
    found = await scrape(site)
    ends = {
        ("echo", "completed"): 3,
        ("echo", "cancelled"): 1,
        ("echo", "expired"): 1,
        ("fail", "failed"): 1,
        ("fail-twice", "retry"): 2,
        ("fail-twice", "completed"): 1,
        ("hold", "cancelled"): 1,
    }
    assert {(kind, outcome): found("tasks_total", kind=kind, outcome=outcome) for kind, outcome in ends} == ends
    assert sum(ends.values()) == sum(
        found("tasks_total", kind=kind, outcome=outcome) or 0
        for kind in found.labels("tasks_total", "kind")
        for outcome in OUTCOMES
    )
    runs = {"echo": 3, "fail": 1, "fail-twice": 3, "hold": 1}  # what never ran took no time
    assert {kind: found("run_seconds_count", kind=kind) for kind in runs} == runs
    assert (found("run_seconds_sum", kind="echo") or -1) > 0


async def test_the_store_shows_what_waits_and_what_runs(serve: Serve) -> None:
    async with serve(concurrency=2) as site:
        for _ in range(2):
            await site.held()
        for _ in range(3):
            await site.make("echo")
        await site.make("echo", query="?delay=3600&queue=later")
        found = await scrape(site)
        assert found("queue_tasks", queue="default", state="running") == 2
        assert found("queue_tasks", queue="default", state="waiting") == 3
        assert found("queue_tasks", queue="later", state="delayed") == 1
        assert found("queue_tasks", queue="later", state="waiting") is None
        age = found("queue_oldest_seconds", queue="default")
        assert age is not None
        assert 0 <= age < 60
        assert found.labels("queue_oldest_seconds", "queue") == {"default"}
        assert (found("slots"), found("slots_used")) == (2, 2)


async def test_the_age_of_a_queue_is_that_of_its_oldest_whatever_its_priority(serve: Serve) -> None:
    async with serve(concurrency=1) as site:
        await site.held()
        for priority in (-5, 0, 5):
            await site.make("echo", query=f"?priority={priority}")
            await asyncio.sleep(0.005)  # so that their times differ
        ((first,),) = site.sql("SELECT min(run_at) FROM tasks WHERE status = 'pending'")
        runtime = site.app.extensions["quart_app"].runtime
        assert await runtime.store.oldest(["default", "empty"]) == {"default": first}


async def test_commits_and_bytes_are_those_of_the_database(site: Site) -> None:
    await site.run("echo")  # what the services write at start is written by now
    before = await scrape(site)
    await site.post("/tasks", [{"kind": "echo", "delay": 3600}] * 20)
    after = await scrape(site)
    assert (after("store_commits_total") or 0) - (before("store_commits_total") or 0) == 1
    assert (after("store_rows_total") or 0) - (before("store_rows_total") or 0) == 20
    path = str(site.settings.database_path)
    assert after("store_database_bytes") == os.stat(path).st_size  # noqa: PTH116
    assert after("store_wal_bytes") == os.stat(f"{path}-wal").st_size > 0  # noqa: PTH116
    assert (after("store_up"), after("store_waiting_rows")) == (1, 0)


async def test_requests_are_counted_by_route_template_and_never_by_path(site: Site) -> None:
    task_id = (await site.run("echo"))["task_id"]
    await site.get("/tasks/no-such-task")
    await site.get("/secret-path")
    await site.request("BREW", "/tasks")
    await site.post("/tasks/echo", b"{")
    found = await scrape(site)

    def count(route: str, method: str, status: str) -> float | None:
        return found("http_request_seconds_count", route=route, method=method, status=status)

    assert count("/tasks/<kind>", "POST", "2xx") == 1
    assert count("/tasks/<kind>", "POST", "4xx") == 1
    assert count("/tasks/<task_id>", "GET", "2xx") == 1
    assert count("/tasks/<task_id>", "GET", "4xx") == 1
    assert count("other", "GET", "4xx") == 1
    assert found.labels("http_request_seconds_count", "method") == {"GET", "POST", "other"}
    assert (found("http_request_seconds_sum", route="/tasks/<kind>", method="POST", status="2xx") or -1) > 0
    for text in (task_id, "no-such-task", "secret-path", "BREW"):
        assert text not in found.text


async def test_the_process_is_described_by_the_librarys_collectors(site: Site) -> None:
    found = await scrape(site)
    assert found.names >= {
        "process_resident_memory_bytes",
        "process_open_fds",
        "python_info",
        "python_gc_objects_collected_total",
    }
    assert not [name for name in found.names if name.endswith("_created")]


async def test_a_store_that_cannot_write_is_down_and_still_read(site: Site) -> None:
    await site.make("echo", query="?delay=3600")
    site.app.extensions["quart_app"].runtime._db.declare_broken("as the test wants it")
    found = await scrape(site)
    assert found("store_up") == 0
    assert found("queue_tasks", queue="default", state="delayed") == 1
    assert found("store_commits_total") is None


async def test_a_store_that_does_not_answer_holds_no_scrape_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never() -> list[Count]:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(site.app.extensions["quart_app"].runtime.store, "counts", never)
    monkeypatch.setattr(views, "PATIENCE", 0.01)
    found = await scrape(site)
    assert (found("store_up"), found("slots")) == (0, site.settings.concurrency)


async def test_a_blocked_loop_shows_in_the_lag(serve: Serve) -> None:
    async with serve() as site:
        watch = site.app.before_serving_funcs[0].__self__._watch  # type: ignore[attr-defined]
        assert (await scrape(site))("event_loop_lag_seconds") == watch.lag < 60
        watch._ticked_at -= 100  # the next tick finds itself late
        watch._tick()
        assert (await scrape(site))("event_loop_lag_seconds") == pytest.approx(100, abs=20)


async def test_two_apps_in_one_process_count_their_own(tmp_path: Path) -> None:
    sites = []
    for name in ("one", "two"):
        settings = Settings(data_dir=str(tmp_path / name), drain_seconds=0.0)
        app = Quart(name)
        QuartTasks(app, settings, tasks=[kinds.fail if name == "two" else kinds.echo], url_prefix="/jobs")
        sites.append(Site(app, settings))
    one, two = sites
    async with one.app.test_app():
        await one.post("/jobs/tasks/echo", {}, {"Prefer": "wait=20"})
        await one.get("/not-ours")
        async with two.app.test_app():
            await two.post("/jobs/tasks/fail", {}, {"Prefer": "wait=20"})
            found, other = await scrape(one, "/jobs/metrics"), await scrape(two, "/jobs/metrics")
    assert found.labels("tasks_total", "kind") == {"echo"}
    assert other.labels("tasks_total", "kind") == {"fail"}
    assert found.labels("http_request_seconds_count", "route") == {"/jobs/tasks/<kind>"}


def test_labels_are_bounded_whatever_people_name_their_tasks_and_queues() -> None:
    metrics = Metrics()
    metrics.kinds = frozenset({"known"})
    for number in range(1000):
        metrics.task_ended(f"kind-{number}", "suspend", 0.1)
        metrics.request_answered(None, f"M{number}", 405, 0.1)
    metrics.task_ended("known", "completed", 0.1)
    counts = [Count(f"queue-{number}", "known", "pending", 1, number + 1) for number in range(1000)]
    found = Samples(metrics.text(Figures(single={}, counts=counts)).decode())
    assert found.labels("tasks_total", "kind") == {"known", "other"}
    assert found("tasks_total", kind="other", outcome="suspend") == 1000
    assert found("http_request_seconds_count", route="other", method="other", status="4xx") == 1000
    queues = found.labels("queue_tasks", "queue")
    assert len(queues) == module.MAX_QUEUES + 1
    assert "queue-999" in queues
    assert sum(found("queue_tasks", queue=queue, state="waiting") or 0 for queue in queues) == 1000 * 1001 / 2
