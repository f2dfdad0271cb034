"""Commands on the database itself, which need no server: migrate, backup, restore, audit."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
from pathlib import Path

from quart_app.cli import tables
from quart_app.cli.errors import CannotWrite, CommandError
from quart_app.clock import SystemClock
from quart_app.core.errors import StoreBroken
from quart_app.process.logs import escape, escape_json
from quart_app.settings import Settings
from quart_app.store.audit import audit
from quart_app.store.sqlite import backup as store_backup


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """The exit code. Raises StartupError, CommandError."""
    match arguments.command:
        case "migrate":
            return _migrate(settings)
        case "backup":
            return _backup(Path(arguments.file), settings.database_path, arguments.force)
        case "restore":
            return _restore(Path(arguments.file), settings.database_path)
        case _:
            return _audit(Path(arguments.file) if arguments.file else settings.database_path, arguments)


def _migrate(settings: Settings) -> int:
    from quart_app.runtime import Runtime

    applied = asyncio.run(Runtime(settings, spawn=lambda *_: None).migrate())
    print(f"applied {', '.join(applied)}" if applied else "nothing to apply")
    return 0


def _backup(target: Path, database: Path, force: bool) -> int:
    try:
        size = store_backup.backup(database, target, force)
    except FileExistsError as error:
        hint = "" if error.strerror != "exists" or force else "; --force replaces it"
        raise CommandError(f"{target} {error.strerror}{hint}") from None
    except OSError as error:
        raise CannotWrite(f"cannot write {target}: {error.strerror}") from error
    print(f"{target}: {size} bytes, complete and checked")
    return 0


def _restore(source: Path, database: Path) -> int:
    now = datetime.datetime.fromtimestamp(SystemClock().now() / 1000, datetime.UTC)
    try:
        kept = store_backup.restore(database, source, f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z")
    except OSError as error:
        raise CannotWrite(f"cannot replace {database}: {error.strerror}") from error
    print(f"{database} is now what {source} was")
    if kept is not None:
        print(f"the old one is kept as {kept}")
    return 0


def _audit(path: Path, arguments: argparse.Namespace) -> int:
    try:
        report = audit(path)
    except StoreBroken as error:
        if arguments.file:  # after "; " the error advises to restore a backup, which fits only the service's database
            raise StoreBroken(str(error).partition("; ")[0]) from error
        raise
    if arguments.json:
        document = {"checked": report.checked, "findings": report.findings, "skipped": report.skipped}
        print(escape_json(json.dumps(document, ensure_ascii=False)))
    else:
        for line in report.findings:
            print(escape(line))
        print(f"checked {', '.join(f'{n} {what}' for what, n in report.checked.items())} of {path}")
        for line in report.skipped:
            print(f"not checked: {line}")
        print(tables.counted(len(report.findings), "finding") if report.findings else "no findings")
    return 1 if report.findings else 0
