"""Reads README.md and the pages of docs/: their tables, and their blocks of code with what an HTML comment before each
says about running it.

`<!-- scenario: NAME -->` begins a fresh folder, `<!-- run: file NAME -->` writes (or goes on writing) a file of it,
`<!-- run: server -->` starts the block's one command and waits until it listens, `<!-- run: console -->` runs each
command and compares its output, `<!-- run: console kills -->` does that and then waits for the server's death,
`<!-- run: terminal -->` does as `console`, starts the server where a command ends with `&`, and waits for its death
after a `kill -9`, `<!-- not run: WHY -->` leaves a block alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tests.checkout import ROOT

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
}
TEXT = "\n".join(PAGES.values())
RUNNABLE = ("console", "python")

_COMMENT = re.compile(r"<!-- (scenario|run|not run): (.*) -->")
_FENCE = re.compile(r"```(\w*)")
_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])"
_WILD = re.compile(rf"(…)|({_ID})|(?<=process )([0-9]+)")


@dataclass
class Block:
    page: str
    line: int
    language: str
    scenario: str
    run: str  # what the comment says; empty when there is none
    text: str = ""


@dataclass
class Known:
    """Which id or process id of a page stands for which real one."""

    real: dict[str, str] = field(default_factory=dict)

    def match(self, expected: str, output: str) -> bool:
        """Compare with the wildcards: `…` is anything, equal ids are equal and different ones different."""
        pattern = ""
        shown: list[str] = []
        end = 0
        for wild in _WILD.finditer(expected):
            pattern += re.escape(expected[end : wild.start()])
            end = wild.end()
            if wild[1]:
                pattern += ".*?"
                continue
            shown.append(wild[0])
            pattern += f"({_ID})" if wild[2] else "([0-9]+)"
        pattern += re.escape(expected[end:])
        found = re.fullmatch(pattern, output, re.DOTALL)
        if found is None:
            return False
        real = dict(self.real)
        for name, value in zip(shown, found.groups(), strict=True):
            if real.setdefault(name, value) != value:
                return False
        if len(set(real.values())) < len(real):
            return False
        self.real = real
        return True


def blocks() -> list[Block]:
    """Those of all pages; a scenario belongs to its page."""
    return [block for page, text in PAGES.items() for block in _blocks(page, text)]


def _blocks(page: str, text: str) -> list[Block]:
    found: list[Block] = []
    scenario = run = ""
    inside: Block | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if inside is not None:
            if line == "```":
                inside = None
            else:
                inside.text += line + "\n"
        elif comment := _COMMENT.fullmatch(line):
            if comment[1] == "scenario":
                scenario = f"{page}: {comment[2]}"
            else:
                run = f"not run: {comment[2]}" if comment[1] == "not run" else comment[2]
        elif fence := _FENCE.fullmatch(line):
            inside = Block(page, number, fence[1], scenario, run)
            found.append(inside)
            run = ""
    return found


def commands(block: Block) -> list[tuple[str, str]]:
    """(command, the output shown below it) pairs of a console block."""
    found: list[tuple[str, str]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        else:
            command, output = found[-1]
            found[-1] = (command, f"{output}\n{line}" if output else line)
    return found


def section(title: str) -> str:
    """The text below a heading, up to the next heading of any level. One page alone has a heading of that name."""
    pattern = re.compile(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", re.DOTALL | re.MULTILINE)
    (found,) = [one for text in PAGES.values() for one in pattern.findall(text)]
    return str(found)


def rows(text: str, first_header: str) -> list[list[str]]:
    """The rows of the tables whose header begins with that cell."""
    found: list[list[str]] = []
    inside = wanted = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if cells and not inside:
            wanted = cells[0] == first_header
        elif cells and wanted and set(cells[0]) - set("-: "):
            found.append(cells)
        inside = bool(cells)
    assert found, f"no table begins with {first_header!r}"
    return found


def code(text: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", text)
