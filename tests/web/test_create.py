"""`POST /tasks/<kind>`: the answer, the args, and what is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
FIELDS = {
    "task_id", "kind", "queue", "status", "priority", "attempt", "max_attempts", "crashes", "created_at", "run_at",
    "started_at", "completed_at", "progress", "args", "result", "error", "waiting_for", "tags", "owner", "version",
    "status_url", "events_url",
}  # fmt: skip


async def test_a_new_task_is_answered_with_where_to_look(site: Site) -> None:
    answer = await site.post("/tasks/hold", {})
    assert answer.status == 202
    url = f"/tasks/{answer.id}"
    assert answer.json == {
        "task_id": answer.id,
        "status": "pending",
        "message": answer.json["message"],
        "status_url": url,
        "events_url": f"{url}/events",
    }
    assert answer.headers["Location"] == url
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.headers["Content-Type"] == "application/json"


async def test_a_task_shows_every_field_of_the_contract(site: Site) -> None:
    task = await site.run("echo", {"value": [1, "two", None]}, "?tag=b&tag=a")
    assert task.keys() >= FIELDS
    assert all(MOMENT.fullmatch(task[name]) for name in ("created_at", "run_at", "started_at", "completed_at"))
    assert (task["status"], task["result"], task["args"]) == (
        "completed",
        [1, "two", None],
        {"value": [1, "two", None]},
    )
    assert (task["attempt"], task["max_attempts"], task["crashes"]) == (1, 1, 0)
    assert (task["error"], task["waiting_for"], task["progress"], task["tags"]) == (None, None, None, ["b", "a"])


async def test_the_defaults_of_the_kind_hold_when_nothing_else_is_asked(site: Site) -> None:
    task = await site.run("strict", {"x": 1})
    assert (task["queue"], task["priority"], task["max_attempts"]) == ("strict-queue", 7, 3)
    assert site.sql("SELECT timeout_ms FROM tasks") == [(12_000,)]


@pytest.mark.parametrize("body", [b"", b"{}", b" {} "])
async def test_no_args_are_an_empty_object_or_no_body(site: Site, body: bytes) -> None:
    assert (await site.task((await site.post("/tasks/echo", body)).id))["args"] == {}


async def test_no_body_needs_no_content_type(site: Site) -> None:
    assert (await site.request("POST", "/tasks/echo")).status == 202


@pytest.mark.parametrize("digits", [20, 999, 1000])
async def test_integers_of_up_to_1000_digits_come_back_as_they_went_in(site: Site, digits: int) -> None:
    number = int("9" * digits)
    for value in (number, -number):
        assert (await site.run("echo", {"value": value}))["result"] == value


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b'{"value": 1', "malformed"),
        (b'{"value": 1, "value": 1}', "duplicate"),
        (b'{"value": {"a": 1, "b": 2, "a": 3}}', "duplicate"),
        (b'{"value": NaN}', "NaN"),
        (b'{"value": -Infinity}', "Infinity"),
        (b'{"value": 1e999}', "too large"),
        (b'{"value": "\\u0000"}', "NUL"),
        (b'{"\\u0000": 1}', "NUL"),
        (b'{"value": "\\ud800"}', "surrogate"),
        (b'{"value": "\xff"}', "UTF-8"),
        (b'\xef\xbb\xbf{"value": 1}', ""),
        (b'{"value": ' + b"1" * 1001 + b"}", "digits"),
        (b'{"value": ' + b"[" * 70 + b"]" * 70 + b"}", "nested"),
        (b'{"value": [' + b"0," * 10_000 + b"0]}", "values"),
    ],
)
async def test_json_that_two_readers_could_take_differently_is_400(site: Site, body: bytes, part: str) -> None:
    assert_problem(await site.post("/tasks/echo", body), 400, part=part)
    assert await site.total() == 0


@pytest.mark.parametrize(
    ("kind", "body", "pointer"),
    [
        ("strict", {"x": "1"}, "/x"),
        ("strict", {"x": 1.5}, "/x"),
        ("strict", {"x": True}, "/x"),
        ("strict", {"x": None}, "/x"),
        ("strict", {}, "/x"),
        ("strict", {"x": 1, "y": 2}, "/y"),
        ("strict", {"x": 1, "name": "longer"}, "/name"),
        ("strict", {"x": 1, "a/b~c": 2}, "/a~1b~0c"),
        ("nested", {"items": [{"a": 1}, {"b": "c"}]}, "/items/1"),
        ("nested", {"items": {}}, "/items"),
        ("words", {"any": 1}, "/any"),
        ("strict", [], ""),
        ("strict", None, ""),
        ("echo", None, ""),
        ("strict", "text", ""),
        ("strict", 5, ""),
    ],
)
async def test_args_that_do_not_fit_are_422_with_the_place(site: Site, kind: str, body: Any, pointer: str) -> None:
    assert_problem(await site.post(f"/tasks/{kind}", body), 422, pointer)
    assert await site.total() == 0


@pytest.mark.parametrize(
    "kind", ["unknown", "os.system", "__class__", "Echo", "echo%20", "../echo", "%2e%2e", "e" * 5000, "ech%00o", "%ff"]
)
async def test_only_registered_kinds_can_be_started(site: Site, kind: str) -> None:
    assert_problem(await site.post(f"/tasks/{kind}", {}), 404)
    assert await site.total() == 0


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-7",
        "application/json; charset=utf-16",
        "application/jsonp",
        "application/problem+json",
        "application/json, text/plain",
        "",
    ],
)
async def test_bodies_that_are_not_called_json_are_415(site: Site, content_type: str) -> None:
    answer = await site.request("POST", "/tasks/echo", b"{}", {"Content-Type": content_type})
    assert_problem(answer, 415)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"'])
async def test_json_may_name_its_charset(site: Site, content_type: str) -> None:
    assert (await site.request("POST", "/tasks/echo", b"{}", {"Content-Type": content_type})).status == 202


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip"])
async def test_encoded_bodies_are_415(site: Site, encoding: str) -> None:
    assert_problem(await site.post("/tasks/echo", b"{}", {"Content-Encoding": encoding}), 415)


async def test_args_over_their_limit_are_413(serve: Serve) -> None:
    async with serve(max_args=1000) as site:
        fitting = {"value": "v" * (1000 - len('{"value":""}'))}
        assert (await site.post("/tasks/echo", fitting)).status == 202
        assert_problem(await site.post("/tasks/echo", {"value": fitting["value"] + "v"}), 413, part="1000")
        # Bytes count, not characters.
        assert_problem(await site.post("/tasks/echo", {"value": "é" * 600}), 413, part="1000")
        assert await site.total() == 1


async def test_bodies_over_their_limit_are_413(serve: Serve) -> None:
    async with serve(max_args=2000, max_body=2000) as site:
        assert_problem(await site.post("/tasks/echo", b" " * 2001), 413)
        assert await site.total() == 0


async def test_a_false_host_does_not_change_where_an_answer_points(serve: Serve) -> None:
    async with serve(allow_anonymous=1) as site:
        answer = await site.post("/tasks/echo", {}, {"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
        assert answer.headers["Location"] == answer.json["status_url"] == f"/tasks/{answer.id}"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_another_site_may_not_start_anything(site: Site, headers: dict[str, str]) -> None:
    assert_problem(await site.post("/tasks/echo", {}, headers), 403)
    assert await site.total() == 0


async def test_our_own_pages_may_start_tasks(site: Site) -> None:
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost", "Host": "localhost"}
    assert (await site.post("/tasks/echo", {}, headers)).status == 202
