"""`GET /stats`: figures over time."""

from __future__ import annotations

import datetime
from itertools import pairwise
from typing import Any

import pytest

from quart_app.web.openapi.shapes_of_statistics import Chart
from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem
from tests.web.test_keys import stored
from tests.web.test_shapes import assert_documented


async def counted(site: Site) -> None:
    task = await site.ended((await site.post("/schedules/stats-update/trigger")).id)
    assert task["status"] == "completed", task


async def chart(site: Site, query: str = "") -> Any:
    answer = await site.get(f"/stats{query}")
    assert answer.status == 200, answer.body
    return answer.json


def sums(document: Any) -> dict[str, list[int]]:
    """By name: started, completed, failed, cancelled of all buckets."""
    found: dict[str, list[int]] = {}
    for bucket in document["buckets"]:
        for name, one in bucket["figures"].items():
            of_name = found.setdefault(name, [0, 0, 0, 0])
            for place, what in enumerate(("started", "completed", "failed", "cancelled")):
                of_name[place] += one[what]
    return found


def moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


async def test_what_happened_is_counted_by_kind_and_by_queue(site: Site) -> None:
    before = await chart(site)
    assert before["counted_until"] is None
    assert sums(before) == {}
    for _ in range(3):
        await site.run("echo")
    await site.run("echo", query="?queue=slow")
    await site.run("fail", query="?max_attempts=1")
    await site.post(f"/tasks/{await site.make('echo', query='?delay=1000')}/cancel")
    await counted(site)
    for bucket in ("5m", "1h", "1d"):
        by_kind = sums(await chart(site, f"?bucket={bucket}"))
        assert by_kind["echo"] == [4, 4, 0, 1]
        assert by_kind["fail"] == [1, 0, 1, 0]
        by_queue = sums(await chart(site, f"?by=queue&bucket={bucket}"))
        assert by_queue["slow"] == [1, 1, 0, 0]
        assert by_queue["default"][2:] == [1, 1]
        assert by_queue["default"][1] >= 3
    await counted(site)
    document = await chart(site)
    # Events are counted once, and a run of stats-update counts the one before it.
    assert sums(document)["echo"] == [4, 4, 0, 1]
    assert sums(document)["stats-update"][1] >= 1
    assert (document["by"], document["bucket"]) == ("kind", "5m")
    assert_documented(document, Chart)
    assert moment(document["counted_until"]) <= moment(document["to"])
    (figures,) = [one["figures"]["fail"] for one in document["buckets"] if "fail" in one["figures"]]
    assert 0 <= figures["waited_p50_ms"] <= figures["waited_p95_ms"]
    assert 0 <= figures["ran_p50_ms"] <= figures["ran_p95_ms"]


@pytest.mark.parametrize(("bucket", "seconds", "most"), [("5m", 300, 288), ("1h", 3600, 168), ("1d", 86_400, 90)])
async def test_the_window_has_every_bucket_once(site: Site, bucket: str, seconds: int, most: int) -> None:
    document = await chart(site, f"?bucket={bucket}")
    starts = [moment(one["start"]) for one in document["buckets"]]
    assert len(starts) == most
    assert starts[0] == moment(document["from"])
    step = datetime.timedelta(seconds=seconds)
    assert [later - earlier for earlier, later in pairwise(starts)] == [step] * (most - 1)
    assert starts[-1] + step == moment(document["to"])
    assert starts[0].timestamp() % seconds == 0


async def test_a_window_is_cut_to_what_there_can_be(site: Site) -> None:
    now = datetime.datetime.now(datetime.UTC)
    ahead = f"{now + datetime.timedelta(days=400):%Y-%m-%dT%H:%M:%SZ}"
    hour_ago = f"{now - datetime.timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    found = await chart(site, f"?from={hour_ago}&to={ahead}")
    assert len(found["buckets"]) in (12, 13)
    assert moment(found["to"]) <= now + datetime.timedelta(minutes=6)
    for old in ("0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "2001-01-01T00:00:00%2B14:00"):
        found = await chart(site, f"?bucket=1d&from={old}")
        assert len(found["buckets"]) in (91, 92)
    for first, end in (("0001-01-01", "0001-01-02"), ("9999-12-30", "9999-12-31")):
        found = await chart(site, f"?bucket=1d&from={first}T00:00:00Z&to={end}T23:59:59Z")
        assert found["buckets"] == []
        assert found["from"] == found["to"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("by=owner", 400),
        ("bucket=2m", 400),
        ("from=yesterday", 400),
        ("to=2030-01-31", 400),
        ("by=kind&by=queue", 400),
        ("limit=5", 400),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", 422),
        ("from=2026-01-02T00:00:00Z&to=2026-01-02T00:00:00Z", 422),
        ("from=2001-01-01T00:00:00Z", 422),
        ("from=2001-01-01T00:00:00Z&bucket=1h", 422),
    ],
)
async def test_a_wrong_window_is_refused(site: Site, query: str, status: int) -> None:
    assert_problem(await site.get(f"/stats?{query}"), status)


async def test_only_those_who_see_all_tasks_see_the_figures(serve: Serve) -> None:
    async with serve() as site:
        chief, ann = await stored(site, "chief", "admin", "read"), await stored(site, "ann", "read", "write")
        assert (await site.get("/stats", chief)).status == 200
        assert_problem(await site.get("/stats", ann), 403)
        assert_problem(await site.get("/stats"), 401)
