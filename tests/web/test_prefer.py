"""`Prefer: wait=N`: the answer may wait for the end of the task."""

from __future__ import annotations

import pytest

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
