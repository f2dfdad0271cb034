"""Every page: its headers, that it needs nothing from elsewhere, that hostile texts stay texts, and that it works under
a prefix."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from quart import Quart

from quart_app.app import QuartTasks
from quart_app.dashboard.site import FILES
from quart_app.settings import Settings
from tests.dashboard.visitor import HOST, Page, Visitor
from tests.web import kinds
from tests.web.conftest import Serve
from tests.web.site import Site

HOSTILE = """"><script>alert(1)</script><img src=x onerror='alert(2)'>{{7*7}}</textarea></pre>&amp;"""
PLACES = (
    *("", "?period=day&by=queue", "?period=week", "/tasks", "/tasks?q=kind:echo", "/tasks?q=nonsense", "/tasks/{task}"),
    *("/tasks/{failed}", "/kinds", "/kinds/strict", "/kinds/bulk", "/queues", "/limits", "/schedules", "/errors"),
    *("/waiting", "/nowhere", "/tasks/nobody", "/kinds/none"),
)


async def filled(site: Site) -> dict[str, str]:
    """Tasks with hostile texts wherever a client may put one."""
    task = await site.make("echo", {"value": HOSTILE}, query="?tag=%3Cscript%3Ealert(3)%3C/script%3E%22%27")
    failed = await site.make("fail", {"message": HOSTILE})
    for one in (task, failed):
        await site.ended(one)
    return {"task": task, "failed": failed}


def assert_safe(page: Page) -> None:
    policy = page.answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    assert "form-action 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.answer.headers["Referrer-Policy"] == "same-origin"
    assert page.answer.headers["X-Content-Type-Options"] == "nosniff"
    assert page.answer.headers["Cache-Control"] == "no-store"
    assert page.answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "style" not in page.tags
    assert "img" not in page.tags
    assert not {name for name in page.attributes if name == "style" or name.startswith("on")}
    assert page.tags.count("script") == len(
        re.findall(r"<script [^>]*src=\"[^\"]*\"[^>]*></script>", page.answer.body.decode())
    )
    assert "49" not in page.text.split()
    for address in page.addresses:
        assert urlsplit(urljoin(HOST + "/", address)).netloc == "localhost", address
        assert not address.startswith("/"), f"{address} would lead past the path of a proxy"


@pytest.mark.parametrize("place", PLACES)
async def test_a_page_is_strict_needs_nothing_else_and_shows_hostile_texts_as_texts(site: Site, place: str) -> None:
    made = await filled(site)
    visitor = Visitor(site)
    page = await visitor.open(place.format(**made))
    wanted = 404 if place in ("/nowhere", "/tasks/nobody", "/kinds/none") else 200
    assert page.status == wanted, page.text
    assert_safe(page)
    assert page.tags.count("h1") == page.tags.count("main") == 1
    assert page.links["Overview"], "the frame is there"
    assert [one for one in page.unlabelled if one not in page.labelled | {"theme"}] == []


async def test_the_page_of_a_task_shows_the_texts_whole(site: Site) -> None:
    made = await filled(site)
    visitor = Visitor(site)
    assert HOSTILE in (await visitor.open(f"/tasks/{made['failed']}")).text
    page = await visitor.open(f"/tasks/{made['task']}")
    assert "<script>alert(3)</script>\"'" in page.text
    answer = await visitor.once("GET", f"/dashboard/tasks/{made['task']}/args.json")
    assert answer.json == {"value": HOSTILE}
    assert answer.headers["Content-Disposition"].startswith("attachment; ")


async def test_large_numbers_stay_whole(site: Site, visitor: Visitor) -> None:
    number = 123456789012345678901234567890
    task = await site.run("echo", {"value": number})
    page = await visitor.open(f"/tasks/{task['task_id']}")
    assert page.text.count(str(number)) == 3  # args, result, and the field of the fork


@pytest.mark.parametrize(("prefix", "root"), [("/jobs", ""), ("", "/proxy/app"), ("/jobs", "/proxy")])
async def test_every_link_of_a_page_leads_to_a_page_under_a_prefix(tmp_path: Path, prefix: str, root: str) -> None:
    settings = Settings(data_dir=str(tmp_path), drain_seconds=0.0, schedules=0, tasks=str(kinds.__file__))
    app = Quart("somebody")
    QuartTasks(app, settings, url_prefix=prefix or "/")
    async with app.test_app():
        site = Site(app, settings)
        made = await site.post(f"{prefix}/tasks/echo", {"value": 1}, {"Prefer": "wait=20"})
        visitor = Visitor(site, prefix, root)
        todo, seen = [f"{prefix}/dashboard", f"{prefix}/dashboard/tasks/{made.json['task_id']}"], set()
        while todo and len(seen) < 60:
            path = todo.pop()
            if path in seen:
                continue
            seen.add(path)
            answer = await visitor.once("GET", path)
            assert answer.status == 200, path
            if not answer.headers["Content-Type"].startswith("text/html") or "/docs" in path:
                continue
            page = Page(answer, path)
            acts = {visitor.path(path, form.action) for form in page.forms}
            for address in page.addresses:
                target = visitor.path(path, address).partition("#")[0]
                assert target.startswith(f"{prefix}/"), (path, address)
                if target not in acts:
                    todo.append(target)
        assert len(seen) > 20
        page = await visitor.press(await visitor.open("/kinds/echo"), "Start")
        assert visitor.place.startswith(f"{prefix}/dashboard/tasks/")
        assert page.status == 200
        assert [text for text in visitor.set_cookies if f"Path={root}{prefix}/" not in text] == []


@pytest.mark.parametrize("name", FILES)
async def test_its_files_are_kept_by_the_browser(site: Site, name: str) -> None:
    answer = await site.get(f"/dashboard/static/{name}")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith(FILES[name])
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    again = await site.get(f"/dashboard/static/{name}", {"If-None-Match": answer.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")
    text = answer.body.decode().replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "http:" not in text
    assert "https:" not in text
    assert not re.search(r"innerHTML\s*=[^=]|insertAdjacentHTML|eval\(|document\.write", text)


async def test_other_files_are_not_there(site: Site) -> None:
    for path in ("../site.py", "..%2Fsite.py", "layout.html", ""):
        assert (await site.get(f"/dashboard/static/{path}")).status == 404


async def test_a_page_and_its_files_are_small(site: Site, visitor: Visitor) -> None:
    page = await visitor.open()
    files = {address for address in page.addresses if "/static/" in address}
    sizes = [len((await visitor.once("GET", urljoin("/dashboard", address))).body) for address in files]
    assert len(page.answer.body) + sum(sizes) < 100_000


async def test_a_head_is_answered(site: Site) -> None:
    answer = await site.request("HEAD", "/dashboard")
    assert answer.status == 200
    assert_safe(Page(answer))


async def test_a_caller_that_may_not_be_here_is_told_why(site: Site) -> None:
    answer = await site.get("/dashboard", {"Host": "evil.example"})
    assert answer.status == 403
    assert b"without keys only localhost is answered" in answer.body
    assert_safe(Page(answer))
    answer = await site.get("/dashboard", {"X-Forwarded-For": "192.0.2.1"})
    assert answer.status == 403
    assert b"came through a proxy" in answer.body


async def test_a_query_that_cannot_be_read_is_told_so(site: Site, visitor: Visitor) -> None:
    for place in ("?period=year", "/tasks?below=x", "/tasks?nothing=1", "/errors?below=1", "/queues?after=%00"):
        page = await visitor.open(place)
        assert page.status == 400, place
        assert_safe(page)


async def test_while_the_store_is_closed_a_page_says_so(serve: Serve) -> None:
    async with serve() as site:
        state = site.app.extensions["quart_app"]
        runtime, state.runtime = state.runtime, None
        page = Page(await site.get("/dashboard"))
        assert page.status == 503
        assert "the server is starting" in page.text
        assert page.answer.headers["Retry-After"]
        state.runtime = runtime
