"""The rules of a robots.txt (RFC 9309), with bounds for files that are made to be hard to read or to match.

When a bound is reached, more is forbidden rather than less. Reading and matching take time, so do not call them on the
event loop.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from protego import Protego

AGENT: Final = "quart_app-crawler"
MAX_RULES: Final = 1000
MAX_RULE: Final = 2000  # characters of a rule; longer ones match no address that a crawl takes (links.py)
MAX_WILDCARDS: Final = 8  # in one rule

# The names of the fields, with common misspellings, also without the colon.
_LINE: Final = re.compile(
    r"(?:(?P<agent>user[- ]?agent)|(?P<allow>allow)|(?P<disallow>diss?all?ow|diasllow|disallaw)"
    r"|(?P<delay>crawl[- ]delay))(?:\s*:|\s)(?P<value>.*)",
    re.IGNORECASE,
)
_FIELDS: Final = ("agent", "allow", "disallow", "delay")
_TOKEN: Final = re.compile("[a-z_-]+")  # RFC 9309, 2.2.1; a version may follow
_SECONDS: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9}")


class Rules:
    """What a site allows this crawler."""

    def __init__(self, text: str) -> None:
        """`text`: the file, or what `for_us` returned for it."""
        self._parsed = Protego.parse(for_us(text))

    @property
    def delay(self) -> float | None:
        return self._parsed.crawl_delay(AGENT)

    def allow(self, urls: Iterable[str]) -> list[bool]:
        return [self._parsed.can_fetch(url, AGENT) for url in urls]


def for_us(text: str) -> str:
    """The rules for this crawler, or else those for all agents, as one short group for all agents. The rest of the file
    is left out: the library would copy each rule for each agent that is named before it."""
    groups: dict[str, list[tuple[str, str]]] = {"*": []}
    meant: set[str] = set()  # the groups that the next rules belong to
    is_head = False
    for field, value in _lines(text):
        if field == "agent":
            meant = meant if is_head else set()
            token = _TOKEN.match(value.lower())
            if value == "*":
                meant.add("*")
            elif token is not None and token[0] == AGENT:
                meant.add(AGENT)
                groups.setdefault(AGENT, [])
        else:
            for name in meant:
                groups[name].append((field, value))
        is_head = field == "agent"
    kept = _bounded(groups.get(AGENT, groups["*"]))
    return "\n".join(["user-agent: *", *kept]) if kept else ""


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """Yield (field, value) of each line whose field is known."""
    for line in text.splitlines():
        found = _LINE.match(line.partition("#")[0].strip())
        if found is not None:
            yield next(name for name in _FIELDS if found[name] is not None), found["value"].strip()


def _bounded(group: Iterable[tuple[str, str]]) -> list[str]:
    """The lines of a group in its order, with MAX_RULES rules at most."""
    rules: dict[tuple[str, str], None] = {}
    delays = []
    forbidden = 0
    for field, value in group:
        if field == "delay":
            delays += [value] if _SECONDS.fullmatch(value) else []
            continue
        rule = (field, _short(field, value))
        if not rule[1] or rule in rules:
            continue
        rules[rule] = None
        forbidden += field == "disallow"
    lines = [f"crawl-delay: {max(delays, key=float)}"] if delays else []
    if forbidden > MAX_RULES:  # more than are kept: forbid the whole site
        return [*lines, "disallow: /"]
    room = MAX_RULES - forbidden  # for `allow` rules
    for field, value in rules:
        if field == "disallow" or room > 0:
            lines.append(f"{field}: {value}")
            room -= field == "allow"
    return lines


def _short(field: str, rule: str) -> str:
    """The rule with MAX_WILDCARDS wildcards at most; empty when it is left out. A longer `disallow` is cut after the
    last of these wildcards, and so forbids more. A longer `allow` is left out."""
    parts = re.sub(r"\*+", "*", rule).split("*", MAX_WILDCARDS + 1)
    if len(parts) > MAX_WILDCARDS + 1:
        if field == "allow":
            return ""
        parts[MAX_WILDCARDS:] = [""]
    short = "*".join(parts)
    return short if len(short) <= MAX_RULE else ""
