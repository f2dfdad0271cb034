"""Loads the named statements of one dialect."""

from __future__ import annotations

import re
from importlib import resources
from typing import Final

import msgspec

_NAME: Final = re.compile(r"^-- name: ([a-z_]+)$", re.MULTILINE)
_COMMENT: Final = re.compile(r"^--.*$\n?", re.MULTILINE)
_INCLUDE: Final = re.compile(r"\{(task_columns|task_joins|schedule_columns)\}")


class Statement(msgspec.Struct, frozen=True):
    """`order` is the place in the file; `rows` tells whether it is set-oriented (takes `:rows`)."""

    name: str
    text: str
    order: int
    rows: bool


def load(dialect: str) -> dict[str, Statement]:
    """All statements of `<dialect>.sql`, then those of each `<dialect>_<subject>.sql`, by name, in order."""
    room = resources.files("quart_app.store")
    subjects = sorted(one.name for one in room.iterdir() if re.fullmatch(rf"{dialect}_[a-z]+\.sql", one.name))
    texts: dict[str, str] = {}
    for file in (f"{dialect}.sql", *subjects):
        pieces = _NAME.split(room.joinpath(file).read_text("utf-8"))[1:]
        for name, body in zip(pieces[::2], pieces[1::2], strict=True):
            if name in texts:
                raise ValueError(f"{file}: a statement of the name {name} stands already")
            texts[name] = _COMMENT.sub("", body).strip().removesuffix(";")
    return {
        name: Statement(name, _INCLUDE.sub(lambda m: texts[m[1]], text), order, ":rows" in text)
        for order, (name, text) in enumerate(texts.items())
    }
