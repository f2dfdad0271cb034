"""The lifespan's end alone, without a signal before it, as a reload or another ASGI server may do it."""

from __future__ import annotations

from pathlib import Path

import pytest

from quart_app.app import create_app
from quart_app.settings import Settings
from tests.web.conftest import Serve
from tests.web.site import KINDS, Site


@pytest.mark.parametrize("drain_seconds", [0.0, 0.05])
async def test_a_stop_in_the_middle_of_work_charges_nothing(serve: Serve, tmp_path: Path, drain_seconds: float) -> None:
    settings = Settings(data_dir=str(tmp_path), tasks=str(KINDS), drain_seconds=drain_seconds, simulated_error_rate=0.0)
    app = create_app(settings)
    served = app.test_app()
    await served.startup()
    runtime = app.extensions["quart_app"].runtime
    site = Site(app, settings)
    held = [await site.make("hold") for _ in range(10)]
    audits = [(await site.get("/hello")).json["request_uuid"] for _ in range(10)]
    try:
        await served.shutdown()
    finally:
        if app.extensions["quart_app"].runtime is not None:  # else what is left would keep the loop from closing
            await runtime.close()
    site.open_gate("hold")
    async with serve() as site:
        tasks = [await site.ended(task_id) for task_id in (*held, *audits)]
    assert {(task["status"], task["attempt"], task["crashes"]) for task in tasks} == {("completed", 1, 0)}
