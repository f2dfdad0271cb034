"""The metrics for Prometheus. Only what no other part counts is counted here; everything else is read at scrape time.

Labels are bounded: registered kinds, route templates, the queues with the most tasks; the rest is "other".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from quart_app.core.task import Count

MAX_QUEUES: Final = 50
OTHER: Final = "other"
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
RUN_SECONDS: Final = (0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 3600)
REQUEST_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 60)

# name -> (type, help text); read at scrape time, and left out when it cannot be read
READ: Final[Mapping[str, tuple[type[GaugeMetricFamily | CounterMetricFamily], str]]] = {
    "quart_app_store_up": (GaugeMetricFamily, "1 when the last write succeeded"),
    "quart_app_store_commits_total": (CounterMetricFamily, "Transactions committed"),
    "quart_app_store_rows_total": (CounterMetricFamily, "Rows written by them"),
    "quart_app_store_waiting_rows": (GaugeMetricFamily, "Rows handed to the writer and not yet written"),
    "quart_app_store_database_bytes": (GaugeMetricFamily, "Size of the database file"),
    "quart_app_store_wal_bytes": (GaugeMetricFamily, "Size of its write-ahead log"),
    "quart_app_slots": (GaugeMetricFamily, "Tasks that may run at once"),
    "quart_app_slots_used": (GaugeMetricFamily, "Tasks that run in this process"),
    "quart_app_held_tasks": (GaugeMetricFamily, "Due tasks that limits hold back"),
    "quart_app_paused_queues": (GaugeMetricFamily, "Queues that are paused"),
    "quart_app_paused_kinds": (GaugeMetricFamily, "Kinds that are paused"),
    "quart_app_streams": (GaugeMetricFamily, "Event streams and WebSockets that are open"),
    "quart_app_disk_free_bytes": (GaugeMetricFamily, "Bytes that are free on the disk of the data"),
    "quart_app_abandoned_handlers": (GaugeMetricFamily, "Handlers that ignored their cancel and still run"),
    "quart_app_refused_writes_total": (CounterMetricFamily, "Writes of runs that had lost their claim"),
    "quart_app_refused_keys_total": (
        CounterMetricFamily,
        "Requests with a key that opens nothing, or too many of them",
    ),
    "quart_app_event_loop_lag_seconds": (GaugeMetricFamily, "Longest delay of the event loop in the last 15 seconds"),
    "quart_app_log_lines_dropped_total": (CounterMetricFamily, "Log lines that console or file could not take"),
}
QUEUE_TASKS: Final = "quart_app_queue_tasks"
SUSPENDED: Final = "quart_app_suspended_tasks"
QUEUE_OLDEST: Final = "quart_app_queue_oldest_seconds"
# Metrics over the tasks of all owners together, in addition to those of the queues.
OF_ALL: Final = frozenset(
    {
        "quart_app_tasks",
        "quart_app_run_seconds",
        "quart_app_held_tasks",
        "quart_app_paused_queues",
        "quart_app_paused_kinds",
        "quart_app_slots",
        "quart_app_slots_used",
        "quart_app_disk_free_bytes",
        "quart_app_abandoned_handlers",
        "quart_app_refused_writes_total",
        "quart_app_refused_keys_total",
    }
)


class Figures(msgspec.Struct, kw_only=True):
    """The values read for one scrape. `single`: by the names of READ. `counts`, `oldest` (seconds by queue) and
    `suspended` (tasks by cause): None when the store did not answer."""

    single: Mapping[str, float]
    counts: Sequence[Count] | None = None
    oldest: Mapping[str, float] | None = None
    suspended: Mapping[str, int] | None = None


class Metrics:
    """The metrics of one app: two apps in one process have none in common. Used on the event loop only."""

    def __init__(self) -> None:
        self.kinds: Set[str] = frozenset()
        """The registered kinds; set before the first task ends."""
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._tasks = Counter(
            "quart_app_tasks",
            "Ends of tasks (completed failed cancelled expired poisoned), and of runs after which the task goes on",
            ("kind", "outcome"),
            registry=self._registry,
        )
        self._runs = Histogram(
            "quart_app_run_seconds",
            "Time that handlers took for one attempt, however it ended",
            ("kind",),
            buckets=RUN_SECONDS,
            registry=self._registry,
        )
        self._requests = Histogram(
            "quart_app_http_request_seconds",
            "Time to the answer of HTTP requests",
            ("route", "method", "status"),
            buckets=REQUEST_SECONDS,
            registry=self._registry,
        )
        # Finding a child by its labels costs more than counting with it.
        self._tasks_by: dict[tuple[str, str], Counter] = {}
        self._runs_by: dict[str, Histogram] = {}
        self._requests_by: dict[tuple[str | None, str, int], Histogram] = {}

    # --- counting

    def task_ended(self, kind: str, outcome: str, seconds: float | None) -> None:
        """Count an end (this is an `OnEnd`)."""
        if kind not in self.kinds:
            kind = OTHER
        counter = self._tasks_by.get((kind, outcome))
        if counter is None:
            counter = self._tasks_by[kind, outcome] = self._tasks.labels(kind, outcome)
        counter.inc()
        if seconds is not None:
            histogram = self._runs_by.get(kind)
            if histogram is None:
                histogram = self._runs_by[kind] = self._runs.labels(kind)
            histogram.observe(seconds)

    def request_answered(self, route: str | None, method: str, status: int, seconds: float) -> None:
        """Count an answer. `route`: the template of the route, None when there is no such route. `seconds`: the time to
        the answer."""
        if method not in METHODS:
            method = OTHER
        histogram = self._requests_by.get((route, method, status // 100))
        if histogram is None:
            histogram = self._requests.labels(route or OTHER, method, f"{status // 100}xx")
            self._requests_by[route, method, status // 100] = histogram
        histogram.observe(seconds)

    # --- showing

    def text(self, figures: Figures, of_all: bool = True) -> bytes:
        """The metrics in Prometheus' text format. `of_all`: also those over the tasks of all owners together."""
        return generate_latest(_Scrape(self._registry, figures, of_all))


class _Scrape:
    """The metrics of one scrape, in the form of a registry, as the library expects it."""

    def __init__(self, registry: CollectorRegistry, figures: Figures, of_all: bool) -> None:
        self._registry = registry
        self._figures = figures
        self._of_all = of_all

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            # The creation time of each child is half of the answer, and Prometheus makes no use of it.
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            if self._of_all or family.name not in OF_ALL:
                yield family
        for name, value in self._figures.single.items():
            if self._of_all or name not in OF_ALL:
                kind, text = READ[name]
                yield kind(name, text, value=value)
        if not self._of_all:
            return
        if self._figures.counts is not None:
            yield _queue_tasks(self._figures.counts)
        if self._figures.oldest is not None:
            family = GaugeMetricFamily(QUEUE_OLDEST, "Age of the oldest due task", labels=("queue",))
            for queue, seconds in self._figures.oldest.items():
                family.add_metric((queue,), seconds)
            yield family
        if self._figures.suspended is not None:
            family = GaugeMetricFamily(SUSPENDED, "Tasks that wait without a slot", labels=("cause",))
            for cause, n in self._figures.suspended.items():
                family.add_metric((cause,), n)
            yield family


def busiest(counts: Sequence[Count]) -> list[str]:
    """The queues with a label of their own: the MAX_QUEUES with the most tasks that have not ended."""
    live: dict[str, int] = {}
    for one in counts:
        if one.status in ("pending", "processing"):
            live[one.queue] = live.get(one.queue, 0) + one.n
    return sorted(live, key=lambda queue: (-live[queue], queue))[:MAX_QUEUES]


def _queue_tasks(counts: Sequence[Count]) -> Metric:
    named = set(busiest(counts))
    found: dict[tuple[str, str], int] = {}
    for one in counts:
        if one.status in ("pending", "processing"):
            state = "running" if one.status == "processing" else "waiting" if one.ready else "delayed"
            key = (one.queue if one.queue in named else OTHER, state)
            found[key] = found.get(key, 0) + one.n
    family = GaugeMetricFamily(
        QUEUE_TASKS, "Tasks that have not ended: waiting (due), delayed, running", labels=("queue", "state")
    )
    for labels, n in sorted(found.items()):
        family.add_metric(labels, n)
    return family
