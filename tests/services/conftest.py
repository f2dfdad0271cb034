from __future__ import annotations

import pytest

from quart_app.store.base import Store
from quart_app.store.sqlite import Database
from tests.clock import VirtualClock
from tests.services.plant import Plant


@pytest.fixture
def plant(store: Store, database: Database, clock: VirtualClock) -> Plant:
    return Plant(store, database, clock)
