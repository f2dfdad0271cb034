"""Text in a PDF: a font for each character, and no more than fits, however long it is."""

from __future__ import annotations

import io

import pytest

pytest.importorskip("reportlab", reason="PDF REPORTS ARE NOT TESTED: pip install -r requirements.txt")

from quart_app.tasks.pdf import Sheet
from quart_app.tasks.pdf_text import MAIN, MAX_TEXT, fitted


def shown(text: str, width: float = 1e9) -> str:
    return "".join(part for _, part, _ in fitted(text, width, 10))


@pytest.mark.parametrize(
    "text", ["", "plain", "<b>&amp;</b>", "Grüße Ελλάδα Привет", "नमस्ते ไทย 😀", "日本語 中文 한국어"]
)
def test_every_script_has_a_font(text: str) -> None:
    assert shown(text) == text


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("שלום", "םולש"),
        ("error: שלום!", "error: םולש!"),
        ("שלום (abc) 12", "12 (abc) םולש"),
        ("שלום (עולם [x])", "([x] םלוע) םולש"),
        ("f(x) שלום", "f(x) םולש"),
        ("f(x שלום", "f(x םולש"),
        ("سلام", "\ufee1\ufefc\ufeb3"),
        ("a\u202egpj.exe", "agpj.exe"),
        ("a\u2067b\u2069c", "abc"),
    ],
)
def test_what_is_written_from_right_to_left_is_shown_so_and_joined(text: str, seen: str) -> None:
    assert shown(text) == seen


def test_a_line_from_right_to_left_that_does_not_fit_loses_its_end() -> None:
    line = shown("ש" + "ל" * 100, 80)
    assert line.startswith("…ל")
    assert line.endswith("לש")


def test_what_no_font_has_is_shown_as_missing_and_control_characters_as_blanks() -> None:
    assert shown("a\ue000b") == "a\ufffdb"
    assert shown("a\tb\r\n\x1b\u2028c") == "a b    c"


def test_what_does_not_fit_is_cut_with_dots() -> None:
    parts = list(fitted("w" * 100, 80, 10))
    assert shown("w" * 100, 80).endswith("w…")
    assert sum(width for _, _, width in parts) <= 80
    assert {font for font, _, _ in parts} == {MAIN}


def test_a_word_of_a_million_characters_costs_no_more_than_a_line() -> None:
    assert len(shown("w" * 1_000_000)) == MAX_TEXT + 1


def test_a_table_of_hostile_cells_is_a_pdf() -> None:
    file = io.BytesIO()
    sheet = Sheet(file, "x" * 1_000_000)
    cell = '<img src="file:///etc/passwd"/>' + "w" * 1_000_000
    sheet.table({"a": 1, "b": 0.001}, [{"a": cell, "b": cell}, {"a": None, "b": -5}] * 60)
    sheet.bars([], [])
    sheet.bars([(cell, {cell: 0})], [cell])
    sheet.save()
    assert file.getvalue().startswith(b"%PDF-")
    assert b"/Link" not in file.getvalue()
    assert b"/Subtype /Image" not in file.getvalue()
