"""Makes lines of CSV (RFC 4180) that no spreadsheet reads as formulas."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Final

# These begin a formula in spreadsheets, in full width too (OWASP, "CSV Injection").
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def line(cells: Sequence[str | float | None]) -> str:
    """One line with its end. A text that a spreadsheet would take for a formula gets an apostrophe before it; None is
    an empty cell."""
    collected: list[str] = []
    writer = csv.writer(_Collector(collected))
    writer.writerow([f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell for cell in cells])
    return "".join(collected)


class _Collector:
    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append
