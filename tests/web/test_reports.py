"""`generate-report` and `/reports/<file>`: real files, of what their owner may see, for nobody else."""

from __future__ import annotations

import csv
import io
import os
from typing import Any

import pytest

from quart_app.core.audit_acts import Actor
from tests.web.conftest import Serve
from tests.web.site import Answer, Site, assert_problem
from tests.web.test_keys import ANN, BOB, KEYS, bearer, stored

pypdf = pytest.importorskip("pypdf", reason="PDF REPORTS ARE NOT TESTED: pip install -r requirements-dev.txt")

A, B = bearer(ANN), bearer(BOB)
UNKNOWN = "tasks-01a1fc91-bf65-7cf5-9e74-aba76276041c.pdf"


async def report(site: Site, key: dict[str, str] | None = None, **args: Any) -> Any:
    """A completed report's task."""
    task_id = await site.make("generate-report", {"report_type": "tasks", **args}, headers=key)
    task = (await site.get(f"/tasks/{task_id}?wait=20", key)).json
    assert task["status"] == "completed", task["error"]
    return task


async def table(site: Site, key: dict[str, str] | None = None, **args: Any) -> list[dict[str, str]]:
    task = await report(site, key, format="csv", **args)
    answer = await site.get(task["result"]["file_url"], key)
    rows = list(csv.DictReader(io.StringIO(answer.body.decode(), newline=""), strict=True))
    assert len(rows) == task["result"]["rows"]
    return rows


async def text(site: Site, **args: Any) -> str:
    """All that a PDF says."""
    answer = await site.get((await report(site, **args))["result"]["file_url"])
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(answer.body)).pages)


async def ended(site: Site, kind: str, key: dict[str, str], args: Any = None) -> str:
    task_id = await site.make(kind, args, headers=key)
    await site.get(f"/tasks/{task_id}?wait=20", key)
    return task_id


# --- what is in them


async def test_a_csv_has_every_task_newest_first(site: Site) -> None:
    made = [(await site.run("echo", {"value": n}))["task_id"] for n in range(3)]
    rows = await table(site)
    assert [row["task_id"] for row in rows[1:]] == made[::-1]
    assert {(row["kind"], row["status"]) for row in rows[1:]} == {("echo", "completed")}
    assert rows[0]["kind"] == "generate-report"
    assert rows[1]["created_at"] == (await site.task(made[-1]))["created_at"]


async def test_queues_and_errors_have_reports_too(site: Site) -> None:
    failed = await site.run("fail", {"message": "=HYPERLINK(1)"}, "?queue=q")
    await site.run("echo")
    counts = {(row["queue"], row["kind"]): row for row in await table(site, report_type="queues")}
    assert counts["q", "fail"]["failed"] == counts["default", "echo"]["completed"] == "1"
    (row,) = await table(site, report_type="errors")
    assert (row["task_id"], row["error_message"]) == (failed["task_id"], "'=HYPERLINK(1)")


async def test_the_users_are_those_of_the_database(site: Site) -> None:
    assert await table(site, report_type="users") == [
        {"id": str(n), "username": f"user{n}", "email": f"user{n}@example.com"} for n in range(1, 101)
    ]
    assert "user100@example.com" in await text(site, report_type="users")


async def test_a_filter_of_tasks_makes_no_report_of_users(site: Site) -> None:
    task = await site.run("generate-report", {"report_type": "users", "filters": {"status": "failed"}})
    assert task["status"] == "failed"
    assert task["error"]["message"] == "a report of users takes no filters"


async def test_a_pdf_has_a_chart_the_times_and_the_table(site: Site) -> None:
    task = await site.run("echo")
    said = await text(site)
    for part in (
        "Report: tasks",
        "Tasks per hour",
        "echo completed",
        "How long they took",
        "p99 seconds",
        task["task_id"],
    ):
        assert part in said
    assert "other" not in said, "there is none"


async def test_a_pdf_shows_the_text_of_any_script_as_text(site: Site) -> None:
    words = ["<b>x</b>", "Grüße", "Ελλάδα", "Привет", "ไทย"]
    markup = ['<img src="file:///etc/passwd"/>', '<a href="x">y</a>', "&lt;"]
    await site.run("fail", {"message": " ".join(words)})
    await site.run("fail", {"message": " ".join(markup)})
    await site.run("fail", {"message": "😀 日本語 한국어 中文 \u202e\x1b[31m\t" + "w" * 4000})
    said = await text(site, report_type="errors")
    assert [word for word in [*words, *markup] if word not in said] == []


async def test_a_pdf_says_how_many_rows_are_left_out(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    monkeypatch.setattr(importlib.import_module("quart_app.tasks.generate_report"), "MAX_ROWS", 2)
    for _ in range(4):
        await site.run("echo")
    assert "3 more rows are left out" in await text(site)


@pytest.mark.parametrize("kind", ["tasks", "queues", "errors"])
@pytest.mark.parametrize("form", ["pdf", "csv"])
async def test_a_report_of_nothing_is_a_report(site: Site, kind: str, form: str) -> None:
    task = await report(site, report_type=kind, format=form, filters={"kind": "no-such-kind"})
    assert (task["result"]["rows"], task["queue"]) == (0, "reports")
    assert (await site.get(task["result"]["file_url"])).status == 200


async def test_filters_are_those_of_the_listing(site: Site) -> None:
    done, failed = await site.run("echo"), await site.run("fail")
    found = await table(site, filters={"status": "failed", "kind": "fail"})
    assert [row["task_id"] for row in found] == [failed["task_id"]]
    found = await table(site, filters={"created_before": failed["created_at"], "created_after": "2020-01-01T00:00:00Z"})
    assert [row["task_id"] for row in found] == [done["task_id"]]


@pytest.mark.parametrize(
    ("args", "pointer", "part"),
    [
        ({"report_type": "sales"}, "/report_type", "errors, queues, tasks, users"),
        ({"report_type": "tasks\n"}, "/report_type", "errors, queues, tasks, users"),
        ({"report_type": 5}, "/report_type", ""),
        ({}, "/report_type", ""),
        ({"report_type": "tasks", "format": "exe"}, "/format", "pdf"),
        ({"report_type": "tasks", "filters": {"owner": "bob"}}, "/filters/owner", "unknown"),
        ({"report_type": "tasks", "filters": {"status": "done"}}, "/filters/status", "cancelled, completed, failed"),
        ({"report_type": "tasks", "filters": {"kind": "' OR 1=1 --"}}, "/filters/kind", ""),
        ({"report_type": "tasks", "filters": {"created_after": "yesterday"}}, "/filters/created_after", ""),
        ({"report_type": "tasks", "filters": {"created_after": "2030-01-01T00:00:00"}}, "/filters/created_after", ""),
        ({"report_type": "tasks", "filters": []}, "/filters", ""),
        ({"report_type": "tasks", "file": "/etc/passwd"}, "/file", ""),
    ],
)
async def test_what_is_no_report_is_422_at_its_place(site: Site, args: Any, pointer: str, part: str) -> None:
    answer = await site.post("/tasks/generate-report", args)
    document = assert_problem(answer, 422, pointer)
    assert part in document["errors"][0]["detail"]
    assert await site.total() == 0


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-14:00"])
async def test_the_ends_of_time_are_times(site: Site, moment: str) -> None:
    await report(site, filters={"created_after": moment})


# --- whose they are


@pytest.mark.parametrize("kind", ["tasks", "queues", "errors"])
async def test_a_report_never_shows_another_owners_rows(serve: Serve, kind: str) -> None:
    async with serve(api_keys=KEYS) as site:
        admin = await stored(site, "chief", "admin")
        for key, name in ((A, "ann"), (B, "bob")):
            await ended(site, "echo", key)
            await ended(site, "fail", key, {"message": f"secret of {name}"})
            await site.post("/tasks/echo?queue=of-" + name, {}, key)
        for key, own, other in ((A, "ann", "bob"), (B, "bob", "ann")):
            for _ in range(2):  # with the other's reports among the tasks
                answer = await site.get(
                    (await report(site, key, report_type=kind, format="csv"))["result"]["file_url"], key
                )
                assert other.encode() not in answer.body
                assert own.encode() in answer.body
        everything = await site.get(
            (await report(site, admin, report_type=kind, format="csv"))["result"]["file_url"], admin
        )
        assert b"ann" in everything.body
        assert b"bob" in everything.body


async def test_a_task_reads_what_its_key_allows_when_it_runs(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        await stored(site, "chief", "admin")
        keys = site.app.extensions["quart_app"].keys
        sees = {owner: keys.sees(owner) for owner in ("ann", "chief", "", "nobody")}
        assert sees == {"ann": "ann", "chief": None, "": None, "nobody": "nobody"}
        await keys.revoke("chief", Actor("operator"))
        assert keys.sees("chief") == "chief"


async def test_the_progress_of_a_report_does_not_tell_how_many_tasks_there_are(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        for _ in range(5):
            await ended(site, "echo", A)
        assert (await report(site, B))["progress"] == {"done": 100, "total": 100, "percent": 100.0, "message": "1 rows"}


def seen(answer: Answer, file: str) -> tuple[Any, ...]:
    return answer.status, sorted(answer.headers.items()), answer.body.replace(file.encode(), b"FILE")


async def test_another_owners_file_is_the_same_404_as_an_unknown_one(serve: Serve) -> None:
    async with serve(api_keys=KEYS) as site:
        url = (await report(site, A))["result"]["file_url"]
        unknown = await site.get(f"/reports/{UNKNOWN}", B)
        assert_problem(unknown, 404)
        assert unknown.json["type"].endswith("file-not-found")
        assert seen(await site.get(url, B), url) == seen(unknown, UNKNOWN)
        assert (await site.get(url)).status == 401
        for key in (A, await stored(site, "chief", "admin")):
            assert (await site.get(url, key)).status == 200


# --- how they are served


async def test_a_file_is_an_attachment_of_its_type_and_nothing_else(site: Site) -> None:
    for form, media in (("pdf", "application/pdf"), ("csv", "text/csv; charset=utf-8")):
        url = (await report(site, format=form))["result"]["file_url"]
        answer = await site.get(url)
        wanted = {
            "Content-Type": media,
            "Content-Disposition": f'attachment; filename="{url.rpartition("/")[2]}"',
            "X-Content-Type-Options": "nosniff",
            "Connection": "close",  # a stream that nobody reads is cut, and nothing else may be cut with it
        }
        assert {name: answer.headers[name] for name in wanted} == wanted
        head = await site.request("HEAD", url)
        assert (head.status, head.body, head.headers["Content-Type"]) == (200, b"", media)
        assert_problem(await site.get(f"{url}?x=1"), 400)


@pytest.mark.parametrize(
    "name",
    [
        "..", "../tasks.db", "..%2ftasks.db", "%2e%2e%2ftasks.db", "%2fetc%2fpasswd", "/etc/passwd", "%00", "tasks.pdf",
        "tasks-.pdf", "{file}%00", "{file}%0a", "{file}/", "./{file}", "{file}%2f", "x/../{file}", ".{file}",
        "{file}.tmp", "a" * 10_000, "%ff", "{FILE}", "tasks.db", "planted.pdf", "pipe.pdf",
    ],
)  # fmt: skip
async def test_any_other_name_is_404(site: Site, name: str) -> None:
    url = (await report(site))["result"]["file_url"]
    folder = site.settings.data_path / "reports"
    (folder / "planted.pdf").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe.pdf")
    file = url.rpartition("/")[2]
    assert_problem(await site.get("/reports/" + name.replace("{file}", file).replace("{FILE}", file.upper())), 404)


async def test_a_link_in_the_place_of_a_file_is_not_followed(site: Site) -> None:
    url = (await report(site))["result"]["file_url"]
    path = site.settings.data_path / url[1:]
    path.unlink()
    assert_problem(await site.get(url), 404)
    path.symlink_to("/etc/passwd")
    assert_problem(await site.get(url), 404)


async def test_a_file_that_no_result_names_is_not_served(site: Site) -> None:
    task = await site.run("echo")
    done = await report(site)
    for task_id, suffix in ((task["task_id"], "pdf"), (done["task_id"], "csv")):
        name = f"tasks-{task_id}.{suffix}"
        (site.settings.data_path / "reports" / name).write_text("planted")
        assert_problem(await site.get(f"/reports/{name}"), 404)


async def test_a_file_goes_with_its_task(site: Site) -> None:
    task = await report(site)
    assert (await site.delete(f"/tasks/{task['task_id']}")).status == 204
    assert_problem(await site.get(task["result"]["file_url"]), 404)


async def test_a_file_larger_than_one_piece_is_whole(site: Site) -> None:
    task = await report(site)
    path = site.settings.data_path / task["result"]["file_url"][1:]
    path.write_bytes(bytes(range(256)) * 4000)
    assert (await site.get(task["result"]["file_url"])).body == bytes(range(256)) * 4000
