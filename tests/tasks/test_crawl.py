"""`crawl`: what the report says of a site, and what a polite crawler does not do."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from tests.tasks.sites import WebSite, answer, links, redirect
from tests.web.site import Site, assert_problem


async def crawled(crawler: Site, web: WebSite, path: str = "/", **args: Any) -> dict[str, Any]:
    task = await crawler.run("crawl", {"url": web.url + path, **args})
    assert task["status"] == "completed", task["error"]
    result: dict[str, Any] = task["result"]
    return result


def paths(result: dict[str, Any], web: WebSite) -> list[str]:
    return [page["url"].removeprefix(web.url) for page in result["pages"]]


async def test_it_reports_pages_broken_links_and_what_it_skipped(crawler: Site) -> None:
    pages = {
        "/robots.txt": b"User-agent: *\nDisallow: /secret\nCrawl-delay: 0\n",
        "/": links(
            "/a", "b#part", "/gone", "/secret/x", "https://example.com/", "mailto:a@b.example", title=" Home  page "
        ),
        "/a": links("/deep", "/", "/a"),
        "/b": links(title="B & C"),
        "/deep": links("/deeper"),
    }
    with WebSite(pages).served() as web:
        result = await crawled(crawler, web, max_depth=1)
        assert result["pages"] == [
            {"url": f"{web.url}/", "status": 200, "links": 6, "title": "Home page"},
            {"url": f"{web.url}/a", "status": 200, "links": 3, "title": "page"},
            {"url": f"{web.url}/b", "status": 200, "links": 0, "title": "B & C"},
        ]
        assert result["broken"] == [{"url": f"{web.url}/gone", "found_on": f"{web.url}/", "status": 404}]
        assert result["external"] == 1
        assert result["skipped"] == {"robots": 1, "depth": 1, "pages": 0, "redirects": 0}
        assert web.asked == ["/robots.txt", "/", "/a", "/b", "/gone"]
        assert web.agent.startswith("quart_app-crawler/")


async def test_it_stops_at_the_number_of_pages(crawler: Site) -> None:
    pages = {"/": links("/1", "/2", "/3"), "/1": links(), "/2": links(), "/3": links()}
    with WebSite(pages).served() as web:
        result = await crawled(crawler, web, max_pages=2)
        assert (paths(result, web), result["skipped"]["pages"]) == (["/", "/1"], 2)


async def test_depth_zero_is_the_one_page(crawler: Site) -> None:
    with WebSite({"/": links("/1"), "/1": links()}).served() as web:
        assert paths(await crawled(crawler, web, max_depth=0), web) == ["/"]


async def test_only_html_is_read(crawler: Site) -> None:
    read = []

    def pdf(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, links("/never").encode(), Content_Type="application/pdf")

    def packed(handler: BaseHTTPRequestHandler) -> None:
        read.append(handler.headers["Accept-Encoding"])
        answer(handler, links("/never"), Content_Encoding="gzip")

    with WebSite({"/": links("/pdf", "/packed"), "/pdf": pdf, "/packed": packed}).served() as web:
        assert paths(await crawled(crawler, web), web) == ["/", "/pdf", "/packed"]
        assert "/never" not in web.asked
        assert read == ["identity"]


async def test_redirects_are_followed_within_the_site_alone(crawler: Site) -> None:
    with WebSite({"/": links()}).served() as other:
        pages = {
            "/robots.txt": b"User-agent: *\nDisallow: /no\nCrawl-delay: 0\n",
            "/": links("/moved", "/away", "/loop", "/forbidden"),
            "/moved": redirect("/here"),
            "/here": links(title="here"),
            "/away": redirect(other.url + "/"),
            "/loop": redirect("/loop"),
            "/forbidden": redirect("/no/way"),
        }
        with WebSite(pages).served() as web:
            result = await crawled(crawler, web)
            assert paths(result, web) == ["/", "/here"]
            assert [(one["url"], one["error"]) for one in result["broken"]] == [
                (f"{web.url}/loop", "too many redirects")
            ]
            assert (result["skipped"]["redirects"], result["skipped"]["robots"]) == (1, 1)
            assert web.asked.count("/loop") == 6
        assert other.connections == 0


async def test_a_site_that_lives_elsewhere_says_so(crawler: Site) -> None:
    with WebSite({"/robots.txt": redirect("https://www.example.com/robots.txt")}).served() as web:
        task = await crawler.run("crawl", {"url": web.url})
        assert (task["status"], task["attempt"]) == ("failed", 1)
        assert "https://www.example.com/robots.txt; crawl that" in task["error"]["message"]


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_robots_txt_that_cannot_be_read_forbids_everything(crawler: Site, status: int) -> None:
    with WebSite({"/robots.txt": lambda handler: answer(handler, "", status), "/": links()}).served() as web:
        task = await crawler.run("crawl", {"url": web.url}, "?max_attempts=1")
        assert (task["status"], task["error"]["type"]) == ("failed", "Unreachable")
        assert web.asked == ["/robots.txt"]


async def test_no_robots_txt_means_no_rules(crawler: Site) -> None:
    with WebSite({"/robots.txt": lambda handler: handler.send_error(404), "/": links()}).served() as web:
        assert paths(await crawled(crawler, web), web) == ["/"]


async def test_a_site_that_forbids_everything_is_left_alone(crawler: Site) -> None:
    with WebSite({"/robots.txt": b"User-agent: quart_app-crawler\nDisallow: /\n", "/": links()}).served() as web:
        result = await crawled(crawler, web)
        assert (result["pages"], result["skipped"]["robots"], web.asked) == ([], 1, ["/robots.txt"])


async def test_a_site_that_does_not_answer_is_tried_again_and_then_failed(crawler: Site) -> None:
    with WebSite({}).served() as web:
        url = web.url
    task = await crawler.run("crawl", {"url": url}, "?max_attempts=1")
    assert (task["error"]["type"], task["error"]["retryable"]) == ("Unreachable", True)


@pytest.mark.parametrize(
    ("args", "pointer"),
    [
        ({}, "/url"),
        ({"url": 5}, "/url"),
        ({"url": "ftp://example.com/"}, "/url"),
        ({"url": "https://example.com/\u00e9"}, "/url"),
        ({"url": "https://example.com/", "max_pages": 0}, "/max_pages"),
        ({"url": "https://example.com/", "max_pages": 501}, "/max_pages"),
        ({"url": "https://example.com/", "max_depth": -1}, "/max_depth"),
    ],
)
async def test_args_that_do_not_fit_are_422(crawler: Site, args: dict[str, Any], pointer: str) -> None:
    assert_problem(await crawler.post("/tasks/crawl", args), 422, pointer)
