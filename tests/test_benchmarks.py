"""The benchmarks run. Their figures are not tested: those depend on the machine."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.checkout import ROOT

pytest.importorskip("huey", reason="pip install -r requirements-dev.txt")
pytest.importorskip("psutil", reason="pip install -r requirements-dev.txt")

from benchmarks.__main__ import SHOWN, _read, summary

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    "part",
    [
        "engine",
        "batch",
        "http",
        "slow-disk",
        "idle",
        "flat",
        "memory",
        "restart",
        "streams",
        "chat",
        "neighbours",
        "connections",
    ],
)
def test_a_smoke_run_of_a_part_prints_its_table_and_keeps_nothing(part: str) -> None:
    if part in ("slow-disk", "neighbours") and not any(map(shutil.which, ("gcc", "cc", "strace"))):
        pytest.skip("this part needs gcc or strace")
    results = ROOT / "benchmarks" / "results.md"
    before = results.read_text() if results.exists() else None
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--smoke", part], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert f"## {part}\n| figure | measured | target | met | |" in done.stdout
    assert (results.read_text() if results.exists() else None) == before


def test_the_performance_page_shows_what_was_chosen_and_whatever_misses_its_target() -> None:
    figures = ["| figure | measured | target | met | |", "|---|---|---|---|---|", "| slow | 9 s | ≤ 2 s | **no** | |"]
    figures += [f"| {name} | 1 | ≥ 1 | yes | |" for name in ("plain", *sorted(SHOWN))]
    shown = [line.strip("|").split("|")[0].strip() for line in summary({"engine": "\n".join(figures)}).splitlines()]
    assert shown[2:] == ["slow", *sorted(SHOWN)]


def test_every_figure_that_is_chosen_was_measured() -> None:
    kept = "".join(_read().values())
    assert [name for name in SHOWN if f"\n| {name} |" not in kept] == []


def test_an_unknown_part_is_refused() -> None:
    done = subprocess.run([sys.executable, "-m", "benchmarks", "all"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no such part: all" in done.stderr
