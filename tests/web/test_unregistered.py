"""Tasks whose kind is no longer there: they wait, and say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem

GONE = """
from quart_app import task

@task("{name}")
async def handler(x: int = 0) -> int:
    return x
"""


async def parked(site: Site, task_id: str) -> Any:
    """The task once it waits for its kind."""
    task = await site.task(task_id)
    while not task["waiting_for"]:
        seen = {"If-None-Match": f'"{task["version"]}"'}
        task = (await site.get(f"/tasks/{task_id}?wait=20", seen)).json
    return task


async def test_a_task_of_a_kind_that_is_gone_waits_and_says_so_until_it_is_back(serve: Serve, tmp_path: Path) -> None:
    module = tmp_path / "later.py"
    module.write_text(GONE.format(name="seasonal"))
    async with serve(tasks=str(module)) as site:
        task_id = await site.make("seasonal", {"x": 8}, "?delay=0.5")
    async with serve(tasks="") as site:
        task = await parked(site, task_id)
        assert (task["status"], task["waiting_for"], task["attempt"]) == ("pending", "kind:seasonal", 0)
        assert_problem(await site.post("/tasks/seasonal", {}), 404)
        assert (await site.get("/tasks?kind=seasonal")).json["tasks"][0]["task_id"] == task_id
    async with serve(tasks=str(module)) as site:
        task = await site.ended(task_id)
        assert (task["status"], task["result"], task["waiting_for"], task["attempt"]) == ("completed", 8, None, 1)


async def test_a_waiting_task_of_a_gone_kind_can_be_cancelled(serve: Serve, tmp_path: Path) -> None:
    module = tmp_path / "never.py"
    module.write_text(GONE.format(name="lost"))
    async with serve(tasks=str(module)) as site:
        task_id = await site.make("lost", {}, "?delay=0.5")
    async with serve(tasks="") as site:
        await parked(site, task_id)
        assert (await site.post(f"/tasks/{task_id}/cancel")).status == 200
        assert (await site.task(task_id))["status"] == "cancelled"


async def test_args_that_no_longer_fit_end_the_task(serve: Serve, tmp_path: Path) -> None:
    before, after = tmp_path / "before.py", tmp_path / "after.py"
    before.write_text(GONE.format(name="changed"))
    after.write_text(GONE.format(name="changed").replace("x: int = 0", "x: str"))
    async with serve(tasks=str(before)) as site:
        task_id = await site.make("changed", {"x": 1}, "?delay=0.5")
    async with serve(tasks=str(after)) as site:
        task = await site.ended(task_id)
        assert (task["status"], task["error"]["type"], task["error"]["retryable"]) == ("failed", "invalid_args", False)
