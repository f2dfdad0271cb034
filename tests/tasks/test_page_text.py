"""Pages in character sets of any kind: read in pieces, and beside the event loop."""

from __future__ import annotations

import codecs
import encodings
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from quart_app.tasks.page_text import PIECE, charset, texts
from tests.tasks.sites import WebSite, answer, links
from tests.web.site import Site

Replaced = list[tuple[int, bool]]


@pytest.fixture
def replaced() -> Iterator[Replaced]:
    """For each byte that is no character: how many bytes the decoder was given at once, and whether it ran in the
    thread of the event loop. Any decoder of one byte a character asks."""
    noted: Replaced = []
    replace = codecs.lookup_error("replace")

    def note(error: Any) -> Any:
        noted.append((len(error.object), threading.current_thread() is threading.main_thread()))
        return replace(error)

    codecs.register_error("replace", note)
    try:
        yield noted
    finally:
        codecs.register_error("replace", replace)


async def test_a_page_is_decoded_in_pieces_in_a_thread(crawler: Site, replaced: Replaced) -> None:
    def page(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, links("/x").encode() + b"\xff" * 100_000, Content_Type="text/html; charset=windows-1253")

    with WebSite({"/": links("/odd"), "/odd": page, "/x": links()}).served() as web:
        result = (await crawler.run("crawl", {"url": web.url}))["result"]
    assert len(result["pages"]) == 3
    assert len(replaced) == 100_000
    assert max(replaced) == (PIECE, False)


async def test_no_name_of_a_charset_is_looked_for_that_python_does_not_know(
    crawler: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps every name that it was asked for."""
    known = set(encodings._cache)  # type: ignore[attr-defined]
    names = [f"x-made-up-{number}" for number in range(20)]

    def page(name: str) -> Any:
        return lambda handler: answer(handler, links(), Content_Type=f"text/html; charset={name}")

    with WebSite({"/": links(*names), **{f"/{name}": page(name) for name in names}}).served() as web:
        assert len((await crawler.run("crawl", {"url": web.url}))["result"]["pages"]) == 21
    assert {name for name in encodings._cache if "made" in name} <= known  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "name", ["utf-8", "utf-8-sig", "shift_jis", "euc-kr", "gb18030", "big5", "iso-2022-jp", "utf-7"]
)
def test_a_character_may_stand_on_the_edge_of_a_piece(name: str) -> None:
    text = "".join(one for one in "a\u6f22\u5b57b\u4e00" if one.encode(name, "ignore")) * 9000
    body = text.encode(name)
    pieces = list(texts(body, name))
    assert "".join(pieces) == text
    assert len(pieces) == -(-len(body) // PIECE) + 1


def test_a_body_that_breaks_off_within_a_character_ends_with_a_mark() -> None:
    assert "".join(texts("a\u00e9".encode()[:-1], "utf-8")) == "a\ufffd"
    assert "".join(texts(b"", "utf-8")) == ""


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        (" charset=utf-8", "utf-8"),
        (' charset="ISO-8859-1"; x=y'.lower(), "iso8859-1"),
        (" charset=windows-1252", "cp1252"),
        (" charset=x_sjis", "utf-8"),
        (" charset=gb2312", "gb2312"),
        (" charset=koi8-r", "koi8-r"),
        (" charset=utf-16", "utf-8"),
        (" charset=punycode", "utf-8"),
        (" charset=rot13", "utf-8"),
        (" charset=base64", "utf-8"),
        (" charset=\x00", "utf-8"),
        (" charset=" + "x" * 5000, "utf-8"),
        ("", "utf-8"),
    ],
)
def test_the_charset_is_one_that_pages_can_be_in(parameters: str, name: str) -> None:
    assert charset(parameters) == name
