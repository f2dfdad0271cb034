"""The figures of a report, of which only a bounded number is kept."""

from __future__ import annotations

from quart_app.tasks import report_data
from quart_app.tasks.report_data import HOURS, MAX_GROUPS, OTHER, Figures

HOUR = 3_600_000
NOW = 1_000_000 * HOUR


def test_percentiles_are_right_to_one_per_cent() -> None:
    figures = Figures()
    for ms in range(1, 10_001):
        figures.took("a", ms)
    (row,) = figures.percentiles()
    assert (row["kind"], row["ended"]) == ("a", 10_000)
    for name, exact in (("p50_seconds", 5.0), ("p90_seconds", 9.0), ("p99_seconds", 9.9)):
        assert abs(float(row[name]) - exact) <= exact * 0.015


def test_one_task_is_every_percentile() -> None:
    figures = Figures()
    figures.took("a", 0)
    (row,) = figures.percentiles()
    assert row["p50_seconds"] == row["p99_seconds"] == "0.001"


def test_hours_are_whole_seconds_and_no_powers_of_ten() -> None:
    figures = Figures()
    figures.took("a", 5 * HOUR)
    (row,) = figures.percentiles()
    assert row["p50_seconds"].isdigit()
    assert abs(int(row["p50_seconds"]) - 18_000) <= 180


def test_the_chart_has_every_hour_between_the_first_and_the_last() -> None:
    figures = Figures()
    for hours, series in ((0, "a"), (0, "b"), (2, "a"), (2, "a"), (3, "c")):
        figures.count(NOW - hours * HOUR, series)
    stacks = [stack for _, stack in figures.stacks(["a", "b"])]
    assert stacks == [{OTHER: 1}, {"a": 2}, {}, {"a": 1, "b": 1}]


def test_the_chart_ends_with_the_newest_hour_and_goes_two_days_back() -> None:
    figures = Figures()
    for hours in range(1000):
        figures.count(NOW - hours * HOUR, "a")
    assert len(figures.stacks(["a"])) == len(figures.hours) == HOURS
    assert figures.stacks(["a"])[-1][0] == report_data.moment(NOW)[:13].replace("T", " ") + " h"


def test_no_rows_make_no_chart() -> None:
    assert Figures().stacks([]) == []
    assert Figures().percentiles() == []


def test_names_beyond_a_number_are_counted_together() -> None:
    figures = Figures()
    for number in range(MAX_GROUPS + 5):
        figures.group(f"q{number}", "k", "failed")
        figures.count(NOW, f"s{number}")
        figures.took(f"k{number}", 1)
    assert len(figures.groups) == len(figures.series) == len(figures.percentiles()) == MAX_GROUPS + 1
    assert figures.groups[OTHER, OTHER]["failed"] == figures.series[OTHER] == 5
