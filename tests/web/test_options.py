"""The options of a new task in the query string, and the traceparent header."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from tests.web.site import Site, assert_problem


def seconds_between(earlier: str, later: str) -> float:
    return (datetime.datetime.fromisoformat(later) - datetime.datetime.fromisoformat(earlier)).total_seconds()


@pytest.mark.parametrize(
    ("query", "field", "value"),
    [
        ("priority=-100", "priority", -100),
        ("priority=100", "priority", 100),
        ("queue=images", "queue", "images"),
        ("max_attempts=9", "max_attempts", 9),
        ("tag=one", "tags", ["one"]),
        ("tag=z&tag=a%20b&tag=%C3%A9", "tags", ["z", "a b", "é"]),
        ("tag=twice&tag=twice", "tags", ["twice"]),
        ("run_at=2100-01-01T00:00:00Z", "status", None),
    ],
)
async def test_an_option_is_taken(site: Site, query: str, field: str, value: Any) -> None:
    answer = await site.post(f"/tasks/echo?{query}", {})
    if value is None:  # over ten years ahead: a unit mixed up
        assert_problem(answer, 400, part="run_at")
    else:
        assert (await site.task(answer.id))[field] == value


@pytest.mark.parametrize(("kind", "own"), [("generate-report", "reports"), ("request-audit", "audit")])
async def test_a_client_cannot_take_a_kind_out_of_its_limited_queue(site: Site, kind: str, own: str) -> None:
    assert_problem(await site.post(f"/tasks/{kind}?queue=mine", {}), 400, part=f"stay in the queue {own}")
    batch = [{"kind": "echo", "queue": "mine"}, {"kind": kind, "queue": "mine"}]
    assert_problem(await site.post("/tasks", batch), 400, part=f"stay in the queue {own}")
    assert site.sql("SELECT count(*) FROM tasks") == [(0,)]
    assert_problem(
        await site.post(f"/tasks/{kind}?queue={own}", {}), 422
    )  # its own is taken, and the args are looked at


async def test_a_delayed_task_waits_for_its_time(site: Site) -> None:
    task = await site.task(await site.make("echo", query="?delay=3600"))
    assert task["status"] == "pending"
    assert seconds_between(task["created_at"], task["run_at"]) == 3600


async def test_a_delay_may_have_a_fraction_and_the_task_runs_when_it_is_over(site: Site) -> None:
    task = await site.run("echo", {}, "?delay=0.05")
    assert task["status"] == "completed"
    assert seconds_between(task["created_at"], task["started_at"]) >= 0.05


async def test_run_at_names_the_moment_in_any_zone(site: Site) -> None:
    ahead = datetime.datetime.now(datetime.UTC).replace(microsecond=250_000) + datetime.timedelta(days=1)
    zone = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
    text = ahead.astimezone(zone).isoformat().replace("+", "%2B")
    task = await site.task(await site.make("echo", query=f"?run_at={text}"))
    assert task["run_at"] == ahead.strftime("%Y-%m-%dT%H:%M:%S.250Z")


async def test_a_run_at_in_the_past_means_now(site: Site) -> None:
    task = await site.run("echo", {}, "?run_at=2001-01-01T00:00:00Z")
    assert task["status"] == "completed"
    assert task["run_at"] == task["created_at"]


async def test_the_timeout_of_one_task_ends_its_attempt(site: Site) -> None:
    task = await site.run("hold", {}, "?timeout=0.05")
    assert (task["status"], task["error"]["type"]) == ("failed", "timeout")


async def test_a_task_that_did_not_start_before_it_expires_fails(site: Site) -> None:
    task = await site.run("echo", {}, "?delay=3600&expires=0.05")
    assert task["status"] == "failed"
    assert task["error"]["type"] == "expired"
    assert task["attempt"] == 0


async def test_tasks_of_higher_priority_start_first(serve: Any) -> None:
    async with serve(concurrency=1) as site:
        first = await site.held()
        made = [await site.make("echo", query=f"?priority={priority}") for priority in (-1, 5, 0)]
        site.open_gate("hold")
        await site.ended(first)
        ended = [await site.ended(task_id) for task_id in made]
        starts = site.sql(
            "SELECT t.priority FROM events e JOIN tasks t ON t.seq = e.task "
            "WHERE e.cause = 'claim' AND t.kind = 'echo' ORDER BY e.seq"
        )
    assert [one["status"] for one in ended] == ["completed"] * 3
    assert starts == [(5,), (0,), (-1,)]


async def test_a_traceparent_is_kept_with_the_task(site: Site) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await site.make("echo", headers={"traceparent": parent})
    assert site.sql("SELECT traceparent FROM tasks") == [(parent,)]


@pytest.mark.parametrize("parent", ["", "00", "00-xyz-b7ad6b7169203331-01", "00-" + "0" * 5000])
async def test_a_traceparent_that_cannot_be_read_is_ignored(site: Site, parent: str) -> None:
    await site.make("echo", headers={"traceparent": parent})
    assert site.sql("SELECT traceparent FROM tasks") == [(None,)]


@pytest.mark.parametrize(
    "query",
    [
        "delay=-1", "delay=", "delay=1e3", "delay=NaN", "delay=inf", "delay=+5", "delay=%205", "delay=1_0",
        "delay=0x10", "delay=%D9%A3", "delay=99999999999", "delay=1&delay=2", "delay=.5", "delay=5.",
        "run_at=tomorrow", "run_at=2030-01-31", "run_at=2030-01-31T12:00:00", "run_at=2030-02-30T12:00:00Z",
        "run_at=2030-01-31T12:00:60Z", "run_at=2030-01-31T24:00:00Z", "run_at=2030-01-31T12:00:00%2B99:00",
        "run_at=9999-12-31T23:59:59Z", "run_at=0000-01-01T00:00:00Z", "run_at=1700000000", "run_at=",
        "delay=1&run_at=2030-01-31T12:00:00Z",
        "priority=101", "priority=-101", "priority=1.0", "priority=high", "priority=--1", "priority=",
        "queue=", "queue=UPPER", "queue=a%20b", "queue=..%2F", "queue=-a", "queue=" + "q" * 101, "queue=a%00",
        "max_attempts=0", "max_attempts=-1", "max_attempts=1.5", "max_attempts=99999999999999999999",
        "timeout=0", "timeout=-5", "timeout=forever", "timeout=1e999",
        "expires=0", "expires=-1", "expires=never",
        "tag=", "tag=a%0Ab", "tag=a%00b", "tag=" + "t" * 101, "&".join(f"tag=t{n}" for n in range(21)),
        "tag=%FF", "tag=%ED%A0%80",
        "unknown=1", "status=completed", "attempt=3", "owner=me", "fence=9", "Delay=1", "=1", "delay",
        "&".join(f"x{n}=1" for n in range(200)),
    ],
)  # fmt: skip
async def test_an_unknown_or_malformed_query_is_400_and_starts_nothing(site: Site, query: str) -> None:
    assert_problem(await site.post(f"/tasks/echo?{query}", {}), 400)
    assert await site.total() == 0
