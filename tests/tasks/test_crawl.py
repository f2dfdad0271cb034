"""`crawl`: what the report says of a site, and what a polite crawler does not do."""

from __future__ import annotations

import threading
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


async def test_rules_are_obeyed_however_the_file_is_written(crawler: Site) -> None:
    robots = "\ufeffUser-Agent:\t*\r\nCrawl-delay: 0\r\nAllow: /\r\nDisallow:\t/no # never\r\nDisallow: /*.pdf$\r\n"
    pages = {"/robots.txt": robots.encode(), "/": links("/no/1", "/a.pdf", "/yes"), "/yes": links()}
    with WebSite(pages).served() as web:
        result = await crawled(crawler, web)
        assert (paths(result, web), result["skipped"]["robots"]) == (["/", "/yes"], 2)


@pytest.mark.parametrize("delay", ["\u00b2", "9" * 500, "-5", "soon"])
async def test_a_delay_that_is_no_number_is_passed_over(crawler: Site, delay: str) -> None:
    with WebSite({"/robots.txt": f"User-agent: *\nCrawl-delay: {delay}\n".encode(), "/": links()}).served() as web:
        assert paths(await crawled(crawler, web), web) == ["/"]


async def test_rules_in_an_encoding_that_was_not_asked_for_forbid_everything(crawler: Site) -> None:
    def packed(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, b"\x1f\x8b", Content_Encoding="gzip")

    with WebSite({"/robots.txt": packed, "/": links()}).served() as web:
        task = await crawler.run("crawl", {"url": web.url}, "?max_attempts=1")
        assert (task["status"], task["error"]["type"], web.asked) == ("failed", "Unreachable", ["/robots.txt"])


async def test_two_crawls_of_one_site_take_turns(crawler: Site) -> None:
    """Whoever asks for two pages of a site at once has not waited between them."""
    at_once, most = 0, 0
    changed = threading.Condition()

    def page(handler: BaseHTTPRequestHandler) -> None:
        nonlocal at_once, most
        with changed:
            at_once += 1
            changed.notify_all()
            changed.wait_for(lambda: at_once > 1, 0.1)  # in vain, as long as they take turns
            most = max(most, at_once)
            at_once -= 1
        answer(handler, links("/1", "/2"))

    pages: dict[str, Any] = {"/robots.txt": b"User-agent: *\nCrawl-delay: 0.001\n", "/": page, "/1": page, "/2": page}
    with WebSite(pages).served() as web:
        made = [await crawler.make("crawl", {"url": web.url}) for _ in range(2)]
        for task_id in made:
            assert len((await crawler.ended(task_id))["result"]["pages"]) == 3
    assert most == 1


async def test_a_page_that_a_redirect_has_led_to_is_not_asked_for_again(crawler: Site) -> None:
    pages = {"/": links("/old", "/new"), "/old": redirect("/new"), "/new": links(title="new")}
    with WebSite(pages).served() as web:
        assert paths(await crawled(crawler, web), web) == ["/", "/new"]
        assert web.asked == ["/robots.txt", "/", "/old", "/new"]
