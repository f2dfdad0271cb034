"""`/start/<x>/<y>` and `/status/<id>` answer in the words of the quick guide."""

from __future__ import annotations

import pytest

from tests.web.conftest import Serve
from tests.web.site import NOT_ASKED_FOR, Site, assert_problem


async def started(site: Site, x: object, y: object) -> str:
    answer = await site.get(f"/start/{x}/{y}")
    assert answer.status == 200
    assert answer.json["status"] == "started"
    task_id: str = answer.json["task_id"]
    return task_id


async def test_the_guides_own_example(site: Site) -> None:
    task_id = await started(site, 10, 5)
    await site.ended(task_id)
    answer = await site.get(f"/status/{task_id}")
    assert (answer.status, answer.json) == (200, {"status": "done", "result": 15})


async def test_a_task_under_way_is_running(serve: Serve) -> None:
    async with serve(simulated_add_seconds=60.0) as site:
        task_id = await started(site, 1, 2)
        await site.until(task_id, "processing")
        assert (await site.get(f"/status/{task_id}")).json == {"status": "running"}


async def test_a_task_that_waits_is_running_too(site: Site) -> None:
    task_id = await site.make("add", {"x": 1, "y": 2}, "?delay=3600")
    assert (await site.get(f"/status/{task_id}")).json == {"status": "running"}


BIG = int("9" * 1000)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (-10, 5),
        (-1, -2),
        (0, 0),
        ("-0", 7),
        ("007", 1),
        (2**53 + 1, 1),
        (2**63, -1),
        (10**999, 1),
        (BIG, -BIG),
        (-BIG, 1),
        (BIG, BIG),
    ],
)
async def test_integers_of_any_sign_and_up_to_1000_digits_are_added(site: Site, x: object, y: object) -> None:
    task_id = await started(site, x, y)
    await site.ended(task_id)
    assert (await site.get(f"/status/{task_id}")).json == {"status": "done", "result": int(str(x)) + int(str(y))}


@pytest.mark.parametrize(
    "x",
    ["1.5", "ten", "1e3", "0x10", "+5", "%205", "5%20", "1_0", "%D9%A3", "--1", "-", "NaN", "%00", "1%0A", "1" * 1001],
)
async def test_anything_else_is_400_and_starts_nothing(site: Site, x: str) -> None:
    for path in (f"/start/{x}/1", f"/start/1/{x}"):
        assert_problem(await site.get(path), 400)
    assert await site.total() == 0


async def test_a_failed_task_shows_its_error(site: Site) -> None:
    task_id = (await site.run("fail", {"message": "it broke"}))["task_id"]
    assert (await site.get(f"/status/{task_id}")).json == {"status": "failed", "error": "ValueError: it broke"}


async def test_a_cancelled_task_says_so(site: Site) -> None:
    task_id = await site.make("add", {"x": 1, "y": 2}, "?delay=3600")
    await site.post(f"/tasks/{task_id}/cancel")
    assert (await site.get(f"/status/{task_id}")).json == {"status": "cancelled"}


async def test_the_id_of_any_kind_works(site: Site) -> None:
    task_id = (await site.run("echo", {"value": {"any": "thing"}}))["task_id"]
    assert (await site.get(f"/status/{task_id}")).json == {"status": "done", "result": {"any": "thing"}}


async def test_a_task_without_a_result_is_done_with_null(site: Site) -> None:
    task_id = (await site.run("echo"))["task_id"]
    assert (await site.get(f"/status/{task_id}")).json == {"status": "done", "result": None}


@pytest.mark.parametrize("task_id", ["abc-123", "%00", "..", "i" * 3000])
async def test_an_unknown_task_is_404_in_the_guides_words(site: Site, task_id: str) -> None:
    assert assert_problem(await site.get(f"/status/{task_id}"), 404)["error"] == "Task not found"


async def test_the_task_is_an_ordinary_one(site: Site) -> None:
    task = await site.ended(await started(site, 2, 3))
    assert (task["kind"], task["args"], task["result"]) == ("add", {"x": 2, "y": 3}, 5)


async def test_it_survives_a_restart(serve: Serve) -> None:
    async with serve(simulated_add_seconds=60.0) as site:
        task_id = await started(site, 20, 22)
        await site.until(task_id, "processing")
    async with serve() as site:
        await site.ended(task_id)
        assert (await site.get(f"/status/{task_id}")).json == {"status": "done", "result": 42}


@pytest.mark.parametrize(("method", "headers"), NOT_ASKED_FOR)
async def test_head_prefetch_and_other_sites_start_nothing(site: Site, method: str, headers: dict[str, str]) -> None:
    assert_problem(await site.request(method, "/start/1/2", headers=headers), 403)
    assert await site.total() == 0


async def test_a_query_is_400_and_starts_nothing(site: Site) -> None:
    assert_problem(await site.get("/start/1/2?z=3"), 400)
    assert await site.total() == 0
