"""`start` makes engines for a test; the kinds of the test's own module are registered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from quart_app.runner.registry import Registry
from tests.runner.engine import Engine

Start = Callable[..., Awaitable[Engine]]


@pytest.fixture
async def start(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Start]:
    """`await start(concurrency=1)`: an open engine with the given settings, closed when the test ends."""
    own = Registry()
    own.add_module(request.module)
    started: list[Engine] = []

    async def make(kinds: Any = None, **settings: Any) -> Engine:
        engine = Engine(tmp_path, own if kinds is None else kinds, **settings)
        await engine.open()
        started.append(engine)
        return engine

    yield make
    for engine in started:
        await engine.close()


@pytest.fixture
async def engine(start: Start) -> Engine:
    return await start()
