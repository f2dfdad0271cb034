"""The values of secret settings. Errors and log lines must not show them, because a task's owner reads both.

They are kept for the whole process, because a log has no settings. Only whole values are found, not what a task makes
of a secret, such as half of it or its base64.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

SHOWN: Final = "***"
SHORTEST: Final = 6  # characters: a shorter value could be found inside other words

_values: list[str] = []


def keep(values: Iterable[str]) -> None:
    """Hide these from now on."""
    found = {value for value in values if len(value) >= SHORTEST}
    _values[:] = sorted(found.union(_values), key=len, reverse=True)  # a URL before the password in it


def hide(text: str) -> str:
    """The text with `***` for each of the values."""
    for value in _values:
        if value in text:
            text = text.replace(value, SHOWN)
    return text
