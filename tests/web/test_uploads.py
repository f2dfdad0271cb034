"""`POST /uploads`: what is taken and what is refused, and the life of an upload."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.web.conftest import Serve
from tests.web.forms import FORM, form, send, stored, upload
from tests.web.site import DEADLINE, KINDS, Site, assert_problem

UPLOAD_KINDS = KINDS.with_name("upload_kinds.py")
KEYS = "ann:ann-s-key-is-long-enough,bob:bob-s-key-is-long-enough"
ANN = {"X-API-Key": "ann-s-key-is-long-enough"}
BOB = {"X-API-Key": "bob-s-key-is-long-enough"}
LIMIT = 300_000


@pytest.fixture
async def site(serve: Serve) -> AsyncIterator[Site]:
    async with serve(tasks=f"{KINDS},{UPLOAD_KINDS}", max_upload=LIMIT) as served:
        yield served


async def swept(site: Site) -> None:
    """One turn of the service that removes what nobody needs."""
    runtime = site.app.extensions["quart_app"].runtime
    await runtime.uploads.run_once(runtime.clock.now())


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"hello\r\n", b"\r\n--Bx", b"\r\n--Bx\r\n-- B\r--\n" * 5000, b"\x00\xff" * 100_000, b"a" * LIMIT],
)
async def test_a_file_is_stored_as_it_was_sent(site: Site, content: bytes) -> None:
    answer = await send(site, form(("file", "a.bin", content)))
    assert answer.status == 201
    sha256 = hashlib.sha256(content).hexdigest()
    assert answer.json == {"upload_id": answer.json["upload_id"], "size": len(content), "sha256": sha256}
    assert stored(site) == [content]


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("photo.jpg", "photo.jpg"),
        ("../../x\0.png", "x\ufffd.png"),
        ("C:\\\\temp\\\\a.txt", "a.txt"),
        ("/etc/passwd", "passwd"),
        ("..", ".."),
        ("", "file"),
        ("\u202egnp.exe", "\ufffdgnp.exe"),
        ("n" * 400, "n" * 255),
        ("\u00fc\u20ac.png", "\u00fc\u20ac.png"),
    ],
)
async def test_the_filename_is_text_to_show_and_never_a_path(site: Site, filename: str, name: str) -> None:
    task = await site.run("digest", {"upload_id": await upload(site, b"abc", filename)})
    assert task["result"] == [name, 3, True]
    assert all(path.parent.name == "uploads" for path in site.settings.data_path.rglob("*/*") if path.is_file())


MALFORMED = {
    "no boundary": (form(("file", "a", b"x")), "multipart/form-data", 400),
    "an empty boundary": (form(("file", "a", b"x")), "multipart/form-data; boundary=", 400),
    "a long boundary": (form(("file", "a", b"x")), f"multipart/form-data; boundary={'b' * 71}", 400),
    "a boundary of other letters": (form(("file", "a", b"x")), "multipart/form-data; boundary=\u00e9", 400),
    "another boundary": (form(("file", "a", b"x")), "multipart/form-data; boundary=C", 400),
    "no form": (b'{"file": 1}', "application/json", 415),
    "another form": (b"file=x", "application/x-www-form-urlencoded", 415),
    "another multipart": (form(("file", "a", b"x")), "multipart/mixed; boundary=B", 415),
    "nothing": (b"", FORM, 400),
    "no parts": (b"--B--\r\n", FORM, 422),
    "cut off in the head": (form(("file", "a", b"x"))[:20], FORM, 400),
    "cut off in the file": (form(("file", "a", b"x" * 100_000))[:50_000], FORM, 400),
    "cut off before the last boundary": (form(("file", "a", b"x"))[:-6], FORM, 400),
    "another part": (form(("photo", "a", b"x")), FORM, 422),
    "no filename": (form(("file", None, b"x")), FORM, 422),
    "two files": (form(("file", "a", b"x"), ("file", "b", b"y")), FORM, 422),
    "a field after the file": (form(("file", "a", b"x"), ("comment", None, b"y")), FORM, 422),
    "10,000 parts": (form(*[("file", "a", b"x")] * 10_000)[: LIMIT + 60_000] + b"\r\n--B--\r\n", FORM, 422),
    "a name of 1 MB": (form(("f" * 200_000, "a", b"x")), FORM, 400),
    "no name": (b'--B\r\nContent-Disposition: form-data; filename="a"\r\n\r\nx\r\n--B--\r\n', FORM, 422),
    "no disposition": (b"--B\r\nContent-Type: text/plain\r\n\r\nx\r\n--B--\r\n", FORM, 400),
    "a head that is no text": (b"--B\r\n\xff\xfe: \x80\r\n\r\nx\r\n--B--\r\n", FORM, 400),
    "a form in the form": (form(("file", "a", b"x"), more="Content-Type: multipart/mixed; boundary=C\r\n"), FORM, 422),
    "one byte too many": (form(("file", "a", b"x" * (LIMIT + 1))), FORM, 413),
    "far too many": (form(("file", "a", b"x" * (LIMIT * 3))), FORM, 413),
}


@pytest.mark.parametrize("case", MALFORMED)
async def test_what_is_no_form_with_one_file_is_refused_and_leaves_nothing(site: Site, case: str) -> None:
    body, content_type, status = MALFORMED[case]
    assert_problem(await send(site, body, content_type=content_type), status, *["/file"] * (status == 422))
    assert (stored(site), site.sql("SELECT * FROM uploads")) == ([], [])


async def test_an_encoded_body_and_a_query_are_refused(site: Site) -> None:
    body = form(("file", "a", b"x"))
    assert_problem(await send(site, body, **{"Content-Encoding": "gzip"}), 415)
    assert_problem(await send(site, body, "/uploads?name=x"), 400)


async def test_other_bodies_keep_their_own_limit(serve: Serve) -> None:
    async with serve(max_body=10_000, max_args=10_000) as site:
        assert await upload(site, b"x" * 1_000_000)
        large = b'{"upload_id": "' + b"x" * 20_000 + b'"}'
        for path in ("/tasks/detect-faces", "/tasks/echo", "/uploads"):
            answer = await site.request("POST", path, large)
            assert answer.status in (413, 415), (path, answer.status)
        assert (await site.request("POST", "/tasks/echo", form(("file", "a", b"x" * 20_000)), None, FORM)).status == 413


@pytest.mark.parametrize("kind", ["digest-thread", "digest-process"])
async def test_handlers_of_every_sort_reach_an_upload(site: Site, kind: str) -> None:
    task = await site.run(kind, {"file": await upload(site, b"content")})
    sha256 = hashlib.sha256(b"content").hexdigest()
    if kind == "digest-process":
        assert (site.settings.data_path / "digests" / task["task_id"]).read_bytes() == b"content"
        assert task["result"][0] == sha256
        # What a child is writing must not look like what a dead process left.
        assert task["result"][2] == site.app.extensions["quart_app"].runtime.files.life
    else:
        assert task["result"] == sha256


async def test_a_child_process_is_told_that_there_is_no_upload(site: Site) -> None:
    task = await site.run("anybodys", {"file": "0" * 32})
    assert (task["status"], task["error"]["type"]) == ("failed", "UploadNotFound")


@pytest.mark.parametrize("upload_id", ["0" * 32, "", "x", "../../etc/passwd", 5, None])
async def test_an_upload_that_does_not_exist_is_422_and_makes_no_task(site: Site, upload_id: Any) -> None:
    assert_problem(await site.post("/tasks/digest", {"upload_id": upload_id}), 422, "/upload_id")
    assert await site.total() == 0


async def test_a_batch_names_the_entry_whose_upload_is_unknown(site: Site) -> None:
    known = await upload(site, b"x")
    batch = [{"kind": "digest", "args": {"upload_id": one}} for one in (known, "0" * 32)]
    assert_problem(await site.post("/tasks", batch), 422, "/1/args/upload_id")
    assert await site.total() == 0
    assert (await site.post("/tasks", batch[:1] * 3)).status == 202


async def test_an_optional_upload_is_checked_where_it_is_given(site: Site) -> None:
    known = await upload(site, b"x")
    assert (await site.post("/tasks/digest", {"upload_id": known, "other": None})).status == 202
    assert_problem(await site.post("/tasks/digest", {"upload_id": known, "other": "0" * 32}), 422, "/other")


async def test_an_upload_is_its_owners_alone(serve: Serve) -> None:
    async with serve(tasks=str(UPLOAD_KINDS), api_keys=KEYS) as site:
        of_ann = await upload(site, b"ann's", **ANN)
        for_bob = await site.post("/tasks/digest", {"upload_id": of_ann}, BOB)
        unknown = await site.post("/tasks/digest", {"upload_id": "0" * 32}, BOB)
        assert_problem(for_bob, 422, "/upload_id")
        assert for_bob.body == unknown.body
        made = await site.post("/tasks/anybodys", {"file": of_ann}, BOB)
        ended = (await site.get(f"/tasks/{made.id}?wait=20", BOB)).json
        assert ended["error"]["type"] == "UploadNotFound"
        assert (await site.post("/tasks/digest", {"upload_id": of_ann}, ANN)).status == 202


# --- how long


async def test_the_file_goes_with_the_last_task_that_used_it(site: Site) -> None:
    upload_id = await upload(site, b"content")
    tasks = [(await site.run("digest", {"upload_id": upload_id}))["task_id"] for _ in range(2)]
    for task_id in tasks:
        await swept(site)
        assert stored(site) == [b"content"]
        assert (await site.delete(f"/tasks/{task_id}")).status == 204
    await swept(site)
    assert (stored(site), site.sql("SELECT * FROM uploads")) == ([], [])


async def test_the_file_waits_for_a_task_that_starts_next_month(site: Site) -> None:
    await site.make("digest", {"upload_id": await upload(site, b"content")}, "?delay=2592000")
    runtime = site.app.extensions["quart_app"].runtime
    await runtime.uploads.run_once(runtime.clock.now() + 3_000_000_000)
    assert stored(site) == [b"content"]


async def test_an_upload_that_no_task_uses_goes_after_a_day(site: Site) -> None:
    await upload(site, b"content")
    runtime = site.app.extensions["quart_app"].runtime
    day = 86_400_000
    await runtime.uploads.run_once(runtime.clock.now() + day - 60_000)
    assert stored(site) == [b"content"]
    await runtime.uploads.run_once(runtime.clock.now() + day + 1000)
    assert stored(site) == []


async def test_a_schedule_keeps_what_it_names_until_it_is_deleted_or_names_another(site: Site) -> None:
    first = await upload(site, b"first")
    yearly = {"name": "s", "kind": "digest", "cron": "0 0 1 1 *", "args": {"upload_id": first}}
    assert (await site.post("/schedules", yearly)).status == 201
    runtime = site.app.extensions["quart_app"].runtime
    month = 30 * 86_400_000
    await runtime.uploads.run_once(runtime.clock.now() + month)
    assert stored(site) == [b"first"]
    # Not even a task that comes and goes takes it away.
    triggered = await site.ended((await site.post("/schedules/s/trigger")).id)
    await site.delete(f"/tasks/{triggered['task_id']}")
    await swept(site)
    assert (triggered["status"], stored(site)) == ("completed", [b"first"])

    second = await upload(site, b"second")
    changed = await site.request("PATCH", "/schedules/s", {"args": {"upload_id": first, "other": second}})
    assert changed.status == 200
    await runtime.uploads.run_once(runtime.clock.now() + month)
    assert stored(site) == [b"first", b"second"]
    assert (await site.request("PATCH", "/schedules/s", {"args": {"upload_id": second}})).status == 200
    await runtime.uploads.run_once(runtime.clock.now() + month)
    assert stored(site) == [b"second"]
    assert (await site.delete("/schedules/s")).status == 204
    await runtime.uploads.run_once(runtime.clock.now() + month)
    assert stored(site) == []


async def test_a_schedule_can_name_its_owners_uploads_alone(serve: Serve) -> None:
    async with serve(tasks=f"{KINDS},{UPLOAD_KINDS}", api_keys=KEYS) as site:
        of_ann = await upload(site, b"ann's", **ANN)
        plan = {"kind": "digest", "every": 3600}
        for named, owner in ((of_ann, BOB), ("0" * 32, ANN)):
            args = {"upload_id": named}
            assert_problem(
                await site.post("/schedules", {**plan, "name": "s", "args": args}, owner), 422, "/args/upload_id"
            )
        made = await site.post("/schedules", {**plan, "name": "s", "args": {"upload_id": of_ann}}, ANN)
        assert made.status == 201
        unknown = {"args": {"upload_id": of_ann, "other": "0" * 32}}
        assert_problem(await site.request("PATCH", "/schedules/s", unknown, ANN), 422, "/args/other")
        # A text of the same letters in somebody else's args holds nothing.
        await site.delete("/schedules/s", ANN)
        assert (
            await site.post("/schedules", {**plan, "name": "s", "kind": "anybodys", "args": {"file": of_ann}}, BOB)
        ).status == 201
        runtime = site.app.extensions["quart_app"].runtime
        await runtime.uploads.run_once(runtime.clock.now() + 86_400_000 * 2)
        assert stored(site) == []


async def test_unused_uploads_are_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quart_app.service.uploads.MAX_UNUSED", 2)
    first = await upload(site, b"1")
    await upload(site, b"2")
    refused = await send(site, form(("file", "a", b"3")))
    assert_problem(refused, 503)
    assert (refused.headers["Retry-After"], stored(site)) == ("60", [b"1", b"2"])
    await site.run("digest", {"upload_id": first})
    await upload(site, b"3")


async def test_what_an_interrupted_upload_left_is_removed_at_the_next_start(serve: Serve) -> None:
    async with serve(tasks=str(UPLOAD_KINDS)) as site:
        await site.run("digest", {"upload_id": await upload(site, b"kept")})
        folder = site.settings.data_path / "uploads"
        (folder / ".half.00000000.00000000.tmp").write_bytes(b"half")
        left = folder / ("0" * 32)
        left.write_bytes(b"whole, and its row was never written")
        os.utime(left, (1, 1))  # what is newer than the database waits for the next start
    async with serve() as site, asyncio.timeout(DEADLINE):
        while stored(site) != [b"kept"]:  # noqa: ASYNC110 - a folder rings no bell
            await asyncio.sleep(0.01)


async def test_a_disk_that_cannot_be_written_is_503(site: Site) -> None:
    (site.settings.data_path / "uploads").write_text("a file where the folder should be")
    answer = await send(site, form(("file", "a", b"x")))
    assert_problem(answer, 503)
    assert "Retry-After" in answer.headers
