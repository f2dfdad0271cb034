"""robots.txt: which rules are kept of a file, and that nobody else waits while they are read and matched."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from protego import Protego

from quart_app.tasks.robots import AGENT, MAX_RULES, MAX_WILDCARDS, Rules, for_us
from tests.tasks.sites import WebSite, links, redirect
from tests.web.site import Site

EVERYBODY = "user-agent: *"
OURS = "User-Agent: QUART_APP-Crawler/2.0"


def kept(*lines: str) -> list[str]:
    """The lines of the one group that is kept."""
    text = for_us("\n".join(lines))
    assert for_us(text) == text, "what is kept is read again after a crash"
    head, *rules = text.splitlines() or [EVERYBODY]
    assert head == EVERYBODY
    return rules


def forbidden(*lines: str) -> list[str]:
    return [f"disallow: {line}" for line in lines]


# --- whose rules


def test_a_group_of_our_own_counts_alone_and_all_of_them_count() -> None:
    rules = kept(EVERYBODY, "disallow: /a", OURS, "disallow: /b", "user-agent: x", "disallow: /c", OURS, "disallow: /d")
    assert rules == forbidden("/b", "/d")


def test_without_one_those_for_everybody_count() -> None:
    rules = kept("user-agent: x", EVERYBODY, "disallow: /a", "user-agent: y", "disallow: /b", EVERYBODY, "disallow: /c")
    assert rules == forbidden("/a", "/c")


@pytest.mark.parametrize("agent", [AGENT, AGENT.upper(), f"{AGENT}/1", f" {AGENT} # us", f"{AGENT}*"])
def test_our_name_is_found_however_it_is_written(agent: str) -> None:
    assert kept(f"user-agent: {agent}", "disallow: /a", EVERYBODY, "disallow: /b") == forbidden("/a")


@pytest.mark.parametrize("agent", ["quart", "crawler", f"my{AGENT}", f"{AGENT}-image", "q*", "", "*x"])
def test_another_name_is_not_ours(agent: str) -> None:
    assert kept(f"user-agent: {agent}", "disallow: /a", EVERYBODY, "disallow: /b") == forbidden("/b")


def test_a_group_of_our_own_without_rules_allows_all() -> None:
    assert kept(OURS, "disallow:", EVERYBODY, "disallow: /") == []


def test_we_may_be_named_beside_others_and_everybody() -> None:
    assert kept("user-agent: x", OURS, EVERYBODY, "disallow: /a") == forbidden("/a")
    assert kept(OURS, "user-agent: x", "disallow: /a", "user-agent: x", "disallow: /b") == forbidden("/a")


@pytest.mark.parametrize(
    "line",
    [
        "Disallow: /a",
        "disallow:/a",
        "DISALLOW : /a",
        "Disallow /a",
        "disalow: /a",
        "dissallow: /a # x",
        "\tdisallow:\t/a",
    ],
)
def test_a_rule_is_found_however_it_is_written(line: str) -> None:
    assert kept(EVERYBODY, line) == forbidden("/a")


def test_what_is_no_rule_changes_nothing() -> None:
    lines = (
        "disallow: /early",
        EVERYBODY,
        "sitemap: http://a.example/",
        "# x",
        "",
        "host: a",
        "user agent: x",
        "disallow: /a",
    )
    assert kept(*lines) == forbidden("/a")


@pytest.mark.parametrize(
    ("delays", "delay"), [(["2"], 2.0), (["1", ".5", "x"], 1.0), (["\u00b2", "9" * 500, "-5", "nan", "1e3", ""], None)]
)
def test_the_longest_delay_that_is_a_number_counts(delays: list[str], delay: float | None) -> None:
    assert Rules("\n".join([EVERYBODY, *(f"crawl-delay: {one}" for one in delays)])).delay == delay


# --- how many of them


def test_rules_of_many_agents_are_not_kept_for_each() -> None:
    """The library copies each rule for each agent: these 83 KB became six million rules."""
    agents = [f"user-agent: q{number}" for number in range(2500)]
    rules = [f"disallow: /{number}" for number in range(2500)]
    assert kept(*agents, *rules) == []
    assert kept(*agents, EVERYBODY, *rules[:900]) == rules[:900]
    parsed = Rules("\n".join([*agents, EVERYBODY, *rules[:900]]))._parsed
    assert sum(len(one._rules) for one in parsed._user_agents.values()) == 900


def test_a_site_with_more_rules_than_are_kept_is_left_alone() -> None:
    rules = [f"disallow: /{number}" for number in range(MAX_RULES + 1)]
    assert kept(EVERYBODY, "crawl-delay: 1", *rules[:-1]) == ["crawl-delay: 1", *rules[:-1]]
    assert kept(EVERYBODY, "allow: /a", *rules) == forbidden("/")


def test_what_is_allowed_gives_way_to_what_is_forbidden() -> None:
    allowed = [f"allow: /{number}" for number in range(MAX_RULES)]
    assert kept(EVERYBODY, *allowed, "disallow: /x", "disallow: /y") == [*allowed[:-2], "disallow: /x", "disallow: /y"]


def test_rules_and_delays_that_are_there_twice_count_once() -> None:
    assert kept(EVERYBODY, *["disallow: /a", "crawl-delay: 1", EVERYBODY] * 5000) == ["crawl-delay: 1", "disallow: /a"]


# --- how hard they are to match


@pytest.mark.parametrize(
    ("rule", "short"),
    [
        ("/a", "/a"),
        ("/***a**", "/*a*"),
        ("/" + "*a" * MAX_WILDCARDS + "$", "/" + "*a" * MAX_WILDCARDS + "$"),
        ("/" + "*a" * (MAX_WILDCARDS + 1), "/" + "*a" * (MAX_WILDCARDS - 1) + "*"),
        ("/" + "*a" * (MAX_WILDCARDS - 1) + "*b$*c$", "/" + "*a" * (MAX_WILDCARDS - 1) + "*"),
        ("/" + "*" * 1900 + "a", "/*a"),
        ("/" + "*a" * 900 + "b$", "/" + "*a" * (MAX_WILDCARDS - 1) + "*"),
        ("/" + "a" * 2000, ""),
    ],
)
def test_a_rule_of_many_wildcards_forbids_all_that_begins_so(rule: str, short: str) -> None:
    assert kept(EVERYBODY, f"disallow: {rule}") == (forbidden(short) if short else [])


def test_what_is_forbidden_stays_forbidden_when_a_rule_is_cut() -> None:
    rules = Rules(f"{EVERYBODY}\ndisallow: /" + "*a" * 20 + "$")
    assert rules.allow(["http://a.example/" + "a" * number for number in (20, 7, 6)]) == [False, False, True]


def test_what_is_allowed_with_many_wildcards_is_not() -> None:
    few, many = "allow: /" + "*a" * MAX_WILDCARDS, "allow: /" + "*b" * (MAX_WILDCARDS + 1)
    assert kept(EVERYBODY, "disallow: /", few, many) == ["disallow: /", few]


def test_wildcards_of_all_rules_are_bounded() -> None:
    rules = [f"disallow: /{number}" + "*a" * 900 + "*z" for number in range(MAX_RULES)]
    assert "\n".join(kept(EVERYBODY, *rules)).count("*") == MAX_RULES * MAX_WILDCARDS


# --- in a crawl


class Seen:
    """Notes how often a function of the library was called, with what, and whether in the thread of the event loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.given: list[str] = []
        self.on_the_loop = 0
        function = getattr(Protego, name)

        def noted(*args: Any) -> Any:
            self.given.append(args[0] if isinstance(args[0], str) else args[1])
            self.on_the_loop += threading.current_thread() is threading.main_thread()
            return function(*args)

        monkeypatch.setattr(Protego, name, noted)


async def test_rules_are_read_in_a_thread_and_those_of_others_never(
    crawler: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents = "".join(f"user-agent: q{number}\n" for number in range(200))
    rules = "".join(f"disallow: /{number}\n" for number in range(200))
    parsed = Seen(monkeypatch, "parse")
    with WebSite(
        {"/robots.txt": f"{agents}{rules}{EVERYBODY}\ndisallow: /x\n".encode(), "/": links("/x")}
    ).served() as web:
        result = (await crawler.run("crawl", {"url": web.url}))["result"]
    assert (len(result["pages"]), result["skipped"]["robots"]) == (1, 1)
    assert (parsed.given, parsed.on_the_loop) == ([f"{EVERYBODY}\ndisallow: /x"], 0)


async def test_addresses_are_matched_in_a_thread_and_each_once(crawler: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = "".join(f"disallow: /{number}*a*a*a*z\n" for number in range(50))
    names = [f"/{number}a{end}" for number in range(50) for end in ("aaz", "aa")]
    matched = Seen(monkeypatch, "can_fetch")
    pages = {"/robots.txt": f"{EVERYBODY}\ncrawl-delay: 0\n{rules}".encode(), "/": links(*names, "/", "/moved")}
    with WebSite({**pages, "/moved": redirect("/0aaaz")}).served() as web:
        result = (await crawler.run("crawl", {"url": web.url, "max_pages": 500}))["result"]
    assert (len(result["broken"]), result["skipped"]["robots"]) == (50, 51)
    assert sorted(url.removeprefix(web.url) for url in matched.given) == sorted(["/", "/moved", "/0aaaz", *names])
    assert matched.on_the_loop == 0


async def test_rules_that_are_hard_to_match_are_kept_short(crawler: Site) -> None:
    rules = f"{EVERYBODY}\ncrawl-delay: 0\ndisallow: /" + "*a" * 900 + "b$\n"
    with WebSite(
        {"/robots.txt": rules.encode(), "/": links("/aaaaaaab", "/aaaaaab"), "/aaaaaab": links()}
    ).served() as web:
        result = (await crawler.run("crawl", {"url": web.url}))["result"]
    assert (len(result["pages"]), result["skipped"]["robots"]) == (2, 1)
