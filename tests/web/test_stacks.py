"""`GET /tasks/<id>/stack`, and what the history says of a task that hung."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem
from tests.web.test_keys import ANN, BOB, KEYS, bearer

UNKNOWN = "01a1fc91-bf65-7cf5-9e74-aba76276041c"


async def test_the_stack_of_a_running_task(site: Site) -> None:
    task_id = await site.held()
    answer = await site.get(f"/tasks/{task_id}/stack")
    assert answer.status == 200
    assert answer.json.keys() == {"at", "frames"}
    outermost, inner, *_ = answer.json["frames"]
    assert outermost == {
        "file": "tests/web/kinds.py",
        "line": outermost["line"],
        "function": "hold",
        "code": "await passed(ctx, name)",
    }
    assert (inner["file"], inner["function"]) == ("tests/web/kinds.py", "passed")
    assert (await site.get(f"/tasks/{task_id}")).json["status"] == "processing"


async def test_what_does_not_run_is_409_and_what_is_not_there_404(site: Site) -> None:
    pending = await site.make("echo", query="?delay=3600")
    assert_problem(await site.get(f"/tasks/{pending}/stack"), 409, part="does not run here, it is pending")
    ended = (await site.run("echo"))["task_id"]
    assert_problem(await site.get(f"/tasks/{ended}/stack"), 409, part="it is completed")
    assert_problem(await site.get(f"/tasks/{UNKNOWN}/stack"), 404)
    assert_problem(await site.get("/tasks/../stack"), 404)
    assert_problem(await site.get(f"/tasks/{ended}/stack?depth=3"), 400)


async def test_the_stack_of_anothers_task_is_404(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        task_id = await site.make("hold", headers=bearer(ANN))
        seen: dict[str, Any] = {}
        while seen.get("status") != "processing":
            seen = (await site.get(f"/tasks/{task_id}", bearer(ANN))).json
        assert (await site.get(f"/tasks/{task_id}/stack", bearer(ANN))).status == 200
        assert_problem(await site.get(f"/tasks/{task_id}/stack", bearer(BOB)), 404)
        assert (await site.get(f"/tasks/{task_id}/stack")).status == 401
        site.open_gate("hold")


async def test_a_task_whose_time_was_over_says_where_it_was(site: Site) -> None:
    task_id = await site.make("hold", query="?timeout=0.2")
    assert (await site.ended(task_id))["error"]["type"] == "timeout"
    (line,) = (await site.get(f"/tasks/{task_id}/history")).json["logs"]
    assert line["message"] == "where it was when its time was over"
    assert line["fields"]["frames"][0]["code"] == "await passed(ctx, name)"


@pytest.mark.parametrize("version", ["", "2026-11-28+a1"])
async def test_each_attempt_says_with_which_code_it_ran(serve: Serve, version: str) -> None:
    async with serve(code_version=version) as site:
        task_id = (await site.run("fail-twice"))["task_id"]
        attempts = (await site.get(f"/tasks/{task_id}/history")).json["attempts"]
        assert [one["code_version"] for one in attempts] == [version or None] * 3


async def test_attempts_of_one_task_with_different_code_are_told_apart(serve: Serve) -> None:
    async with serve(code_version="v1") as site:
        task_id = await site.make("fail", {"message": "x"})
        await site.ended(task_id)
    async with serve(code_version="v2") as site:
        assert (await site.post(f"/tasks/{task_id}/retry")).status == 202
        await site.ended(task_id)
        attempts = (await site.get(f"/tasks/{task_id}/history")).json["attempts"]
        assert [one["code_version"] for one in attempts] == ["v1", "v2"]
