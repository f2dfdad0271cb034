"""robots.txt (RFC 9309): which addresses of a site a crawler may ask for, and how long it is to wait between them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

FIELDS: Final = ("user-agent", "allow", "disallow", "crawl-delay")
SAFE: Final = "/?:@!$&'()*+,;=-._~%[]"  # RFC 3986: what stands for itself, and what is encoded already

_TOKEN: Final = re.compile(r"[a-z_-]+|\*", re.IGNORECASE)
_SECONDS: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,3})?", re.ASCII)
_ENCODED: Final = re.compile(r"%[0-9a-f]{2}", re.IGNORECASE)
_UNRESERVED: Final = re.compile(r"[0-9A-Za-z._~-]", re.ASCII)


class _Rule(NamedTuple):
    parts: list[str]  # what stands between the wildcards
    ends: bool  # with `$`: the address ends where the rule does
    allows: bool

    def matches(self, target: str) -> bool:
        if not target.startswith(self.parts[0]):
            return False
        *middle, last = self.parts
        at = 0
        for part in middle:
            at = target.find(part, at)
            if at < 0:
                return False
            at += len(part)
        if not self.ends:
            return target.find(last, at) >= 0
        return target.endswith(last) and len(target) - len(last) >= at and (bool(middle) or target == last)


class Robots:
    """The rules for the crawler of this name. `delay`: seconds between two pages, None when nothing is said of it."""

    def __init__(self, lines: Iterable[str], agent: str) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        named: list[str] = []  # whom the rules that follow are for
        in_rules = False
        for line in lines:
            field, _, value = line.partition("#")[0].partition(":")
            field, value = field.strip().lower(), value.strip()
            if field == "user-agent":
                token = _TOKEN.match(value)
                named = [*([] if in_rules else named), token[0].lower() if token else ""]
                in_rules = False
                groups.setdefault(named[-1], [])
            elif field in FIELDS:
                in_rules = True
                for name in named:
                    groups[name].append((field, value))
        ours = groups.get(agent.lower(), groups.get("*", []))
        # The longest rule that matches decides (2.2.2), and of two the one that allows.
        rules = [(len(value), field == "allow", value) for field, value in ours if field != "crawl-delay"]
        self._rules = [_rule(value, allows) for _, allows, value in sorted(rules, reverse=True) if value]
        delays = [float(value) for field, value in ours if field == "crawl-delay" and _SECONDS.fullmatch(value)]
        self.delay = max(delays, default=None)

    def allows(self, url: str) -> bool:
        parts = urlsplit(url)
        target = _plain(f"{parts.path}?{parts.query}" if parts.query else parts.path)
        return next((rule.allows for rule in self._rules if rule.matches(target)), True)


def _rule(value: str, allows: bool) -> _Rule:
    ends = value.endswith("$")
    return _Rule(_plain(value.removesuffix("$")).split("*"), ends, allows)


def _plain(text: str) -> str:
    """One spelling for all that mean the same (2.2.2): encoded what must be, and nothing that need not be."""

    def decoded(found: re.Match[str]) -> str:
        character = chr(int(found[0][1:], 16))
        return character if _UNRESERVED.fullmatch(character) else found[0].upper()

    return _ENCODED.sub(decoded, quote(text, safe=SAFE))
