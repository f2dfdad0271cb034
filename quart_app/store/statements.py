"""Loads the named statements of one dialect."""

from __future__ import annotations

import re
from importlib import resources
from typing import Final

import msgspec

_NAME: Final = re.compile(r"^-- name: ([a-z_]+)$", re.MULTILINE)
_COMMENT: Final = re.compile(r"^--.*$\n?", re.MULTILINE)
_INCLUDE: Final = re.compile(r"\{(task_columns|task_joins)\}")


class Statement(msgspec.Struct, frozen=True):
    """`order` is the place in the file; `rows` tells whether it is set-oriented (takes `:rows`)."""

    name: str
    text: str
    order: int
    rows: bool


def load(dialect: str) -> dict[str, Statement]:
    """All statements of `<dialect>.sql` by name, in the order of the file."""
    source = resources.files("quart_app.store").joinpath(f"{dialect}.sql").read_text("utf-8")
    pieces = _NAME.split(source)[1:]
    texts = {
        name: _COMMENT.sub("", body).strip().removesuffix(";")
        for name, body in zip(pieces[::2], pieces[1::2], strict=True)
    }
    if len(texts) * 2 != len(pieces):
        raise ValueError(f"{dialect}.sql: a statement name stands twice")
    return {
        name: Statement(name, _INCLUDE.sub(lambda m: texts[m[1]], text), order, ":rows" in text)
        for order, (name, text) in enumerate(texts.items())
    }
