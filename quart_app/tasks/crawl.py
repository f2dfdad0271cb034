"""`crawl`: follows the links of one site and reports what it found, politely.

It obeys robots.txt. It requests the pages of a site one after another with a pause between them, however many tasks
crawl that site, and reads only HTML. Each page is a recorded step: after a crash or a stop the crawl continues with the
page that it had reached.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import deque
from typing import Annotated, Any, Final
from urllib.parse import urljoin

import httpx
import msgspec

from quart_app.core import outbound_targets
from quart_app.core.errors import Foreseen
from quart_app.core.outbound_targets import TargetRefused
from quart_app.engine import NonRetryable, PublicUrl, TaskContext, task
from quart_app.tasks.links import Links
from quart_app.tasks.page_text import charset, texts
from quart_app.tasks.robots import AGENT, Rules, for_us

HEADERS: Final = {"User-Agent": f"{AGENT}/1", "Accept": "text/html,*/*;q=0.1", "Accept-Encoding": "identity"}
PAUSE: Final = 0.5  # seconds between two pages, when robots.txt does not say otherwise (Crawl-delay)
MAX_PAUSE: Final = 30.0
PAGE_SECONDS: Final = 20.0
PAGE_BYTES: Final = 1_048_576  # read of one page at most
ROBOTS_BYTES: Final = 512_000  # RFC 9309, 2.5: at least 500 KiB
MAX_REDIRECTS: Final = 5  # RFC 9309, 2.3.1.2, for robots.txt; enough for a page
MAX_WAITING: Final = 5000  # addresses that wait to be requested
MAX_REASON: Final = 100  # characters; with the bounds of links.py the report of 500 pages stays below 1 MiB

Pages = Annotated[int, msgspec.Meta(ge=1, le=500, description="Pages to ask for, broken ones too")]
Depth = Annotated[int, msgspec.Meta(ge=0, le=10, description="Links to follow from the first page to the last")]


class Unreachable(Foreseen):
    """The site does not answer now; worth another attempt."""


@task("crawl", queue="crawl", max_attempts=3, backoff=(5, 4, 300), timeout=86_400)
async def crawl(ctx: TaskContext, url: PublicUrl, max_pages: Pages = 50, max_depth: Depth = 3) -> dict[str, Any]:
    """Follow the links of one site, obeying its robots.txt, and report pages, titles and broken links."""
    start = Links(url).absolute(url)
    if start is None:
        raise NonRetryable("the url is too long")
    site = outbound_targets.site(start)
    text = await ctx.step("robots.txt", read_robots, ctx, urljoin(start, "/robots.txt"), site)
    rules = await asyncio.to_thread(_rules, text, site)
    pause = min(PAUSE if rules.delay is None else rules.delay, MAX_PAUSE)

    # An address, its depth, the page it was found on, and whether robots.txt allows it.
    waiting: deque[tuple[str, int, str | None, bool]] = deque()
    waiting.append((start, 0, None, (await asyncio.to_thread(rules.allow, [start]))[0]))
    seen = {start}
    reached: set[str] = set()  # addresses of pages after redirects
    asked = 0
    report: dict[str, Any] = {"pages": [], "broken": [], "external": 0, "skipped": dict.fromkeys(SKIPPED, 0)}
    while waiting and asked < max_pages:
        page_url, depth, found_on, allowed = waiting.popleft()
        await asyncio.sleep(0)  # a site of forbidden pages must not block the event loop
        if page_url in reached:
            continue
        if not allowed:
            report["skipped"]["robots"] += 1
            continue
        name = f"page {hashlib.sha256(page_url.encode()).hexdigest()[:20]}"
        page = await ctx.step(name, read_page, ctx, page_url, rules, pause)
        asked += 1
        _enter(report, page_url, found_on, page)
        seen.add(page["url"])
        reached.add(page["url"])
        found = [link for link in page.get("links", ()) if link not in seen]
        seen.update(found)
        taken = found[: MAX_WAITING - len(waiting)] if depth < max_depth else []
        report["skipped"]["depth" if depth >= max_depth else "pages"] += len(found) - len(taken)
        if taken:  # in a thread: hundreds of addresses are compared with hundreds of rules
            allow = await asyncio.to_thread(rules.allow, taken)
            waiting.extend((link, depth + 1, page_url, may) for link, may in zip(taken, allow, strict=True))
        await ctx.progress(asked, min(asked + len(waiting), max_pages), page_url[:200])
    report["skipped"]["pages"] += len(waiting)
    return report


def _rules(text: str, site: str) -> Rules:
    try:
        return Rules(text)
    except Exception as error:
        raise NonRetryable(f"the robots.txt of {site} cannot be read: {_reason(error)}") from None


SKIPPED: Final = ("robots", "depth", "pages", "redirects")


def _enter(report: dict[str, Any], url: str, found_on: str | None, page: dict[str, Any]) -> None:
    """Add what was found at `url` to the right part of the report."""
    if "skipped" in page:
        report["skipped"][page["skipped"]] += 1
    elif "error" in page or page["status"] >= 400:
        what = {"error": page["error"]} if "error" in page else {"status": page["status"]}
        report["broken"].append({"url": url, "found_on": found_on, **what})
    else:
        entry = {"url": page["url"], "status": page["status"], "links": page["found"], "title": page["title"]}
        report["pages"].append(entry)
        report["external"] += page["external"]


# --- steps


async def read_robots(ctx: TaskContext, url: str, site: str) -> str:
    """The rules of the site. RFC 9309, 2.3.1: without a file there are no rules; an error of the server forbids
    everything. Raises Unreachable, NonRetryable."""
    try:
        async with asyncio.timeout(PAGE_SECONDS):
            answer = await _get(ctx, url, site, None, ROBOTS_BYTES)
    except TargetRefused as error:
        raise NonRetryable(str(error)) from None
    except (httpx.HTTPError, TimeoutError) as error:
        raise Unreachable(f"{url}: {_reason(error)}") from None
    if answer.elsewhere:
        raise NonRetryable(f"{site} sends its visitors to {answer.url}; crawl that")
    if answer.status == 429 or answer.status >= 500:
        raise Unreachable(f"{url} is answered with {answer.status}: the site does not want to be crawled now")
    if answer.status >= 300:
        return ""
    if answer.encoded:
        raise Unreachable(f"{url} is answered with a Content-Encoding that was not asked for: its rules cannot be read")
    return await asyncio.to_thread(lambda: for_us("".join(texts(answer.body, "utf-8-sig"))))


async def read_page(ctx: TaskContext, url: str, rules: Rules, pause: float) -> dict[str, Any]:
    """The page at `url` and its links to the same site, or the reason why it cannot be read."""
    site = outbound_targets.site(url)
    turn = ctx.limit(f"crawl {site[:60]} {pause:g}", 1, pause) if pause else contextlib.nullcontext()
    try:
        async with turn, asyncio.timeout(PAGE_SECONDS):
            answer = await _get(ctx, url, site, rules, PAGE_BYTES)
    except (httpx.HTTPError, httpx.InvalidURL, TargetRefused, TimeoutError) as error:
        return {"url": url, "error": _reason(error)}
    if answer.elsewhere:
        return {"url": url, "skipped": answer.elsewhere}
    if 300 <= answer.status < 400:
        return {"url": url, "error": "too many redirects"}
    links = Links(answer.url)
    if answer.status == 200:
        try:
            await asyncio.to_thread(lambda: links.read(texts(answer.body, charset(answer.parameters))))
        except Exception as error:  # html.parser asserts, codecs overflow: any error concerns this page alone
            return {"url": answer.url, "error": f"cannot be read: {_reason(error)}"[:MAX_REASON]}
    return {
        "url": answer.url,
        "status": answer.status,
        "title": links.title,
        "links": links.within(site),
        "found": links.count,
        "external": links.external(site),
    }


class _Answer(msgspec.Struct):
    """The answer at the end of the redirects. `elsewhere`: why the last redirect was not followed. The body is empty
    when the answer is not HTML or has a Content-Encoding (`encoded`). `parameters`: those of its Content-Type."""

    url: str
    status: int
    body: bytes = b""
    parameters: str = ""
    encoded: bool = False
    elsewhere: str = ""


async def _get(ctx: TaskContext, url: str, site: str, rules: Rules | None, limit: int) -> _Answer:
    """Request `url`, follow redirects within the site, and read up to `limit` bytes of a page, or of robots.txt (then
    `rules` is None). Raises httpx.HTTPError, TargetRefused."""
    for _ in range(MAX_REDIRECTS + 1):
        async with ctx.public_http.stream("GET", url, headers=HEADERS) as response:
            target = response.headers.get("location") if 300 <= response.status_code < 400 else None
            if target is None:
                body = bytearray()
                media, _, rest = response.headers.get("content-type", "").lower().partition(";")
                readable = rules is None or media.strip() in ("text/html", "application/xhtml+xml")
                encoded = response.headers.get("content-encoding", "identity") != "identity"
                if readable and not encoded:
                    async for piece in response.aiter_raw(65_536):
                        body += piece
                        if len(body) >= limit:
                            break
                return _Answer(url, response.status_code, bytes(body[:limit]), rest, encoded)
            status = response.status_code
        following = Links(url).absolute(target)
        if following is None or outbound_targets.site(following) != site:
            return _Answer(following or url, status, elsewhere="redirects")
        if rules is not None and not (await asyncio.to_thread(rules.allow, [following]))[0]:
            return _Answer(following, status, elsewhere="robots")
        url = following
    return _Answer(url, status)


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.PoolTimeout):
        return "PoolTimeout: not asked, too many calls to this site are on their way"
    return f"{type(error).__name__}: {error}"[:MAX_REASON].rstrip(": ")
