"""Draws a PDF of headings, tables and stacked bars. It uses no markup, so a text of a task is always shown as plain
text."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import BinaryIO, Final

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4, landscape
from reportlab.pdfgen.canvas import Canvas

from quart_app.tasks.pdf_text import fitted

WIDTH, HEIGHT = landscape(A4)  # points
MARGIN: Final = 36.0
INNER: Final = WIDTH - 2 * MARGIN
ROW: Final = 11.0
SMALL: Final = 7.0
COLOURS: Final = (
    "#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#76b7b2", "#edc948", "#9c755f", "#bab0ac",
)  # fmt: skip


class Sheet:
    """Writes from top to bottom, on as many pages as needed. Sizes are in points."""

    def __init__(self, file: BinaryIO, title: str) -> None:
        self._canvas = Canvas(file, pagesize=(WIDTH, HEIGHT), pageCompression=1)
        self._canvas.setTitle(title)
        self._canvas.setCreator("quart_app")
        self._y = HEIGHT - MARGIN
        self.text(title, 16)

    def text(self, text: str, size: float = 9.0) -> None:
        """Write one line; text that does not fit is left out."""
        self._need(size * 1.6)
        self._draw(MARGIN, text, INNER, size)
        self._y -= size * 0.6

    def table(self, widths: Mapping[str, float], rows: Sequence[Mapping[str, object]]) -> None:
        """Write a table. `widths`: the columns with their shares of the width. The head is repeated on each page."""
        total = sum(widths.values())
        places = list(itertools.accumulate((share / total * INNER for share in widths.values()), initial=MARGIN))
        self._head(widths, places)
        for number, row in enumerate(rows):
            if self._y - ROW < MARGIN:
                self._break()
                self._head(widths, places)
            self._row([row[name] for name in widths], places, "#f4f4f4" if number % 2 else None)
        self._y -= ROW

    def _head(self, widths: Mapping[str, float], places: Sequence[float]) -> None:
        self._need(2 * ROW)
        self._row([name.replace("_", " ") for name in widths], places, "#d8dee9")

    def _row(self, cells: Sequence[object], places: Sequence[float], shade: str | None) -> None:
        if shade is not None:
            self._canvas.setFillColor(HexColor(shade))
            self._canvas.rect(MARGIN, self._y - ROW, INNER, ROW, stroke=0, fill=1)
        self._y -= 1.5  # so that descenders of letters are within the shade
        for cell, (left, right) in zip(cells, itertools.pairwise(places), strict=True):
            self._draw(left + 2, "" if cell is None else str(cell), right - left - 4, SMALL, move=False)
        self._y -= ROW - 1.5

    def bars(self, stacks: Sequence[tuple[str, Mapping[str, int]]], series: Sequence[str]) -> None:
        """Draw a stacked bar for each (label, {series: number}), with a legend on the right."""
        height, legend = 150.0, 190.0
        self._need(height + 2 * ROW)
        highest = max([sum(stack.values()) for _, stack in stacks], default=0) or 1
        bottom, top = self._y - height, self._y
        step = min((INNER - legend - 40) / max(len(stacks), 1), 80)
        self._y = top
        self._draw(MARGIN, str(highest), 36, SMALL, move=False)
        for number, (label, stack) in enumerate(stacks):
            left, y = MARGIN + 40 + number * step, bottom
            for name, colour in zip(series, COLOURS, strict=False):
                tall = stack.get(name, 0) / highest * height
                self._canvas.setFillColor(HexColor(colour))
                self._canvas.rect(left, y, step * 0.85, tall, stroke=0, fill=1)
                y += tall
            if number % -(-len(stacks) // 8) == 0:
                self._y = bottom - 2
                self._draw(left, label, max(step, 66), SMALL, move=False)
        self._canvas.line(MARGIN + 40, bottom, WIDTH - MARGIN - legend, bottom)
        self._y = top
        for name, colour in zip(series, COLOURS, strict=False):
            self._canvas.setFillColor(HexColor(colour))
            self._canvas.rect(WIDTH - MARGIN - legend + 12, self._y - SMALL, SMALL, SMALL, stroke=0, fill=1)
            self._draw(WIDTH - MARGIN - legend + 24, name, legend - 24, SMALL)
            self._y -= 4
        self._y = bottom - 2 * ROW

    def save(self) -> None:
        self._canvas.save()

    def _need(self, height: float) -> None:
        if self._y - height < MARGIN:
            self._break()

    def _break(self) -> None:
        self._canvas.showPage()
        self._y = HEIGHT - MARGIN

    def _draw(self, x: float, text: str, width: float, size: float, move: bool = True) -> None:
        """Draw one line whose top is at the current height."""
        self._canvas.setFillColor(HexColor("#000000"))
        for font, part, wide in fitted(text, width, size):
            self._canvas.setFont(font, size)
            self._canvas.drawString(x, self._y - size, part)
            x += wide
        if move:
            self._y -= size
