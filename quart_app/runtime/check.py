"""Whether the service can start as it is configured, and whether it has code for what waits in the store. It changes
nothing."""

from __future__ import annotations

import datetime
from typing import Any, Final

import msgspec

from quart_app import settings as settings_module
from quart_app.clock import SystemClock
from quart_app.core import codec
from quart_app.core.errors import ConfigError, InvalidArgs, InvalidInput, StartupError
from quart_app.engine.registry import Registry
from quart_app.runtime.build import registry_of
from quart_app.service.schedules import declared_schedules
from quart_app.settings import Settings
from quart_app.store import check as store_check

WRONG: Final = 1  # something waits that no code runs


class Report(msgspec.Struct):
    """`checked`: what was looked at, and how many; `schedules`: what is planned; `findings` and `notes`: one line each.
    `exit_code` is that of the worst finding."""

    checked: dict[str, int] = {}
    schedules: list[dict[str, Any]] = []
    findings: list[str] = []
    notes: list[str] = []
    exit_code: int = 0

    def find(self, line: str, code: int = WRONG) -> None:
        self.findings.append(line)
        self.exit_code = max(self.exit_code, code)

    def refuse(self, error: StartupError) -> None:
        self.find(str(error), error.exit_code)


def check() -> Report:
    """Read the settings, the task modules and the database, and say what is wrong."""
    report = Report()
    _check(report)
    return report


def _check(report: Report) -> None:
    try:
        settings = settings_module.load()
    except ConfigError as error:
        report.refuse(error)
        return
    report.checked["settings"] = len(Settings.__struct_fields__)
    report.checked["task modules"] = len(settings.task_modules)
    try:
        registry = registry_of(settings, (), report.refuse)
        registry.limits()
    except ConfigError as error:
        report.refuse(error)
        return
    report.checked["kinds"] = len(registry.names())
    try:
        stored = store_check.look(settings.database_path)
    except StartupError as error:
        report.refuse(error)
        stored = store_check.Stored()
    if stored is None or stored.old:
        what = "there is no database" if stored is None else "the schema is of an earlier version"
        report.notes.append(f"{settings.database_path}: {what}; the next start sees to it")
    _schedules(report, settings, registry, stored or store_check.Stored())
    _waiting(report, registry, stored or store_check.Stored())


def _schedules(report: Report, settings: Settings, registry: Registry, stored: store_check.Stored) -> None:
    """Those of the code, as they will be stored, and those that were made over the API."""
    try:
        declared = declared_schedules(registry, SystemClock().now())
    except ConfigError as error:
        report.refuse(error)
        declared = {}
    kept = {one.key: one for one in stored.schedules}
    for name, plan in declared.items():
        known = kept.pop(name, None)
        if known is not None and known.source == "api":
            report.notes.append(f"schedule {name}: the one of the code is left out, one was made over the API")
            kept[name] = known
            continue
        paused = known is not None and known.paused
        planned = known.next_at if known is not None and known.next_at else plan.next_at
        _planned(report, name, plan.kind, "code", None if paused else planned, known)
    for key, one in kept.items():
        if one.source == "code":  # not declared any more: the next start deletes it
            continue
        _planned(report, key, one.kind, "api", one.next_at, one)
        kind = registry.get(one.kind)
        if kind is None:
            report.find(f"schedule {key}: there is no code for its kind {one.kind}")
            continue
        try:
            kind.parse(codec.loads(one.args))
        except (InvalidArgs, InvalidInput, codec.NotJson) as error:
            report.find(f"schedule {key}: its args do not fit {one.kind}: {error}")
    report.checked["schedules"] = len(report.schedules)
    if not settings.schedules:
        report.notes.append("QUART_APP_SCHEDULES is 0: no schedule fires")


def _planned(
    report: Report, name: str, kind: str, source: str, at: int | None, stored: store_check.StoredSchedule | None
) -> None:
    report.schedules.append({"name": name, "kind": kind, "source": source, "next_at": _moment(at)})
    if stored is not None and stored.last_error:
        report.find(f"schedule {name}: its last fire failed: {stored.last_error}")


def _waiting(report: Report, registry: Registry, stored: store_check.Stored) -> None:
    report.checked["kinds with unfinished tasks"] = len(stored.unfinished)
    for kind, n in stored.unfinished.items():
        if registry.get(kind) is None:
            report.find(f"kind {kind}: {n} task{'s' * (n > 1)} wait{'s' * (n == 1)}, and there is no code for it")


def _moment(at: int | None) -> str | None:
    if at is None:
        return None
    return datetime.datetime.fromtimestamp(at / 1000, datetime.UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
