"""`python -m benchmarks [PART …]`: runs the parts, prints their figures, keeps them in results.md and docs."""

from __future__ import annotations

import argparse
import datetime
import platform
import re
import sqlite3
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import psutil

from benchmarks import chat, connections, engine, flat, idle, limits, memory, neighbours, restart, streams, web
from benchmarks.harness import ROOT, Figure, Scale, table

RESULTS = Path(__file__).with_name("results.md")
SHOWN_IN = ROOT / "docs" / "explanation" / "performance.md"
SHOWN = {  # in performance.md; the others stand in results.md
    "engine, 50 at once / Huey on SQLite with fsync",
    "POST /tasks with arrays of 1,000 / Huey on SQLite with fsync",
    "p99 of the 202 / p99 of the echo",
    "create to completed over HTTP, p99",
    "list, first page, 1,000,000 / 1,000 rows",
    "memory that 200,000 waiting tasks add",
    "a start with 100,000 rows, until /health answers",
    "events that a client missed over kill -9",
}
PARTS: dict[str, Callable[[Scale], list[Figure]]] = {
    "engine": engine.run,
    "batch": engine.run_batch,
    "http": web.run,
    "slow-disk": web.run_slow_disk,
    "idle": idle.run,
    "flat": flat.run,
    "memory": memory.run,
    "restart": restart.run,
    "streams": streams.run,
    "chat": chat.run,
    "neighbours": neighbours.run,
    "connections": connections.run,
    "limits": limits.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("part", nargs="*", metavar="PART", help=f"which to run: {', '.join(PARTS)} (all)")
    parser.add_argument("--smoke", action="store_true", help="a few seconds each, only to see that they run; not kept")
    arguments = parser.parse_args()
    if unknown := set(arguments.part) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    kept = _read()
    for name in arguments.part or PARTS:
        print(f"## {name}", flush=True)
        with tempfile.TemporaryDirectory(prefix="quart_app-bench-") as folder:
            figures = PARTS[name](Scale(Path(folder), smoke=arguments.smoke))
        print(table(figures), flush=True)
        kept[name] = f"{_machine()}\n\n{table(figures)}"
        if not arguments.smoke:
            _write(kept)


def _machine() -> str:
    memory_size = round(psutil.virtual_memory().total / 2**30)
    versions = ", ".join(f"{name} {metadata.version(name.lower())}" for name in ("Quart", "Hypercorn", "aiosqlite"))
    return (
        f"{datetime.date.today().isoformat()}, {psutil.cpu_count()} cores, {memory_size} GiB, {platform.system()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {versions}"
    )


def _read() -> dict[str, str]:
    """The sections of results.md by their names."""
    if not RESULTS.exists():
        return {}
    pieces = re.split(r"^## (.*)\n", RESULTS.read_text("utf-8"), flags=re.MULTILINE)
    return {name: text.strip() for name, text in zip(pieces[1::2], pieces[2::2], strict=True)}


def _write(kept: dict[str, str]) -> None:
    sections = [f"## {name}\n\n{kept[name]}\n" for name in PARTS if name in kept]
    head = "# Results\n\nWritten by `python -m benchmarks`. Ratios are medians of interleaved runs in one session.\n"
    RESULTS.write_text("\n".join([head, *sections]), "utf-8")
    begin, end = "<!-- benchmarks -->\n", "<!-- end of benchmarks -->"
    before, _, rest = SHOWN_IN.read_text("utf-8").partition(begin)
    SHOWN_IN.write_text(before + begin + summary(kept) + end + rest.partition(end)[2], "utf-8")


def summary(kept: dict[str, str]) -> str:
    """The table of performance.md: the figures of SHOWN, and every one that misses its target."""
    lines = ["| figure | target | measured |", "|---|---|---|"]
    for name in PARTS:
        for line in kept.get(name, "").splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if len(cells) == 5 and cells[2][:1] in ("≥", "≤"):
                met = cells[3] == "yes"
                if cells[0] in SHOWN or not met:
                    lines.append(f"| {cells[0]} | {cells[2]} | {cells[1]}{'' if met else ' (not met)'} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
