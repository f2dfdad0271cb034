"""The links and the title of an HTML page, with bounds for pages that are made to have none."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

from quart_app.core import targets

MAX_LINKS: Final = 500  # different ones of a page that are looked at
MAX_TOTAL: Final = 65_536  # characters of all of them
MAX_LINK: Final = 600  # characters of an address
MAX_TITLE: Final = 200
PIECE: Final = 16_384
SAFE: Final = "/?:@!$&'()*+,;=-._~%[]"  # RFC 3986: what stands for itself, and what is encoded already
STUCK: Final = 262_144  # characters after which a tag that does not end is given up: the parser looks at them again


class Links(HTMLParser):
    """`read` a page; then `title`, the `count` of its links, and its addresses."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._base = url
        self._based = False
        self._found: dict[str, None] = {}
        self._in_title = False
        self._title = ""
        self._room = MAX_TOTAL
        self.count = 0

    def read(self, text: str) -> None:
        for start in range(0, len(text), PIECE):
            self.feed(text[start : start + PIECE])
            if len(self.rawdata) > STUCK:
                return

    @property
    def title(self) -> str | None:
        return " ".join(self._title.split())[:MAX_TITLE] or None

    def within(self, site: str) -> list[str]:
        """The addresses of the same site, in the order of the page."""
        return [url for url in self._found if targets.site(url) == site]

    def external(self, site: str) -> int:
        return len(self._found) - len(self.within(site))

    def absolute(self, link: str) -> str | None:
        """The link as a plain address without its fragment; None when it is none of the web."""
        try:
            parts = urlsplit(urljoin(self._base, link.strip()))
            url = parts._replace(
                netloc=parts.netloc.lower(),
                path=quote(parts.path or "/", safe=SAFE),
                query=quote(parts.query, safe=SAFE),
                fragment="",
            ).geturl()
            targets.check(url, allow_private=True)  # where it may go is decided when it is asked for
        except (ValueError, targets.TargetRefused):
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
