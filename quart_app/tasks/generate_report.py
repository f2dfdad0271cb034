"""`generate-report`: writes a PDF or CSV about the tasks that its owner may see.

A `def` handler runs in a thread, so it may keep a core busy. Rows are read page by page and written at once, or only
counted: 100,000 of them take no more memory than a thousand. The file appears under its name when all of it is on disk,
and the task ends after that. After an earlier crash the file is made again, under the same name.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO, Final, Literal

from quart_app.core import artifacts, csv_cells
from quart_app.engine import task
from quart_app.tasks.report_data import OTHER, Figures, Filters, ReportType, Row, rows

MAX_ROWS: Final = 1000  # in the table of a PDF; a CSV has them all
SERIES: Final = 8  # colours of the chart, beside `other`
COLUMNS: Final[dict[ReportType, tuple[str, ...]]] = {
    "tasks": (
        "task_id", "kind", "queue", "owner", "status", "priority", "attempt", "max_attempts", "crashes", "created_at",
        "started_at", "completed_at", "seconds", "error_type", "error_message",
    ),
    "queues": ("queue", "kind", "pending", "processing", "completed", "failed", "cancelled"),
    "errors": ("task_id", "kind", "status", "attempt", "at", "error_type", "error_message", "retryable"),
    "users": ("id", "username", "email"),
}  # fmt: skip
# The columns of a PDF that are not 1 wide; 0 leaves one out.
WIDTHS: Final = {
    "task_id": 2.9, "kind": 1.3, "attempt": 0.7, "created_at": 1.8, "at": 1.8, "seconds": 0.7, "error_type": 1.2,
    "error_message": 3.4, "retryable": 0.8, "email": 2, "started_at": 0, "completed_at": 0, "max_attempts": 0,
    "crashes": 0, "priority": 0,
}  # fmt: skip


@task("generate-report", queue="reports", max_attempts=3, timeout=600)
def generate_report(
    ctx: Any,
    report_type: ReportType,
    filters: Filters = Filters(),  # noqa: B008 - frozen
    format: Literal["pdf", "csv"] = "pdf",  # noqa: A002 - the API's name
) -> dict[str, Any]:
    """Write a report as PDF or CSV; its `file_url` serves it to the owner of the task."""
    name = artifacts.file_name(report_type, ctx.task_id, format)
    figures = Figures()
    found = rows(ctx, report_type, filters, figures)
    with ctx.files.writing(artifacts.FOLDER, name) as file:
        write = _csv if format == "csv" else _pdf
        count = write(file, report_type, filters, found, figures)
    ctx.progress(100, 100, f"{count:,} rows")
    return {"report_type": report_type, "file_url": artifacts.file_url(name), "rows": count}


def _csv(file: BinaryIO, report_type: ReportType, filters: Filters, found: Iterator[Row], figures: Figures) -> int:
    columns = COLUMNS[report_type]
    file.write(csv_cells.line(columns).encode())
    count = 0
    for row in found:
        file.write(csv_cells.line([row[name] for name in columns]).encode())
        count += 1
    return count


def _pdf(file: BinaryIO, report_type: ReportType, filters: Filters, found: Iterator[Row], figures: Figures) -> int:
    from quart_app.tasks.pdf import Sheet  # reportlab takes longer to import than all of this package

    shown = list(islice(found, MAX_ROWS))
    count = len(shown) + sum(1 for _ in found)
    sheet = Sheet(file, f"Report: {report_type}")
    now = datetime.datetime.now(datetime.UTC)
    chosen = ", ".join(
        f"{name} {getattr(filters, name)}" for name in filters.__struct_fields__ if getattr(filters, name)
    )
    sheet.text(f"Made {now:%Y-%m-%d %H:%M:%S} UTC. {f'Only {chosen}. ' if chosen else ''}{count:,} rows.")
    if figures.hours:
        names = [name for name, _ in figures.series.most_common(SERIES)]
        sheet.text(f"{'Errors' if report_type == 'errors' else 'Tasks'} per hour", 12)
        stacks = figures.stacks(names)
        sheet.bars(stacks, [*names, OTHER] if any(OTHER in stack for _, stack in stacks) else names)
    if durations := figures.percentiles():
        sheet.text("How long they took", 12)
        sheet.table({"kind": 3, "ended": 1, "p50_seconds": 1, "p90_seconds": 1, "p99_seconds": 1}, durations)
    sheet.text(report_type.capitalize(), 12)
    sheet.table({name: share for name in COLUMNS[report_type] if (share := WIDTHS.get(name, 1.0))}, shown)
    if count > len(shown):
        sheet.text(f"{count - len(shown):,} more rows are left out here; a CSV has them all.")
    sheet.save()
    return count
