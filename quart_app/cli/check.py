"""`check`: prints what runtime/check.py has found."""

from __future__ import annotations

import argparse
import json

from quart_app.cli import tables
from quart_app.process.logs import escape, escape_json
from quart_app.runtime.check import check


def run(arguments: argparse.Namespace) -> int:
    """The exit code: 0, 1 (tasks wait that no code runs, or a schedule cannot fire), or that of `serve`."""
    report = check()
    if arguments.json:
        document = {name: getattr(report, name) for name in ("checked", "schedules", "findings", "notes")}
        print(escape_json(json.dumps(document, ensure_ascii=False)))
        return report.exit_code
    for line in report.findings:
        print(escape(line))
    for one in report.schedules:
        print(escape(f"schedule {one['name']} of {one['kind']}: {one['next_at'] or 'paused'}"))
    for line in report.notes:
        print(escape(line))
    print(f"checked {', '.join(f'{n} {what}' for what, n in report.checked.items()) or 'nothing else'}")
    print(tables.counted(len(report.findings), "finding") if report.findings else "no findings")
    return report.exit_code
