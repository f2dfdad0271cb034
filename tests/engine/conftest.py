"""`start` makes engines for a test; the kinds of the test's own module are registered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from quart_app.engine import attempt
from quart_app.engine.registry import Registry
from tests.engine.engine import Engine

Start = Callable[..., Awaitable[Engine]]


@pytest.fixture
async def start(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Start]:
    """`await start(concurrency=1)`: an open engine with the given settings, closed when the test ends."""
    own = Registry()
    own.add_module(request.module)
    started: list[Engine] = []

    async def make(kinds: Any = None, **settings: Any) -> Engine:
        engine = Engine(tmp_path, own.declared() if kinds is None else kinds, **settings)
        await engine.open()
        started.append(engine)
        return engine

    yield make
    for engine in started:
        await engine.close()


@pytest.fixture
async def fresh_state(start: Start, request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """For modules with `calls` and a `gate`. Comes after `start`, so that its end lets every handler go before the
    engine closes."""
    request.module.calls.clear()
    request.module.gate.close()
    yield
    request.module.gate.open()


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "GRACE", 0.2)


@pytest.fixture
async def engine(start: Start) -> Engine:
    return await start()
