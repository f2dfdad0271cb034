"""`GET /errors`, the filter `error` of `GET /tasks`, and `POST /errors/<fingerprint>/retry`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from quart_app.core.error_groups import fingerprint
from quart_app.store.audit import audit
from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem
from tests.web.test_keys import ANN, BOB, KEYS, bearer, stored

A, B = bearer(ANN), bearer(BOB)
FAILING = Path(__file__).with_name("failing_kinds.py")
UNKNOWN = "0123456789abcdef"


@pytest.fixture
async def site(serve: Serve) -> AsyncIterator[Site]:
    async with serve(tasks=str(FAILING)) as served:
        yield served
        assert audit(served.settings.database_path).findings == []


async def errors(site: Site, headers: dict[str, str] | None = None, query: str = "") -> list[Any]:
    answer = await site.get(f"/errors{query}", headers)
    assert answer.status == 200, answer.body
    found: list[Any] = answer.json["errors"]
    return found


BY_TOTAL = "failing_kinds.py in total.<locals>.<genexpr>"


@pytest.mark.parametrize(
    ("kind", "args", "error_type", "place"),
    [
        ("on-loop", {"prices": ["x"]}, "ValueError", BY_TOTAL),
        ("in-thread", {"prices": ["x"]}, "ValueError", BY_TOTAL),
        ("in-process", {"prices": ["x"]}, "ValueError", BY_TOTAL),
        ("in-process", {"prices": 7}, "TypeError", "failing_kinds.py in total"),
        ("decoding", {}, "JSONDecodeError", "failing_kinds.py in decode"),
        ("grouped", {"prices": ["x"]}, "ExceptionGroup", BY_TOTAL),
        ("refusing", {}, "NonRetryable", "failing_kinds.py in refusing"),
        ("too-slow", {}, "timeout", None),
    ],
)
async def test_a_group_has_the_innermost_place_in_the_code_of_the_handler(
    site: Site, kind: str, args: Any, error_type: str, place: str | None
) -> None:
    first, second = await site.run(kind, args), await site.run(kind, args)
    (group,) = await errors(site)
    assert group == {
        "fingerprint": fingerprint(kind, error_type, place),
        "kind": kind,
        "type": error_type,
        "message": second["error"]["message"],
        "place": place,
        "count": 2,
        "first_seen": first["completed_at"],
        "last_seen": second["completed_at"],
        "task_id": second["task_id"],
    }


async def test_the_newest_failure_comes_first_and_pages_have_all(site: Site) -> None:
    for what in ("key", "value", "key"):
        await site.run("choosy", {"what": what})
    await site.run("decoding")
    assert [(one["type"], one["count"]) for one in await errors(site)] == [
        ("JSONDecodeError", 1),
        ("KeyError", 2),
        ("ValueError", 1),
    ]
    seen, path = [], "/errors?limit=1"
    while path:
        answer = await site.get(path)
        seen += answer.json["errors"]
        path = answer.json["next"]
        assert ("Link" in answer.headers) == (path is not None)
    assert seen == await errors(site)
    for query in ("?cursor=x", "?cursor=1-2", "?limit=0", "?limit=201", "?kind=a", f"?cursor=-1-{UNKNOWN}"):
        assert_problem(await site.get(f"/errors{query}"), 400)


async def test_an_error_lists_its_tasks_newest_first(site: Site) -> None:
    ids = [await site.make("choosy", {"what": "key"}, f"?tag=t{number % 2}") for number in range(5)]
    await site.make("choosy", {"what": "value"})
    for task_id in ids:
        await site.ended(task_id)
    error = next(one["fingerprint"] for one in await errors(site) if one["type"] == "KeyError")
    assert await listed(site, f"/tasks?error={error}") == ids[::-1]
    assert await listed(site, f"/tasks?error={error}&limit=2") == ids[::-1]
    assert await listed(site, f"/tasks?error={error}&tag=t1&limit=1") == [ids[3], ids[1]]
    assert await listed(site, f"/tasks?error={error}&kind=decoding") == []
    assert await listed(site, f"/tasks?error={UNKNOWN}") == []
    assert_problem(await site.get("/tasks?error=x"), 400)


async def listed(site: Site, path: str, headers: dict[str, str] | None = None) -> list[str]:
    found: list[str] = []
    following: str | None = path
    while following:
        answer = (await site.get(following, headers)).json
        found += [task["task_id"] for task in answer["tasks"]]
        following = answer["next"]
    return found


async def test_retries_and_deletes_keep_the_groups_right(site: Site) -> None:
    tasks = [await site.run("choosy", {"what": f"number {number}"}) for number in range(4)]
    (group,) = await errors(site)
    assert (group["count"], group["message"]) == (4, "number 3")
    await site.delete(f"/tasks/{tasks[3]['task_id']}")
    (group,) = await errors(site)
    assert (group["count"], group["message"], group["last_seen"]) == (3, "number 2", tasks[2]["completed_at"])
    await site.delete(f"/tasks/{tasks[0]['task_id']}")
    (group,) = await errors(site)
    assert (group["count"], group["first_seen"]) == (2, tasks[1]["completed_at"])
    assert (await site.post(f"/tasks/{tasks[1]['task_id']}/retry")).status == 202
    again = await site.ended(tasks[1]["task_id"])
    (group,) = await errors(site)
    assert (group["count"], group["message"], group["last_seen"]) == (2, "number 1", again["completed_at"])
    for task in tasks[1:3]:
        await site.delete(f"/tasks/{task['task_id']}")
    assert await errors(site) == []
    assert site.sql("SELECT * FROM error_groups UNION ALL SELECT *, 1, 1, 1 FROM failures") == []


async def test_a_group_is_retried_by_a_bulk_task(site: Site) -> None:
    keys = [await site.run("choosy", {"what": "key"}) for _ in range(3)]
    other = await site.run("choosy", {"what": "value"})
    error = next(one["fingerprint"] for one in await errors(site) if one["type"] == "KeyError")
    made = await site.post(f"/errors/{error}/retry")
    assert made.headers["Location"] == f"/tasks/{made.id}"
    bulk = await site.ended(made.id)
    assert (bulk["kind"], bulk["result"]) == ("bulk", {"matching": 3, "done": 3, "skipped": 0})
    assert bulk["args"] == {"action": "retry", "filter": {"error": error}}
    for task in keys:
        again = await site.ended(task["task_id"])
        assert (again["attempt"], again["version"] > task["version"]) == (1, True)
    assert (await site.task(other["task_id"]))["version"] == other["version"]
    assert {one["type"]: one["count"] for one in await errors(site)} == {"KeyError": 3, "ValueError": 1}
    for path in (f"/errors/{UNKNOWN}/retry", "/errors/x/retry", f"/errors/{error.upper()}X/retry"):
        problem = assert_problem(await site.post(path), 404)
        assert problem["type"].endswith(":error-not-found")
    assert_problem(await site.post(f"/errors/{error}/retry", {"a": 1}), 400)
    assert_problem(await site.post(f"/errors/{error}/retry?a=1"), 400)


async def test_owners_see_their_own_errors_and_administrators_all(serve: Serve) -> None:
    async with serve(tasks=str(FAILING), api_keys=KEYS) as site:
        root = await stored(site, "root", "read", "write", "admin")
        mine = [(await site.post("/tasks/choosy", {"what": "a"}, A)).id for _ in range(2)]
        his = (await site.post("/tasks/choosy", {"what": "b"}, B)).id
        for task_id, who in ((mine[0], A), (mine[1], A), (his, B)):
            assert (await site.get(f"/tasks/{task_id}?wait=20", who)).json["status"] == "failed"
        (a,), (b,), (both,) = await errors(site, A), await errors(site, B), await errors(site, root)
        assert (a["count"], a["message"], b["count"], b["task_id"], both["count"]) == (2, "a", 1, his, 3)
        assert a["fingerprint"] == b["fingerprint"] == both["fingerprint"]
        error = a["fingerprint"]
        assert await listed(site, f"/tasks?error={error}", A) == mine[::-1]
        assert sorted(await listed(site, f"/tasks?error={error}", root)) == sorted([*mine, his])

        done = (await site.post(f"/errors/{error}/retry", headers=A)).id
        bulk = (await site.get(f"/tasks/{done}?wait=20", A)).json
        assert bulk["result"] == {"matching": 2, "done": 2, "skipped": 0}
        assert (await site.get(f"/tasks/{his}", B)).json["attempt"] == 1
        assert site.sql("SELECT count(*) FROM events WHERE cause = 'rerun'") == [(2,)]
        assert (await site.get("/audit-log?act=task.bulk", root)).json["acts"] == []

        assert (await site.delete(f"/tasks/{his}", B)).status == 204
        assert await errors(site, B) == []
        assert_problem(await site.post(f"/errors/{error}/retry", headers=B), 404)
        assert (await site.post(f"/errors/{error}/retry", headers=root)).status == 202
        (act,) = (await site.get("/audit-log?act=task.bulk", root)).json["acts"]
        assert (act["actor"], act["detail"]) == ("key:root", f"retry error={error}")
        assert audit(site.settings.database_path).findings == []
