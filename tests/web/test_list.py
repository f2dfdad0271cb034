"""`GET /tasks`: filters, pages, fields."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.web.site import Site, assert_problem


async def fill(site: Site) -> list[str]:
    """Twelve tasks of differing kind, queue, tag and status, all at rest; their ids, oldest first."""
    entries: list[dict[str, Any]] = [
        {
            "kind": "echo",
            "args": {"value": n},
            "delay": 3600,
            "queue": "even" if n % 2 == 0 else "odd",
            "tags": [f"t{n % 3}", "all"],
        }
        for n in range(8)
    ]
    ids = [made["task_id"] for made in (await site.post("/tasks", entries)).json["tasks"]]
    for kind in ("echo", "echo", "fail", "hold"):
        ids.append(await site.make(kind, query="?delay=3600" if kind == "hold" else ""))
    for task_id in ids[8:11]:
        await site.ended(task_id)
    await site.post(f"/tasks/{ids[11]}/cancel")
    return ids


async def listed(site: Site, query: str) -> list[str]:
    """The ids of all pages; each page leads to the next by `next` and by the Link header alike."""
    found: list[str] = []
    path: str | None = f"/tasks?{query}"
    while path is not None:
        answer = await site.get(path)
        assert answer.status == 200, answer.body
        found += [task["task_id"] for task in answer.json["tasks"]]
        path = answer.json["next"]
        link = re.fullmatch(r'<(.+)>; rel="next"', answer.headers.get("Link", ""))
        assert (link[1] if link else None) == path
    return found


async def test_the_newest_come_first(site: Site) -> None:
    ids = await fill(site)
    assert await listed(site, "") == ids[::-1]


@pytest.mark.parametrize("limit", [1, 2, 5, 11, 12, 13, 200])
async def test_the_pages_of_any_size_are_complete(site: Site, limit: int) -> None:
    ids = await fill(site)
    assert await listed(site, f"limit={limit}") == ids[::-1]
    answer = await site.get(f"/tasks?limit={limit}")
    assert len(answer.json["tasks"]) == min(limit, 12)
    assert (answer.json["next"] is None) == (limit >= 12)


@pytest.mark.parametrize("page", ["limit=200", "limit=1", "limit=2"])
@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("status=pending", range(8)),
        ("status=completed", [8, 9]),
        ("status=failed", [10]),
        ("status=cancelled", [11]),
        ("status=processing", []),
        ("kind=echo", range(10)),
        ("kind=nobody", []),
        ("queue=odd", [1, 3, 5, 7]),
        ("queue=default", [8, 9, 10, 11]),
        ("tag=t1", [1, 4, 7]),
        ("tag=all", range(8)),
        ("tag=none", []),
        ("status=pending&queue=even&tag=t0&kind=echo", [0, 6]),
    ],
)
async def test_a_filter_finds_what_it_names_on_every_page(site: Site, query: str, wanted: Any, page: str) -> None:
    ids = await fill(site)
    assert await listed(site, f"{query}&{page}") == [ids[index] for index in reversed(wanted)]


async def test_the_time_of_creation_is_a_filter(site: Site) -> None:
    ids = []
    for _ in range(4):
        ids.append(await site.make("echo", query="?delay=3600"))
        await site.run("echo", {}, "?delay=0.01&queue=clock")  # so that the next one is created later
    middle = (await site.task(ids[1]))["created_at"]
    assert await listed(site, f"queue=default&created_after={middle}") == [ids[3], ids[2]]
    assert await listed(site, f"queue=default&created_before={middle}") == [ids[0]]
    last = (await site.task(ids[3]))["created_at"]
    assert await listed(site, f"queue=default&created_after={middle}&created_before={last}&limit=1") == [ids[2]]
    assert await listed(site, "created_after=2100-01-01T00:00:00Z") == []
    assert await listed(site, "created_before=2001-01-01T00:00:00Z") == []


async def test_documents_are_left_out_unless_asked_for(site: Site) -> None:
    await site.run("echo", {"value": "v"})
    (plain,) = (await site.get("/tasks")).json["tasks"]
    assert not {"args", "result"} & plain.keys()
    whole = (await site.get("/tasks?fields=args,result")).json["tasks"]
    assert [(one["args"], one["result"]) for one in whole] == [({"value": "v"}, "v")]
    assert "result" not in (await site.get("/tasks?fields=args")).json["tasks"][0]
    assert "args" not in (await site.get("/tasks?fields=result")).json["tasks"][0]


async def test_a_listed_task_says_what_a_single_one_says(site: Site) -> None:
    task = await site.run("fail", {"message": "m"}, "?tag=a")
    (found,) = (await site.get("/tasks?fields=args,result")).json["tasks"]
    assert found == task


async def test_the_fields_are_kept_from_page_to_page(site: Site) -> None:
    await fill(site)
    following = (await site.get("/tasks?fields=args&limit=5&tag=all")).json["next"]
    assert all("args" in task and task["tags"][1] == "all" for task in (await site.get(following)).json["tasks"])


async def test_tasks_made_meanwhile_do_not_disturb_the_pages(site: Site) -> None:
    ids = await fill(site)
    first = (await site.get("/tasks?limit=6")).json
    await fill(site)
    rest = await listed(site, first["next"].partition("?")[2])
    assert [task["task_id"] for task in first["tasks"]] + rest == ids[::-1]


async def test_fifty_is_the_page_when_none_is_asked(site: Site) -> None:
    await site.post("/tasks", [{"kind": "echo", "delay": 3600}] * 51)
    assert len((await site.get("/tasks")).json["tasks"]) == 50


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=201", "limit=-1", "limit=1e2", "limit=", "limit=all", "limit=%D9%A3", "limit=1_0",
        "limit=0x10", "limit=+5", "limit=99999999999999999999", "limit=5&limit=6", "limit=5.0",
        "cursor=", "cursor=-1", "cursor=garbage", "cursor=1.5", "cursor=" + "9" * 30, "cursor=%00", "cursor=1%20OR%201",
        "status=done", "status=", "status=PENDING", "status=pending,failed", "status=pending&status=failed",
        "kind=", "kind=UPPER", "kind=a%20b", "kind=%27", "queue=..", "tag=", "tag=%0A", "tag=" + "t" * 101,
        "created_after=yesterday", "created_after=2024-01-01", "created_before=0", "created_before=",
        "created_after=2024-13-01T00:00:00Z", "created_before=%00",
        "fields=", "fields=owner", "fields=args,args", "fields=*", "order=asc", "offset=5", "args=1", "q=%FF",
    ],
)  # fmt: skip
async def test_an_unknown_or_malformed_query_is_400(site: Site, query: str) -> None:
    assert_problem(await site.get(f"/tasks?{query}"), 400)
