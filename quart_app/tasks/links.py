"""Finds the links and the title of an HTML page, with bounds for pages of any size and content."""

from __future__ import annotations

from collections.abc import Iterable
from html.parser import HTMLParser
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

from quart_app.core import outbound_targets

MAX_LINKS: Final = 500  # different links that are kept of a page
MAX_TOTAL: Final = 65_536  # characters of all of them
MAX_LINK: Final = 600  # characters of an address
MAX_TITLE: Final = 200
SAFE: Final = "/?:@!$&'()*+,;=-._~%[]"  # RFC 3986: characters that stay, and what is encoded already
STUCK: Final = 262_144  # characters of a tag without an end; more are not read, because the parser scans them again


class Links(HTMLParser):
    """Parses a page with `read`. After that it has the `title`, the `count` of the links, and their addresses."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._base = url
        self._based = False
        self._found: dict[str, None] = {}
        self._in_title = False
        self._title = ""
        self._room = MAX_TOTAL
        self.count = 0

    def read(self, pieces: Iterable[str]) -> None:
        """Read the text of the page, in short pieces such as those of page_text.py."""
        for piece in pieces:
            self.feed(piece)
            if len(self.rawdata) > STUCK:
                return

    @property
    def title(self) -> str | None:
        return " ".join(self._title.split())[:MAX_TITLE] or None

    def within(self, site: str) -> list[str]:
        """The addresses of the same site, in the order of the page."""
        return [url for url in self._found if outbound_targets.site(url) == site]

    def external(self, site: str) -> int:
        return len(self._found) - len(self.within(site))

    def absolute(self, link: str) -> str | None:
        """The link as an absolute address without its fragment; None when it is not one of the web, or too long."""
        try:
            parts = urlsplit(urljoin(self._base, link.strip()))
            url = parts._replace(
                netloc=parts.netloc.lower(),
                path=quote(parts.path or "/", safe=SAFE),
                query=quote(parts.query, safe=SAFE),
                fragment="",
            ).geturl()
            outbound_targets.check(url, allow_private=True)  # checked when it is requested
        except (ValueError, outbound_targets.TargetRefused):
            return None
        return url if len(url) <= MAX_LINK else None

    # --- called by the parser

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "title" and not self._title:
            self._in_title = True
        href = next((value for name, value in attrs if name == "href" and value), None) if tag in _LINKS else None
        if href is None:
            return
        if tag == "base":  # the first one counts (HTML, 4.2.3)
            self._base = self._base if self._based else self.absolute(href) or self._base
            self._based = True
            return
        self.count += 1
        if len(self._found) >= MAX_LINKS or self._room < 0:
            return
        url = self.absolute(href)
        if url is not None and url not in self._found:
            self._found[url] = None
            self._room -= len(url)

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False

    def handle_data(self, data: str) -> None:
        if self._in_title and len(self._title) < MAX_TITLE * 4:
            self._title += data


_LINKS: Final = frozenset({"a", "area", "base"})
