"""robots.txt, by the examples and the words of RFC 9309."""

from __future__ import annotations

import pytest

from quart_app.tasks.robots import Robots

AGENT = "quart_app-crawler"


def allowed(text: str, target: str) -> bool:
    return Robots(text.splitlines(), AGENT).allows(f"http://a.example{target}")


@pytest.mark.parametrize(
    ("rules", "target", "allows"),
    [
        ("", "/x", True),
        ("Disallow:", "/x", True),
        ("Disallow: /", "/x", False),
        ("Disallow: /x", "/x/y?z", False),
        ("Disallow: /x", "/X", True),
        ("Disallow: /x", "/a/x", True),
        ("disallow :\t/x # why", "/x", False),
        # 2.2.2: the longest match decides, whatever comes first; of two equal ones, the one that allows
        ("Allow: /\nDisallow: /private", "/private/x", False),
        ("Disallow: /\nAllow: /public", "/public/x", True),
        ("Allow: /example/page/\nDisallow: /example/page/disallowed.gif", "/example/page/disallowed.gif", False),
        ("Disallow: /p\nAllow: /p", "/page", True),
        # 2.2.3: `*` and `$`
        ("Disallow: /*.pdf$", "/a/b.pdf", False),
        ("Disallow: /*.pdf$", "/a/b.pdf?x", True),
        ("Disallow: /*?sort=", "/list?page=1&sort=name", True),
        ("Disallow: /*?*sort=", "/list?page=1&sort=name", False),
        ("Disallow: /x$", "/x", False),
        ("Disallow: /x$", "/xx", True),
        ("Disallow: /x$", "/x/x", True),
        ("Disallow: *", "/x", False),
        ("Disallow: /a*bc*b$", "/abcb", False),
        ("Disallow: /a*bc*cb$", "/abcb", True),
        ("Disallow: /$", "/", False),
        ("Disallow: /$", "/x", True),
        # 2.2.2: encoded or not, it is the same address; `%2F` is no `/`, `%2A` no wildcard
        ("Disallow: /%7ejoe", "/~joe", False),
        ("Disallow: /~joe", "/%7Ejoe", False),
        ("Disallow: /\u00e4", "/%c3%a4", False),
        ("Disallow: /a%2Fb", "/a/b", True),
        ("Disallow: /a%2fb", "/a%2Fb", False),
        ("Disallow: /a%2Ab", "/axb", True),
        # what says nothing
        ("Noindex: /\nSitemap: /x\n/x\n:::\nDisallow /x", "/x", True),
    ],
)
def test_a_rule_is_read_as_the_standard_says(rules: str, target: str, allows: bool) -> None:
    assert allowed(f"User-agent: *\n{rules}", target) is allows


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("User-agent: *\nDisallow: /all\nUser-agent: quart_app-crawler\nDisallow: /ours", {"/ours"}),
        ("User-agent: QUART_APP-Crawler/2.0\nDisallow: /ours", {"/ours"}),
        ("User-agent: other\nUser-agent: quart_app-crawler\n\nDisallow: /ours", {"/ours"}),
        ("User-agent: quart_app-crawler\nDisallow: /ours\nUser-agent: other\nDisallow: /all", {"/ours"}),
        ("User-agent: quart_app-crawler\nDisallow: /ours\n\nUser-agent: quart_app-crawler\nDisallow: /all",
         {"/ours", "/all"}),
        ("User-agent: quart_app\nDisallow: /ours\nUser-agent: *\nDisallow: /all", {"/all"}),
        ("User-agent: other\nDisallow: /", set()),
        ("User-agent:\nDisallow: /", set()),
        ("Disallow: /", set()),
        ("User-agent: quart_app-crawler\nCrawl-delay: /\nUser-agent: *\nDisallow: /", set()),
    ],
)  # fmt: skip
def test_the_rules_are_those_of_the_groups_that_name_us_or_else_of_all(text: str, refused: set[str]) -> None:
    assert {target for target in ("/all", "/ours") if not allowed(text, target)} == refused


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("5", 5.0), ("0", 0.0), ("0.5", 0.5), ("999999999", 999_999_999.0),
        ("", None), ("-1", None), ("\u00b2", None), ("9" * 500, None), ("nan", None), ("1e3", None), ("5 s", None),
    ],
)  # fmt: skip
def test_the_delay_is_a_plain_number_or_nothing(said: str, seconds: float | None) -> None:
    assert Robots(["User-agent: *", f"Crawl-delay: {said}"], AGENT).delay == seconds


def test_a_rule_made_to_be_hard_to_match_is_matched_at_once() -> None:
    """A pattern that tries all the ways in which its wildcards could match would take for ever."""
    assert allowed("User-agent: *\nDisallow: /" + "*a" * 900 + "b$", "/" + "a" * 2000)
