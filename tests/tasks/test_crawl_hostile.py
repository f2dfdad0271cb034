"""Pages that are made to hold a crawler, fill its memory or lead it in circles."""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from quart_app.tasks.links import MAX_LINK, MAX_LINKS, Links
from quart_app.tasks.page_text import texts
from tests.tasks.sites import Page, WebSite, answer, links
from tests.web.conftest import Serve
from tests.web.site import Site


async def of_one_page(crawler: Site, page: Page, **args: Any) -> dict[str, Any]:
    """The report on a site whose first page links this one."""
    with WebSite({"/": links("/bad"), "/bad": page}).served() as web:
        task = await crawler.run("crawl", {"url": web.url, **args})
        assert task["status"] == "completed", task["error"]
        result: dict[str, Any] = task["result"]
        return result


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "text/html")
    handler.send_header("Connection", "close")
    handler.end_headers()
    while True:
        handler.wfile.write(b"<p>again</p>" * 1000)


def silent(handler: BaseHTTPRequestHandler) -> None:
    handler.rfile.read(1)  # until the crawler hangs up


def cut_off(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5000\r\n\r\n<a href=/x>")
    handler.close_connection = True


def no_http(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"\x00\x01\x02 garbage\r\n\r\n")
    handler.close_connection = True


def big_head(handler: BaseHTTPRequestHandler) -> None:
    answer(handler, "", X_Large="x" * 1_000_000)


async def test_an_endless_page_is_read_up_to_the_limit(crawler: Site) -> None:
    result = await of_one_page(crawler, endless)
    assert [page["status"] for page in result["pages"]] == [200, 200]


async def test_of_a_large_page_the_beginning_counts(crawler: Site) -> None:
    result = await of_one_page(crawler, links("/") + " " * 10_000_000 + links("/late"))
    assert [page["links"] for page in result["pages"]] == [1, 1]


async def test_a_link_bomb_costs_a_bounded_number_of_links(crawler: Site) -> None:
    bomb = links(*(f"/{number}" for number in range(100_000)))
    result = await of_one_page(crawler, bomb, max_pages=2)
    assert result["skipped"]["pages"] == MAX_LINKS
    assert 10_000 < result["pages"][1]["links"] <= 100_000


@pytest.mark.parametrize("page", [cut_off, no_http, big_head])
async def test_what_is_no_answer_is_a_broken_link(crawler: Site, page: Page) -> None:
    result = await of_one_page(crawler, page)
    assert [len(result["pages"]), len(result["broken"])] == [1, 1]
    assert "Error" in result["broken"][0]["error"]


async def test_a_page_that_says_nothing_is_given_up(crawler: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def first(handler: BaseHTTPRequestHandler) -> None:
        monkeypatch.setattr(sys.modules["quart_app.tasks.crawl"], "PAGE_SECONDS", 0.1)  # from the next page on
        answer(handler, links("/silent"))

    with WebSite({"/": first, "/silent": silent}).served() as web:
        result = (await crawler.run("crawl", {"url": web.url}))["result"]
        assert result["broken"] == [{"url": f"{web.url}/silent", "found_on": f"{web.url}/", "error": "TimeoutError"}]


async def test_a_huge_robots_txt_is_read_up_to_the_limit(crawler: Site) -> None:
    def robots(handler: BaseHTTPRequestHandler) -> None:
        rules = b"User-agent: *\nCrawl-delay: 0\nDisallow: /first\n"
        answer(handler, rules + b"# filler\n" * 1_000_000 + b"Disallow: /\n")

    with WebSite({"/robots.txt": robots, "/": links("/first")}).served() as web:
        result = (await crawler.run("crawl", {"url": web.url}))["result"]
        assert [len(result["pages"]), result["skipped"]["robots"]] == [1, 1]


@pytest.mark.parametrize("charset", ["idna", "unicode_escape", "utf-16", "no-such", "iso-8859-1; x=y", ""])
async def test_whatever_charset_a_page_names_it_is_read(crawler: Site, charset: str) -> None:
    def page(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, "\\N{<title>\u00e4</title>", Content_Type=f"text/html; charset={charset}")

    result = await of_one_page(crawler, page)
    assert result["pages"][1]["title"] == ("\u00c3\u00a4" if charset.startswith("iso") else "\u00e4")


async def test_links_that_lead_in_circles_end(crawler: Site) -> None:
    """A page for every address, each with links to itself, back, and one step deeper."""

    def page(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, links("", "/", "..", "?again=1", "#here", "./", "a/", "/a/../a/"))

    pages = {"/": page, **{"/" + "a/" * depth: page for depth in range(1, 12)}}
    with WebSite(pages).served() as web:
        result = (await crawler.run("crawl", {"url": web.url, "max_depth": 10, "max_pages": 500}))["result"]
        assert len(web.asked) == len(set(web.asked)) == 1 + len(result["pages"])
        assert result["skipped"]["depth"] > 0


@pytest.mark.parametrize("broken", [True, False])
async def test_the_report_of_the_largest_pages_is_below_the_limit_of_a_result(serve: Serve, broken: bool) -> None:
    """500 pages are below 1 MiB when 50 are below a tenth of it."""
    page: Page = (lambda handler: handler.wfile.write(b"\0" * 300)) if broken else links(title="\x01" * 1000)
    long = [f"/{number:02}{'x' * (MAX_LINK - 30)}" for number in range(60)]
    pages = {"/": links(long[0]), long[0]: links(*long[1:]), **dict.fromkeys(long[1:], page)}
    async with serve(allow_private_targets=1, max_result=104_857) as site:
        with WebSite(pages).served() as web:
            task = await site.run("crawl", {"url": web.url, "max_pages": 50})
            assert task["status"] == "completed", task["error"]
            assert len(task["result"]["broken" if broken else "pages"]) >= 48


def test_only_the_first_base_counts() -> None:
    found = Links("http://a.example/dir/page")
    found.read(["<base href='/one/'><base href='http://b.example/'><a href=x>"])
    assert found.within("a.example") == ["http://a.example/one/x"]


@pytest.mark.parametrize(
    "text",
    [
        "<",
        "<!--",
        "<a ",
        '<a href="x',
        "<a a=1 ",
        "<!",
        "<?",
        "</",
        "<![CDATA[",
        "&",
        "&#",
        "<script></",
        "<title><",
        "<base href=//[",
    ],
)
def test_a_page_made_to_be_hard_to_read_is_read_quickly(text: str) -> None:
    """A parser that looks at it all again for each piece takes minutes."""
    found = Links("http://a.example/")
    found.read(texts((text * (400_000 // len(text))).encode(), "utf-8"))
    assert found.within("a.example") == []


@pytest.mark.parametrize(
    ("link", "absolute"),
    [
        ("b?q=1#f", "http://a.example/dir/b?q=1"),
        ("../c", "http://a.example/c"),
        ("//B.Example/", "http://b.example/"),
        ("\u00e4 b", "http://a.example/dir/%C3%A4%20b"),
        ("%C3%A4", "http://a.example/dir/%C3%A4"),
        ("", "http://a.example/dir/page"),
        ("javascript:alert(1)", None),
        ("http://user@b.example/", None),
        ("http://[::1", None),
        ("http://a.example:99999/", None),
        ("x" * 3000, None),
        ("http://b\u00fccher.example/", None),
        ("a\x00b", "http://a.example/dir/a%00b"),
        ("a\r\nHost: x", None),
    ],
)
def test_a_link_becomes_a_plain_address_or_nothing(link: str, absolute: str | None) -> None:
    assert Links("http://a.example/dir/page").absolute(link) == absolute


@pytest.mark.parametrize("text", ["<![<!", "<!DOCTYPE <![", "<![if", "<!-x", "&#xffffffffff;", "<a href='http://[x'>"])
async def test_what_the_parser_raises_about_a_page_is_about_that_page(crawler: Site, text: str) -> None:
    with WebSite({"/": links("/bad", "/good"), "/bad": f"<p>{text}", "/good": links(title="good")}).served() as web:
        task = await crawler.run("crawl", {"url": web.url})
    assert (task["status"], task["attempt"]) == ("completed", 1)
    assert "good" in [page["title"] for page in task["result"]["pages"]]
    if text == "<![<!":
        (broken,) = task["result"]["broken"]
        assert broken["url"].endswith("/bad") and broken["error"].startswith("cannot be read")
