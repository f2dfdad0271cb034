"""A runtime by itself: no HTTP, and time that a test moves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from quart_app import task
from quart_app.runtime import Runtime
from quart_app.settings import Settings
from tests.clock import VirtualClock
from tests.engine.engine import until


@task("later")
async def later() -> str:
    return "done"


async def test_a_runtime_takes_any_clock_and_needs_no_http(tmp_path: Path) -> None:
    runs: list[asyncio.Task[Any]] = []
    clock = VirtualClock()
    runtime = Runtime(
        Settings(data_dir=str(tmp_path)), lambda f, *a: runs.append(asyncio.create_task(f(*a))), [later], clock
    )
    await runtime.open()

    handle = await later.enqueue_with({"delay": 3600})
    clock.advance(3599)
    await runtime._poller.run_once(clock.now())
    assert (await handle.get()).status == "pending"
    clock.advance(1)
    await runtime._poller.run_once(clock.now())
    assert await handle.result() == "done"

    closing = asyncio.create_task(runtime.close())
    await until(lambda: clock.advance(1) and closing.done(), "the end")
    await closing
    assert all(run.done() for run in runs)
