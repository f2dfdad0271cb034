"""README.md, SECURITY.md and the pages of docs/ as a reader meets them: short, linked, and all of them found."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import PurePosixPath
from posixpath import normpath

import pytest

from tests import readme
from tests.checkout import ROOT

INDEX = "docs/README.md"
LONGEST_README = 250
WIDEST = 150  # of a line that is neither in a table nor code
PAGES = {**readme.PAGES, "SECURITY.md": (ROOT / "SECURITY.md").read_text("utf-8")}

_FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"`[^`\n]*`")


def prose(text: str) -> str:
    return _FENCED.sub("", text)


def anchors(text: str) -> set[str]:
    """As a repository page makes them of its headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", prose(text), flags=re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        assert slug not in found, f"two headings {heading!r} on one page"
        found.add(slug)
    return found


def links(page: str, text: str) -> Iterator[tuple[str, str]]:
    """(path from the root, anchor) of each link to something of ours."""
    for target in _LINK.findall(_CODE.sub("", prose(text))):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield normpath((PurePosixPath(page).parent / path).as_posix()) if path else page, anchor


def broken(page: str, text: str) -> list[str]:
    found = []
    for path, anchor in links(page, text):
        if path.startswith("..") or not (ROOT / path).exists():
            found.append(path)
        elif anchor and anchor not in anchors(PAGES[path] if path != page else text):
            found.append(f"{path}#{anchor}")
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    assert broken(page, PAGES[page]) == []


def test_a_link_that_leads_nowhere_is_noticed() -> None:
    good = "# A page\n[a](#a-page) [b](tutorial.md) [c](tutorial.md#tutorial-five-minutes) [d](https://x.y)"
    assert broken(INDEX, good) == []
    bad = f"{good} [e](gone.md) [f](tutorial.md#gone) [g](#gone) [h](../../x.md)"
    assert broken(INDEX, bad) == ["docs/gone.md", "docs/tutorial.md#gone", f"{INDEX}#gone", "../x.md"]


def test_no_link_leads_to_the_machine_it_was_written_on() -> None:
    assert [page for page, text in PAGES.items() if re.search(r"\]\((/|file:)", text)] == []


def test_every_page_is_reached_from_the_index() -> None:
    reached: set[str] = set()
    coming = [INDEX]
    while coming:
        page = coming.pop()
        if page not in reached:
            reached.add(page)
            coming += [path for path, _ in links(page, PAGES[page]) if path.startswith("docs/") and path in PAGES]
    assert {page for page in PAGES if page.startswith("docs/")} - reached == set()


def test_every_page_has_one_line_in_the_index() -> None:
    rows = [line for line in PAGES[INDEX].splitlines() if line.startswith("| [")]
    listed = [path for row in rows for path, _ in links(INDEX, row)]
    assert len(rows) == len(listed)
    assert sorted(path for path in listed if path.startswith("docs/")) == sorted(
        page for page in PAGES if page.startswith("docs/") and page != INDEX
    )


def test_the_readme_leads_to_the_index_and_is_short() -> None:
    assert INDEX in {path for path, _ in links("README.md", PAGES["README.md"])}
    assert len(PAGES["README.md"].splitlines()) <= LONGEST_README


@pytest.mark.parametrize("page", readme.PAGES)
def test_a_page_begins_with_its_title_and_what_it_is_for(page: str) -> None:
    title, empty, first = PAGES[page].splitlines()[:3]
    assert title.startswith("# ")
    assert empty == ""
    assert re.match(r"[A-Z]", first), first
    assert len(re.findall(r"^# ", prose(PAGES[page]), flags=re.MULTILINE)) == 1


@pytest.mark.parametrize("page", PAGES)
def test_lines_are_no_wider_than_a_reader_likes(page: str) -> None:
    text = prose(PAGES[page])
    assert [line for line in text.splitlines() if len(line) > WIDEST and not line.startswith("|")] == []


def test_the_pictures_are_those_that_the_script_draws() -> None:
    folder = ROOT / "docs" / "pictures"
    drawn = runpy.run_path(str(folder / "draw.py"))["PICTURES"]
    assert {path.name for path in folder.glob("*.svg")} == set(drawn)
    assert [name for name, draw in drawn.items() if (folder / name).read_text("utf-8") != draw()] == []
