"""Figures of the tasks by kind."""

from __future__ import annotations

from quart_app.core.statistics import KindFigures
from quart_app.store.protocols.tasks import Store
from quart_app.store.sqlite.database import Database
from quart_app.store.statistics import SqlStatistics
from tests.store.kit import ERROR, T, claimed, pending


async def ended(store: Store, seconds: float, status: str = "complete", at: int = T, kind: str = "k") -> None:
    """A task whose run took so long and ended at a time."""
    begun = at - round(seconds * 1000)
    task = await claimed(store, now=begun, kind=kind)
    if status == "complete":
        assert await store.complete(task.id, task.fence, "1", at)
    else:
        assert await store.fail(task.id, task.fence, ERROR, at)


async def test_percentiles_are_those_of_the_rank(store: Store, database: Database) -> None:
    statistics = SqlStatistics(database)
    for seconds in range(20, 0, -1):
        await ended(store, seconds)
    assert await statistics.kind_figures(T, 99) == [KindFigures("k", 20, 0, 0, 20, 10_000, 19_000)]


async def test_kinds_and_ends_are_told_apart(store: Store, database: Database) -> None:
    statistics = SqlStatistics(database)
    await ended(store, 3, kind="b")
    await ended(store, 5, "fail", kind="a")
    await ended(store, 1, kind="a")
    await store.cancel(await pending(store, kind="c"), T)
    assert await statistics.kind_figures(T, 99) == [
        KindFigures("a", 1, 1, 0, 2, 1000, 5000),
        KindFigures("b", 1, 0, 0, 1, 3000, 3000),
        KindFigures("c", 0, 0, 1, 0, None, None),
    ]


async def test_what_ended_before_and_what_is_beyond_the_sample_is_left_out(store: Store, database: Database) -> None:
    statistics = SqlStatistics(database)
    assert await statistics.kind_figures(T, 99) == []
    await ended(store, 1, at=T - 1)
    assert await statistics.kind_figures(T, 99) == []
    for _ in range(5):
        await ended(store, 1)
    assert await statistics.kind_figures(T, 3) == [KindFigures("k", 3, 0, 0, 3, 1000, 1000)]


async def test_the_last_document_is_kept(database: Database) -> None:
    statistics = SqlStatistics(database)
    assert await statistics.statistics() is None
    for document in ('{"a":1}', '{"a":2}'):
        await statistics.put_statistics(document, T)
    assert await statistics.statistics() == '{"a":2}'
