"""The errors inside an ExceptionGroup. Pure."""

from __future__ import annotations

from typing import Final

MAX_NAMED: Final = 20  # leaves in one text
MAX_LEAF: Final = 300  # characters of each


def leaves(error: BaseException) -> list[BaseException]:
    """The errors in a group at any depth, in order; for any other error, a list of that error."""
    found, waiting = [], [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseExceptionGroup):
            waiting.extend(reversed(one.exceptions))
        else:
            found.append(one)
    return found


def text_of(error: BaseException) -> str:
    """`str(error)`, and for a group the type and the text of its leaves too. Never raises."""
    text = _text(error)
    if not isinstance(error, BaseExceptionGroup):
        return text
    inside = leaves(error)
    names = [f"{type(one).__name__[:200]}: {_text(one)[:MAX_LEAF]}" for one in inside[:MAX_NAMED]]
    more = f"; and {len(inside) - MAX_NAMED} more" if len(inside) > MAX_NAMED else ""
    return f"{text[:MAX_LEAF]}: {'; '.join(names)}{more}"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:
        return f"<the text of this {type(error).__name__} cannot be had>"
