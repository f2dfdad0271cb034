"""What a wait costs: one commit when it begins, and one that both ends it and claims the task again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from quart_app import SignalTimeout, TaskContext, task
from quart_app.store.sqlite.transaction import Transaction
from tests.engine.engine import Engine, Gate, result, until

Commit = set[str]  # the names of its statements

calls: list[Any] = []
gate = Gate()
pytestmark = pytest.mark.usefixtures("fresh_state")


@task("naps")
async def naps(ctx: TaskContext) -> str:
    await ctx.sleep(1.05)
    return "over"


@task("child")
async def child() -> str:
    await gate.wait()
    return "over"


@task("gathers")
async def gathers(ctx: TaskContext) -> Any:
    ids = await ctx.spawn_many("child", [{}] * 3)
    return (await ctx.gather(ids))[-1]


@task("waits")
async def waits(ctx: TaskContext, limit: float | None = None) -> Any:
    try:
        return await ctx.wait_signal("go", timeout=limit)
    except SignalTimeout:
        return "over"


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[Commit]:
    """Those that changed something, as they come."""
    found: list[Commit] = []
    run = Transaction.run

    def watched(self: Transaction, execute: Any, in_transaction: Callable[[], bool]) -> None:
        def changes() -> int:
            return int(execute("SELECT total_changes()", {}).fetchone()[0])

        before = changes()
        run(self, execute, in_transaction)
        if changes() != before:
            found.append({call.statement for write in self._writes for call in write.calls})

    monkeypatch.setattr(Transaction, "run", watched)
    return found


@pytest.mark.parametrize(
    ("kind", "args", "waits_for", "suspends", "wakes", "records"),
    [
        ("naps", {}, "time", "suspend_until", "make_ready", 1),
        ("gathers", {}, "children", "suspend_for_children", "complete", 2),  # what it made, and what it gathered
        ("waits", {}, "signal:go", "suspend_for_signal", "put_signal", 1),
        ("waits", {"limit": 0.3}, "time", "suspend_for_signal", "end_waits", 2),  # and that no signal came
    ],
)
async def test_a_wait_costs_two_commits(
    engine: Engine,
    commits: list[Commit],
    kind: str,
    args: dict[str, Any],
    waits_for: str,
    suspends: str,
    wakes: str,
    records: int,
) -> None:
    handle = await engine.enqueue(kind, args)
    if waits_for != "time":
        await until(lambda: engine.sql("SELECT 1 FROM tasks WHERE waiting_for = ?", waits_for), "the task to wait")
    if kind == "waits" and not args:
        await engine.runtime.family.signal(handle.id, "go", '"over"', None, None)
    gate.open()
    assert result(await engine.end(handle)) == "over"
    assert sum(suspends in one for one in commits) == 1
    last = [one for one in commits if "claim" in one][-1]
    assert wakes in last
    assert sum("record_step" in one for one in commits) == records
