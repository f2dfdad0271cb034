"""The query bar of the list of tasks: `kind:mail status:failed tag:"a b"` and back. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from quart_app.core.errors import InvalidInput
from quart_app.core.task import STATUSES
from quart_app.web.messages import parse
from quart_app.web.routes.tasks import FILTERS

MOST: Final = 500  # characters
# The words of the bar, and the filters of GET /tasks that they are.
WORDS: Final = {
    "kind": "kind",
    "status": "status",
    "queue": "queue",
    "tag": "tag",
    "error": "error",
    "parent": "parent",
    "waiting": "waiting_for",
    "unique": "unique_key",
    "version": "code_version",
    "after": "created_after",
    "before": "created_before",
}
OWNER: Final = "owner"
_PIECE: Final = re.compile(r'\s*(?:([a-z]+):)?(?:"([^"]*)"|([^\s"]+))(?=\s|\Z)')
_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Wanted(NamedTuple):
    """`filters`: members of TaskFilter; `task_id`: the text is the id of one task; `wrong`: what cannot be read."""

    filters: dict[str, Any]
    task_id: str | None
    wrong: list[str]


def read(text: str, kinds: Collection[str], sees_all: bool) -> Wanted:
    """What a text asks for. A word without a name is a status, a kind or a task."""
    if _ID.fullmatch(text.strip()):
        return Wanted({}, text.strip(), [])
    filters: dict[str, Any] = {}
    wrong: list[str] = []
    place = 0
    text = text[:MOST].rstrip()
    while place < len(text):
        found = _PIECE.match(text, place)
        if found is None:
            wrong.append(f"a quotation mark is missing: {text[place:].strip()[:60]}")
            break
        place = found.end()
        name, value = found[1], found[2] if found[2] is not None else found[3]
        if name is None:
            name = "status" if value in STATUSES else "kind" if value in kinds else None
        if name == OWNER and sees_all:
            _put(filters, wrong, OWNER, OWNER, value, parse.owner_text)
        elif name in WORDS:
            _put(filters, wrong, name, WORDS[name], value, FILTERS[WORDS[name]])
        else:
            known = ", ".join([*(WORDS), *([OWNER] if sees_all else [])])
            wrong.append(f"{found[0].strip()[:60]!r} is no kind, no status and no task; the words are {known}")
    return Wanted(filters, None, wrong)


def _put(filters: dict[str, Any], wrong: list[str], word: str, member: str, text: str, reader: parse.Reader) -> None:
    if member in filters:
        wrong.append(f"{word} is given twice")
        return
    try:
        filters[member] = reader(word, text)
    except InvalidInput as error:
        wrong.append(str(error))


def written(words: Mapping[str, str]) -> str:
    """The text for these words and values."""
    return " ".join(
        f'{name}:"{value}"' if re.search(r"\s", value) else f"{name}:{value}" for name, value in words.items()
    )


def words_of(text: str) -> dict[str, str]:
    """The words of a text that can be read, with their values as they stand there."""
    found: dict[str, str] = {}
    for piece in _PIECE.finditer(text[:MOST]):
        value = piece[2] if piece[2] is not None else piece[3]
        name = piece[1] or ("status" if value in STATUSES else "kind")
        found.setdefault(name, value)
    return found


def toggled(text: str, name: str, value: str | None) -> str:
    """The text with another value of a word; None takes it out."""
    words = words_of(text)
    words.pop(name, None)
    return written({**words, name: value} if value is not None else words)
