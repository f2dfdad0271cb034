from __future__ import annotations

import pytest

from quart_app.store.protocols.tasks import Store
from quart_app.store.sqlite.database import Database
from tests.clock import VirtualClock
from tests.upkeep.plant import Plant


@pytest.fixture
def plant(store: Store, database: Database, clock: VirtualClock) -> Plant:
    return Plant(store, database, clock)
