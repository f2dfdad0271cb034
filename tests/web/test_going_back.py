"""Going back over HTTP: retry from a step, fork, change."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.conftest import Serve
from tests.web.forms import upload
from tests.web.site import KINDS, Site, assert_problem
from tests.web.test_keys import ANN, BOB, KEYS, bearer, stored
from tests.web.test_signals import UNKNOWN, waits

A, B = bearer(ANN), bearer(BOB)
UPLOAD_KINDS = KINDS.with_name("upload_kinds.py")
LATE = "2030-01-31T12:00:00Z"


async def failed(site: Site, headers: dict[str, str] | None = None) -> str:
    """The id of a task that has recorded `first` and failed before `second`."""
    task_id = await site.make("steps", headers=headers)
    await site.get(f"/tasks/{task_id}?wait=20", headers)
    return task_id


async def steps(site: Site, task_id: str) -> list[str]:
    return [one["name"] for one in (await site.get(f"/tasks/{task_id}/history")).json["steps"]]


async def logs(site: Site, task_id: str) -> list[tuple[str, Any]]:
    found = (await site.get(f"/tasks/{task_id}/history")).json["logs"]
    return [(one["message"], one.get("fields")) for one in found]


# --- retry?from=


async def test_a_retry_from_a_step_runs_it_again(site: Site) -> None:
    task_id = await failed(site)
    site.open_gate("steps")
    answer = await site.post(f"/tasks/{task_id}/retry?from=first")
    assert (answer.status, answer.id, answer.json["status"]) == (202, task_id, "pending")
    assert (await site.ended(task_id))["result"] == [2, 3]
    assert ("forgotten from step first", {"steps": ["first"]}) in await logs(site, task_id)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("from=second", 422),
        ("from=%00", 422),
        ("from=", 400),
        ("from=" + "x" * 201, 400),
        ("from=first&restart=true", 400),
        ("from=first&from=first", 400),
        ("step=first", 400),
    ],
)
async def test_a_bad_retry_changes_nothing(site: Site, query: str, status: int) -> None:
    task_id = await failed(site)
    before = (await site.get(f"/tasks/{task_id}")).json
    answer = await site.post(f"/tasks/{task_id}/retry?{query}")
    assert_problem(answer, status, *(["/from"] if status == 422 else []))
    assert (await site.get(f"/tasks/{task_id}")).json == before
    assert await steps(site, task_id) == ["first"]


async def test_a_step_is_asked_for_with_restart_false(site: Site) -> None:
    task_id = await failed(site)
    assert (await site.post(f"/tasks/{task_id}/retry?from=first&restart=false")).status == 202


async def test_only_ended_tasks_go_back(site: Site) -> None:
    task_id = await waits(site, "nap")
    assert_problem(await site.post(f"/tasks/{task_id}/retry?from=sleep-1"), 409, part="pending")
    assert (await site.post(f"/tasks/{task_id}/cancel")).status == 200
    assert (await site.post(f"/tasks/{task_id}/retry?from=sleep-1")).status == 202


async def test_children_that_run_are_asked_to_end_and_new_ones_are_made(site: Site) -> None:
    task_id = await waits(site, "family", {"values": [1], "wait": True})
    (child,) = [one["task_id"] for one in (await site.get(f"/tasks?parent={task_id}&kind=hold")).json["tasks"]]
    await site.until(child, "processing")
    assert (await site.post(f"/tasks/{task_id}/cancel")).status == 200
    assert (await site.post(f"/tasks/{task_id}/retry?from=spawn-1")).status == 202
    assert (await site.ended(child))["status"] == "cancelled"
    site.open_gate("child")
    ended = await site.ended(task_id)
    assert (ended["status"], ended["result"], ended["children"]["total"]) == ("completed", [1, "child"], 3)


# --- fork


async def test_a_fork_begins_where_the_task_was(site: Site) -> None:
    task_id = await failed(site)
    site.open_gate("steps")
    answer = await site.post(f"/tasks/{task_id}/fork")
    assert (answer.status, answer.json["status"], answer.headers["Location"]) == (202, "pending", f"/tasks/{answer.id}")
    fork = await site.ended(answer.id)
    assert (fork["result"], fork["forked_from"], fork["kind"]) == ([1, 2], task_id, "steps")
    assert (await site.task(task_id))["status"] == "failed"
    whole = await site.ended((await site.post(f"/tasks/{answer.id}/fork", {"from": "first"})).id)
    assert (whole["result"], whole["forked_from"]) == ([3, 4], answer.id)
    event = (await site.get(f"/tasks/{answer.id}/history")).json["events"][0]
    assert (event["cause"], event["data"]) == ("enqueue", {"forked_from": task_id})


async def test_a_fork_takes_the_same_options_and_other_args(site: Site) -> None:
    query = "?priority=3&queue=q&tag=x&tag=y&max_attempts=4"
    task_id = (await site.run("echo", {"value": 1}, query))["task_id"]
    for body, value in (({"from": None}, 1), ({"args": {"value": [2]}}, [2]), ({"args": {}}, None)):
        fork = await site.ended((await site.post(f"/tasks/{task_id}/fork", body)).id)
        assert (fork["result"], fork["priority"], fork["queue"]) == (value, 3, "q")
        assert (fork["tags"], fork["max_attempts"]) == (["x", "y"], 4)


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"from": "x"}, 422, "/from"),
        ({"from": 1}, 422, "/from"),
        ({"from": ""}, 422, "/from"),
        ({"step": "x"}, 422, "/step"),
        ({"args": None}, 422, "/args"),
        ({"args": {"x": "no"}}, 422, "/args/x"),
        ({"args": {"x": 1, "y": 2}}, 422, "/args/y"),
        ([], 422, ""),
        (b"{", 400, None),
        ({"args": {"x": 1, "name": "n" * 2**20}}, 413, None),
    ],
)
async def test_a_bad_fork_makes_nothing(site: Site, body: Any, status: int, pointer: str | None) -> None:
    task_id = (await site.run("strict", {"x": 1}))["task_id"]
    answer = await site.post(f"/tasks/{task_id}/fork", body)
    assert_problem(answer, status, *([pointer] if pointer is not None else []))
    assert_problem(await site.post(f"/tasks/{UNKNOWN}/fork"), 404)
    assert await site.total() == 1


async def test_a_fork_takes_no_idempotency_key(site: Site) -> None:
    task_id = (await site.run("echo"))["task_id"]
    answer = await site.post(f"/tasks/{task_id}/fork", {}, {"Idempotency-Key": "k"})
    assert_problem(answer, 400, part="Idempotency-Key")
    assert await site.total() == 1


# --- change


async def test_a_pending_task_is_changed(site: Site) -> None:
    task_id = await site.make("echo", {"value": 1}, "?delay=3600&tag=old")
    before = await site.get(f"/tasks/{task_id}")
    body = {
        "args": {"value": 2},
        "priority": 5,
        "queue": "q",
        "tags": ["b", "a", "b"],
        "max_attempts": 2,
        "timeout": 9.5,
    }
    answer = await site.request("PATCH", f"/tasks/{task_id}", body, {"If-Match": before.headers["ETag"]})
    after = await site.get(f"/tasks/{task_id}")
    assert (answer.status, answer.json, answer.headers["ETag"]) == (200, after.json, after.headers["ETag"])
    assert answer.headers["ETag"] != before.headers["ETag"]
    assert answer.json["tags"] == ["b", "a"]
    assert {name: answer.json[name] for name in ("args", "priority", "queue", "max_attempts")} == {
        name: body[name] for name in ("args", "priority", "queue", "max_attempts")
    }
    assert answer.json["run_at"] == before.json["run_at"]
    assert [one["task_id"] for one in (await site.get("/tasks?tag=a&queue=q")).json["tasks"]] == [task_id]
    assert (await site.get("/tasks?tag=old")).json["tasks"] == []
    assert (await site.request("PATCH", f"/tasks/{task_id}", {"run_at": "2020-01-01T00:00:00Z"})).status == 200
    assert (await site.ended(task_id))["result"] == 2
    assert await logs(site, task_id) == [
        ("changed", {"changed": ["args", "priority", "queue", "tags", "max_attempts", "timeout"]}),
        ("changed", {"changed": ["run_at"]}),
    ]


async def test_a_sleep_ends_when_it_is_told_to(site: Site) -> None:
    task_id = await waits(site, "nap")
    moved = await site.request("PATCH", f"/tasks/{task_id}", {"run_at": LATE})
    assert (moved.json["run_at"], moved.json["waiting_for"]) == ("2030-01-31T12:00:00.000Z", "time")
    assert (await site.request("PATCH", f"/tasks/{task_id}", {"run_at": "2020-01-01T00:00:00Z"})).status == 200
    assert (await site.ended(task_id))["status"] == "completed"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ([], ""),
        ({"args": {"x": "no"}}, "/args/x"),
        ({"args": {"x": 1, "y": 1}}, "/args/y"),
        ({"args": []}, "/args"),
        ({"priority": 101}, "/priority"),
        ({"priority": 10**30}, "/priority"),
        ({"priority": None}, "/priority"),
        ({"run_at": "tomorrow"}, "/run_at"),
        ({"run_at": "2300-01-01T00:00:00Z"}, "/run_at"),
        ({"run_at": 5}, "/run_at"),
        ({"queue": "No Queue"}, "/queue"),
        ({"tags": "x"}, "/tags"),
        ({"tags": ["ok", "\n"]}, "/tags/1"),
        ({"tags": [str(n) for n in range(21)]}, "/tags"),
        ({"max_attempts": 0}, "/max_attempts"),
        ({"timeout": 0}, "/timeout"),
        ({"timeout": 1e300}, "/timeout"),
        ({"status": "failed"}, "/status"),
        ({"delay": 5}, "/delay"),
    ],
)
async def test_a_bad_change_changes_nothing(site: Site, body: Any, pointer: str) -> None:
    task_id = await site.make("strict", {"x": 1}, "?delay=3600")
    before = (await site.get(f"/tasks/{task_id}")).json
    assert_problem(await site.request("PATCH", f"/tasks/{task_id}", body), 422, pointer)
    assert (await site.get(f"/tasks/{task_id}")).json == before


@pytest.mark.parametrize(
    ("header", "status"),
    [("*", 200), ('"1"', 200), ('"7", "1"', 200), ('W/"1"', 412), ('"2"', 412), ("1", 412), ("", 412)],
)
async def test_if_match_is_honoured(site: Site, header: str, status: int) -> None:
    task_id = await site.make("echo", query="?delay=3600")
    answer = await site.request("PATCH", f"/tasks/{task_id}", {"priority": 1}, {"If-Match": header})
    assert answer.status == status
    if status == 412:
        assert_problem(answer, 412, part="version is 1")
    assert (await site.task(task_id))["priority"] == (status == 200)


async def test_what_is_not_pending_or_has_steps_is_not_changed(site: Site) -> None:
    running = await site.held()
    done = (await site.run("echo"))["task_id"]
    for task_id, status in ((running, "processing"), (done, "completed")):
        assert_problem(await site.request("PATCH", f"/tasks/{task_id}", {"priority": 1}), 409, part=status)
    asleep = await waits(site, "nap")
    assert_problem(await site.request("PATCH", f"/tasks/{asleep}", {"args": {"seconds": 9}}), 409, part="recorded")
    signalled = await waits(site)
    assert_problem(await site.request("PATCH", f"/tasks/{signalled}", {"run_at": LATE}), 409, part="signal:approve")
    assert_problem(await site.request("PATCH", f"/tasks/{UNKNOWN}", {"priority": 1}), 404)


async def test_a_client_cannot_take_a_task_out_of_its_limited_queue(site: Site) -> None:
    task_id = await site.make("request-audit", {"endpoint": "/"}, "?delay=3600")
    before = (await site.get(f"/tasks/{task_id}")).json
    answer = await site.request("PATCH", f"/tasks/{task_id}", {"queue": "other"})
    assert_problem(answer, 422, "/queue", part="stay in the queue audit")
    assert (await site.get(f"/tasks/{task_id}")).json == before
    assert (await site.request("PATCH", f"/tasks/{task_id}", {"queue": "audit"})).status == 200


async def test_uploads_go_with_the_args(serve: Serve) -> None:
    async with serve(tasks=f"{KINDS},{UPLOAD_KINDS}") as site:
        one, two = await upload(site, b"one"), await upload(site, b"two")
        task_id = await site.make("digest", {"upload_id": one}, "?delay=3600")
        for body in ({"upload_id": UNKNOWN.replace("-", "")}, {"upload_id": one, "other": "0" * 32}):
            pointer = f"/args/{list(body)[-1]}"
            assert_problem(await site.request("PATCH", f"/tasks/{task_id}", {"args": body}), 422, pointer)
            assert_problem(await site.post(f"/tasks/{task_id}/fork", {"args": body}), 422, pointer)
        assert site.sql("SELECT upload FROM upload_uses") == [(one,)]
        forks = [(await site.post(f"/tasks/{task_id}/fork")).id]
        forks.append((await site.post(f"/tasks/{task_id}/fork", {"args": {"upload_id": two}})).id)
        assert [(await site.ended(fork))["result"][1:] for fork in forks] == [[3, True]] * 2
        both = {"upload_id": two, "other": one}
        for args in (both, {"upload_id": two}):
            assert (await site.request("PATCH", f"/tasks/{task_id}", {"args": args})).status == 200
            used = site.sql("SELECT u.upload FROM upload_uses u JOIN tasks t ON t.seq = u.task WHERE t.id = ?", task_id)
            assert {found for (found,) in used} == set(args.values())


async def test_a_kind_without_code_takes_no_new_args_and_its_fork_waits(serve: Serve) -> None:
    async with serve() as site:
        task_id = await site.make("echo", {"value": 1}, "?delay=3600")
    async with serve(tasks=str(UPLOAD_KINDS)) as site:
        assert_problem(await site.request("PATCH", f"/tasks/{task_id}", {"args": {}}), 422, "/args", part="echo")
        assert_problem(await site.post(f"/tasks/{task_id}/fork", {"args": {}}), 422, "/args", part="echo")
        assert (await site.request("PATCH", f"/tasks/{task_id}", {"priority": 1})).status == 200
        fork_id = (await site.post(f"/tasks/{task_id}/fork")).id
        seen: dict[str, str] = {}
        while (answer := await site.get(f"/tasks/{fork_id}?wait=20", seen)).json["waiting_for"] is None:
            seen = {"If-None-Match": answer.headers["ETag"]}
        assert answer.json["waiting_for"] == "kind:echo"


# --- who may


@pytest.mark.parametrize(("method", "suffix", "act"), [("POST", "/fork", "task.fork"), ("PATCH", "", "task.change")])
async def test_owners_scopes_and_the_audit_log(serve: Serve, method: str, suffix: str, act: str) -> None:
    async with serve(api_keys=KEYS) as site:
        task_id = await site.make("echo", {}, "?delay=3600", A)
        body = {"priority": 1} if method == "PATCH" else {}
        assert (await site.request(method, f"/tasks/{task_id}{suffix}", body, B)).status == 404
        reader = await stored(site, "reader", "read")
        assert (await site.request(method, f"/tasks/{task_id}{suffix}", body, reader)).status == 403
        admin = await stored(site, "chief", "admin")
        done = await site.request(method, f"/tasks/{task_id}{suffix}", body, admin)
        assert done.status in (200, 202)
        made = await site.get(f"/tasks/{done.json['task_id']}", A)
        assert (made.status, made.json["owner"]) == (200, "ann"), "a fork is of the same owner"
        acts = (await site.get(f"/audit-log?act={act}", admin)).json["acts"]
        assert [(one["actor"], one["target"]) for one in acts] == [("key:chief", task_id)]
