"""`audit` proves what is counted of lanes, gates and shares."""

from __future__ import annotations

from pathlib import Path

import pytest

from quart_app.core.claim_limits import LimitDefinition, Rate
from quart_app.store.audit import audit
from quart_app.store.claim_limits import SqlClaimLimits
from quart_app.store.sqlite.backup import backup
from quart_app.store.sqlite.database import Database
from quart_app.store.tasks import SqlStore
from tests.store.kit import Bells, T, new_task
from tests.store.test_audit import Vandal


@pytest.fixture
async def path(database: Database, store: SqlStore, database_path: Path, tmp_path: Path) -> Path:
    """A copy of a database with tasks that run, wait for a limit, and have ended."""
    limits = SqlClaimLimits(database, Bells())
    await limits.declare([LimitDefinition("a", 1, Rate(5, 1000))], {"mail": [("a", None)]})
    store.laned.add("mail")
    for owner in ("ann", "bob"):
        for kind in ("mail", "mail", "free"):
            await store.enqueue([new_task(T, kind=kind, owner=owner)])
    (first, *_) = [one for one in await store.claim({"default": 4}, T) if one.kind == "mail"]
    await store.complete(first.id, first.fence, "1", T)
    assert await store.claim({"default": 4}, T)
    backup(database_path, tmp_path / "copy.db")
    return tmp_path / "copy.db"


def test_lanes_that_the_store_wrote_are_clean(path: Path) -> None:
    report = audit(path)
    assert report.findings == []
    assert (report.checked["lanes"] >= 2, report.checked["gates"], report.checked["shares"] >= 1) == (True, 1, True)


FAULTS = {
    "a task to claim too many": ("UPDATE lanes SET ready = ready + 1 WHERE live > 0", "tasks to claim"),
    "a task too few": ("UPDATE lanes SET live = live + 1", "tasks, and there are"),
    "a run too many": ("UPDATE gates SET running = 7", "gate a says 7 running"),
    "a lane too many": ("UPDATE gates SET lanes = 7", "gate a says 7 lanes"),
    "a start that is not on record": ("UPDATE gates SET started = started + 1", "other starts"),
    "an owner with a run too many": ("UPDATE shares SET running = running + 1", "running tasks, and there are others"),
    "an owner with a lane too many": ("UPDATE shares SET open = open + 1", "open lanes"),
    "a task in no lane": ("UPDATE tasks SET lane = 0 WHERE status = 'pending'", "to be put into a lane"),
    "a task in a lane that is gone": ("DELETE FROM lanes", "a lane that does not exist"),
    "a lane of a share that is gone": ("DELETE FROM shares", "of a share that does not exist"),
    "a task in another kind's lane": ("UPDATE lanes SET kind = 'other'", "tasks of another kind"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(path: Path, fault: str) -> None:
    statement, words = FAULTS[fault]
    Vandal(path)(statement)
    findings = audit(path).findings
    assert [line for line in findings if words in line], findings
