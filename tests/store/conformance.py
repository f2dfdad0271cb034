"""The contract of store/protocols/tasks.py as tests: every store must pass all of it.

A suite for a store is a class derived from StoreConformance, and the fixtures `store` (a fresh one, worker
"worker-a"), `rival` (another worker on the same tables), `bells` (the listener of `store`) and `sql` (plain SQL on
the same tables); see test_sqlite.py.
"""

from __future__ import annotations

from tests.store.conform_claiming import Claiming
from tests.store.conform_creating import Creating
from tests.store.conform_grouping import Grouping
from tests.store.conform_hands import Hands
from tests.store.conform_reading import Reading
from tests.store.conform_recording import Recording
from tests.store.conform_running import Running
from tests.store.conform_transitions import Transitions
from tests.store.conform_upkeep import Upkeep

ROOMS = (Creating, Claiming, Running, Recording, Hands, Upkeep, Reading, Grouping, Transitions)


class StoreConformance(Creating, Claiming, Running, Recording, Hands, Upkeep, Reading, Grouping, Transitions):
    """All of it. Two tests of one name would hide each other, so names are counted."""

    def test_no_test_of_this_suite_hides_another(self) -> None:
        names = [name for room in ROOMS for name in vars(room) if name.startswith("test_")]
        assert len(names) == len(set(names))
        assert set(names) <= set(dir(self))
