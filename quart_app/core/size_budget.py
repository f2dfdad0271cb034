"""Limits the bytes of documents in one answer."""

from __future__ import annotations


class SizeBudget:
    """Counts the taken texts. `spent`: a text did not fit and was left out."""

    def __init__(self, size: int) -> None:
        """`size` in bytes of UTF-8. The first texts always fit, so that a client that reads page by page gets on."""
        self._left = size
        self._untouched = True
        self.spent = False

    def takes(self, *texts: str | None) -> bool:
        """Whether these texts still fit; if so they are counted."""
        size = sum(size_of(text) for text in texts if text is not None)
        if size > self._left and not self._untouched:
            self.spent = True
            return False
        self._left -= size
        self._untouched = False
        return True


def size_of(text: str) -> int:
    """Bytes of UTF-8."""
    return len(text) if text.isascii() else len(text.encode())
