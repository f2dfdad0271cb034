"""Lines of CSV, read back by Python's own reader."""

from __future__ import annotations

import csv
import io

import pytest

from quart_app.core import csv_cells


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"])
def test_a_text_that_a_spreadsheet_would_calculate_gets_a_quotation_mark(first: str) -> None:
    assert read(csv_cells.line([f"{first}1+1", "plain"])) == [[f"'{first}1+1", "plain"]]


@pytest.mark.parametrize("text", ["", "a,b", 'say "x"', "two\r\nlines", "Grüße 日本", "a=b", "'quoted", " =1"])
def test_any_other_text_comes_out_as_it_went_in(text: str) -> None:
    assert read(csv_cells.line([text, "end"])) == [[text, "end"]]


def test_numbers_stay_numbers_and_nothing_is_an_empty_cell() -> None:
    assert csv_cells.line([-5, 1.5, None]) == "-5,1.5,\r\n"
