"""`GET /docs`: the page and its files, and nothing else of the disk."""

from __future__ import annotations

import re

import pytest

from quart_app.web.openapi.texts import FILES
from tests.web.site import Site, assert_problem


async def test_the_page_has_no_script_or_style_of_its_own_and_may_load_none_from_elsewhere(site: Site) -> None:
    answer = await site.get("/docs")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    page = answer.body.decode()
    assert not re.search(r"<style|style=|\son\w+=|<script>|//", page)
    assert set(re.findall(r'(?:src|href)="docs/([^"]*)"', page)) == set(FILES)


async def test_a_slash_behind_it_leads_to_it(site: Site) -> None:
    answer = await site.get("/docs/")
    assert (answer.status, answer.headers["Location"]) == (308, "../docs")


@pytest.mark.parametrize("name", FILES)
async def test_its_files_are_served_with_their_type_and_kept_by_the_browser(site: Site, name: str) -> None:
    answer = await site.get(f"/docs/{name}")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith(FILES[name])
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "max-age=3600" in answer.headers["Cache-Control"]
    assert len(answer.body) > 100
    assert (await site.get(f"/docs/{name}", {"If-None-Match": answer.headers["ETag"]})).status == 304


@pytest.mark.parametrize(
    "path",
    [
        "docs.html", "index.css", "LICENSE", "VERSION", "none", "..", "../__init__.py", "%2e%2e", "..%2f__init__.py",
        "%2e%2e%2f__init__.py", "..%5c__init__.py", "start.js%00", "start.js/", "./start.js%2f..", "%2fetc%2fpasswd",
        "swagger-ui.css.map", "START.JS",
    ],
)  # fmt: skip
async def test_nothing_else_is_served(site: Site, path: str) -> None:
    assert_problem(await site.get(f"/docs/{path}"), 404)
