"""Lines of CSV (RFC 4180), in which no spreadsheet finds a formula."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Final

# What a spreadsheet takes for the beginning of a formula, in full width too (OWASP, "CSV Injection").
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def line(cells: Sequence[str | float | None]) -> str:
    """One line with its end. A text that a spreadsheet would calculate gets a quotation mark before it; None is an
    empty cell."""
    collected: list[str] = []
    writer = csv.writer(_Collector(collected))
    writer.writerow([f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell for cell in cells])
    return "".join(collected)


class _Collector:
    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append
