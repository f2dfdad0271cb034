"""`Prefer: wait=N`: the answer may wait for the end of the task."""

from __future__ import annotations

import pytest

from quart_app.web.routes import tasks
from tests.web.site import Site, assert_problem


async def test_a_task_that_ends_in_time_is_answered_whole(site: Site) -> None:
    answer = await site.post("/tasks/echo", {"value": "now"}, {"Prefer": "wait=20"})
    assert answer.status == 200
    assert (answer.json["status"], answer.json["result"]) == ("completed", "now")
    assert answer.headers["Preference-Applied"] == "wait=20"


async def test_a_failed_task_is_an_end_too(site: Site) -> None:
    answer = await site.post("/tasks/fail", {}, {"Prefer": "wait=20"})
    assert (answer.status, answer.json["status"], answer.json["error"]["type"]) == (200, "failed", "ValueError")


async def test_when_time_is_up_the_answer_is_202(site: Site) -> None:
    answer = await site.post("/tasks/hold", {}, {"Prefer": "wait=0.05"})
    assert answer.status == 202
    assert answer.json["status"] in ("pending", "processing")
    assert answer.headers["Location"] == f"/tasks/{answer.id}"
    assert "Retry-After" in answer.headers
    assert answer.headers["Preference-Applied"] == "wait=0.05"


async def test_without_the_header_nothing_is_said_to_be_applied(site: Site) -> None:
    assert "Preference-Applied" not in (await site.post("/tasks/echo", {})).headers


async def test_a_wait_of_over_a_minute_is_applied_as_a_minute(site: Site) -> None:
    answer = await site.post("/tasks/echo", {}, {"Prefer": "wait=600"})
    assert (answer.status, answer.headers["Preference-Applied"]) == (200, "wait=60")


@pytest.mark.parametrize("prefer", ["respond-async", "return=minimal", "", "handling=lenient, respond-async"])
async def test_other_preferences_are_left_alone(site: Site, prefer: str) -> None:
    answer = await site.post("/tasks/echo", {}, {"Prefer": prefer})
    assert answer.status == 202
    assert "Preference-Applied" not in answer.headers


@pytest.mark.parametrize("prefer", ["return=minimal, wait=20", 'WAIT="20"', "wait = 20 ; x=y"])
async def test_the_wait_is_found_among_other_preferences(site: Site, prefer: str) -> None:
    assert (await site.post("/tasks/echo", {}, {"Prefer": prefer})).status == 200


@pytest.mark.parametrize("wait", ["-1", "ten", "1e3", "NaN", "inf", "0x10", "\u0663", ""])
async def test_a_wait_that_is_no_number_is_400_and_starts_nothing(site: Site, wait: str) -> None:
    header = f"wait={wait}".encode().decode("latin-1")
    assert_problem(await site.post("/tasks/echo", {}, {"Prefer": header}), 400)
    assert await site.total() == 0


async def test_the_new_task_is_shown_where_that_is_preferred(site: Site) -> None:
    answer = await site.post("/tasks/echo?delay=60&tag=a", {"value": 7}, {"Prefer": "return=representation"})
    assert answer.status == 202
    assert answer.headers["Preference-Applied"] == "return=representation"
    answered = answer.json
    assert answered.pop("message") == "Task created"
    assert answered == await site.task(answer.id)
    assert (answered["args"], answered["tags"], answered["status"]) == ({"value": 7}, ["a"], "pending")


async def test_both_preferences_go_together(site: Site) -> None:
    answer = await site.post("/tasks/hold", {}, {"Prefer": 'wait=0.05, return="representation"'})
    assert (answer.status, answer.json["kind"]) == (202, "hold")
    assert answer.headers["Preference-Applied"] == "wait=0.05, return=representation"
    ended = await site.post("/tasks/echo", {"value": 1}, {"Prefer": "return=representation, wait=20"})
    assert (ended.status, ended.json["result"]) == (200, 1)


async def test_what_a_key_made_before_is_shown_as_it_is_now(site: Site) -> None:
    headers = {"Prefer": "return=representation", "Idempotency-Key": "k"}
    first = await site.post("/tasks/echo", {"value": 1}, headers)
    await site.ended(first.id)
    again = await site.post("/tasks/echo", {"value": 1}, headers)
    assert (again.id, again.json["status"], again.json["result"]) == (first.id, "completed", 1)
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_a_batch_shows_those_that_are_new(site: Site) -> None:
    old = {"kind": "echo", "args": {"value": 0}, "idempotency_key": "k"}
    await site.post("/tasks", old)
    answer = await site.post("/tasks", [old, {"kind": "echo", "args": {"value": 1}, "delay": 60}], SHOW)
    assert answer.headers["Preference-Applied"] == "return=representation"
    known, new = answer.json["tasks"]
    assert sorted(known) == ["replayed", "status", "status_url", "task_id"]
    assert new == await site.task(new["task_id"])
    plain = await site.post("/tasks", [{"kind": "echo"}])
    assert "Preference-Applied" not in plain.headers


async def test_a_batch_shows_no_more_than_fits_one_answer(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "MAX_PAGE", 250)
    entries = [{"kind": "echo", "args": {"value": "x" * 100}, "delay": 60} for _ in range(5)]
    made = (await site.post("/tasks", entries, SHOW)).json["tasks"]
    assert ["args" in one for one in made] == [True, True, True, False, False]


SHOW = {"Prefer": "return=representation"}
