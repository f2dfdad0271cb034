"""`GET /tasks/<id>/explain`: why a task is where it is."""

from __future__ import annotations

from typing import Any

from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem
from tests.web.test_keys import ANN, BOB, KEYS, bearer

LIMITED = """
from quart_app import Limit, TaskContext, task
from tests.web.kinds import passed

one = Limit("one", concurrency=1)


@task("limited", limits=[one])
async def limited(ctx: TaskContext) -> None:
    await passed(ctx, "limited")


@task("rare", rate_limit="1/3600")
async def rare() -> None:
    pass
"""


async def explained(site: Site, task_id: str) -> Any:
    answer = await site.get(f"/tasks/{task_id}/explain")
    assert answer.status == 200, answer.body
    assert answer.json["task_id"] == task_id
    return answer.json


async def test_of_tasks_that_have_ended_run_or_come_later(site: Site) -> None:
    ended = await explained(site, (await site.run("echo"))["task_id"])
    assert (ended["reason"], ended["position"], ended["expected_start"]) == ("ended", None, None)
    running = await explained(site, await site.held())
    assert (running["reason"], running["limits"]) == ("running", [])
    later = await site.make("echo", query="?delay=3600")
    found = await explained(site, later)
    assert found["reason"] == "scheduled"
    assert found["expected_start"] == (await site.get(f"/tasks/{later}")).json["run_at"]


async def test_of_tasks_that_wait_for_a_slot(serve: Serve) -> None:
    async with serve(concurrency=1) as site:
        await site.run("echo")
        await site.held()
        waiting = [await site.make("echo", query=f"?priority={number}") for number in (5, 4, 5)]
        found = [await explained(site, task_id) for task_id in waiting]
        assert [(one["reason"], one["position"]) for one in found] == [("slots", 0), ("behind", 2), ("behind", 1)]
        assert all(one["based_on"] == 1 and one["expected_start"] < one["expected_end"] for one in found)


async def test_of_tasks_that_a_limit_holds_back(serve: Serve, tmp_path: Any) -> None:
    kinds = tmp_path / "limited_kinds.py"
    kinds.write_text(LIMITED)
    async with serve(tasks=str(kinds)) as site:
        first, second, third = [await site.make("limited") for _ in range(3)]
        await site.until(first, "processing")
        found = [await explained(site, one) for one in (first, second, third)]
        assert [one["reason"] for one in found] == ["running", "limit", "limit"]
        assert [one["limits"] for one in found] == [[{"name": "one", "until": None, "running": 1, "allowed": 1}]] * 3
        assert found[2]["position"] == found[1]["position"] + 1
        await site.run("rare")
        rare = await explained(site, await site.make("rare"))
        assert (rare["reason"], rare["limits"][0]["name"]) == ("limit", "kind:rare")
        assert rare["limits"][0]["until"] == rare["expected_start"]
        site.open_gate("limited")
        assert (await site.ended(third))["status"] == "completed"


async def test_only_its_owner_is_told(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        task_id = await site.make("echo", query="?delay=60", headers=bearer(ANN))
        assert (await site.get(f"/tasks/{task_id}/explain", bearer(ANN))).json["reason"] == "scheduled"
        assert_problem(await site.get(f"/tasks/{task_id}/explain", bearer(BOB)), 404)
        assert_problem(await site.get(f"/tasks/{task_id}/explain?why=1", bearer(ANN)), 400)
