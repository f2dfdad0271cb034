"""Who may import whom: the walls between the rooms, read from the source itself.

Where the code shows a better wall, move the wall here and on docs/contributing.md's map, in a commit that says why.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "quart_app"
LONGEST = 350

# room -> what it may import of ours, beside itself. A name stands for the module and everything below it; a room is
# found by its longest name. `""` is the package itself (`quart_app/__init__.py`).
EVERYWHERE = {"settings", "clock"}
BELOW_ALL = {"core", "settings", "clock"}  # these import nothing that all others may import
TOLD = {"process.files", "process.forks"}  # parts of the process that have no state of the service
ROOMS: dict[str, set[str]] = {
    "core": set(),
    "settings": {"core"},
    "clock": {"core"},
    "store": {"core", "process.forks"},
    "engine": {"core", "store.protocols", *TOLD},
    "engine.processes.child": {
        "core",
        "engine",
        "process.setup",
        *TOLD,
    },  # has no runtime: it makes what a handler needs
    "service": {"core", "store.protocols", "engine", "process.descriptors", *TOLD},
    # What a user's own module may import: the package's own names, and the errors and types of core.
    "tasks": {"core", "engine.__init__"},
    "runtime": {"core", "store", "engine", "service", "tasks", "process.files", "process.disk", "process.http_clients"},
    # Around the service: these know nothing of it.
    "process": {"core"},
    "process.logs": {"core", "engine.logger", "process"},
    "process.http_clients": {"core", "engine.threads"},
    "process.server": {"core", "app", "process", "web.protection.listeners"},  # it starts the whole
    "web": {"core", "service", "process.metrics", "process.logs", "process.known_versions", ""},
    "app": {"core", "engine.registry", "runtime", "service", "web", "process"},
    "asgi": {"core", "app", "process"},
    # Over HTTP, or in this process through the app; and what needs no server goes to the store's own files.
    "cli": {"core", "app", "runtime", "process", "store.audit", "store.sqlite.backup", "store.sqlite.lock", ""},
    "__main__": {"cli"},
    "": {"core", "engine.__init__", "app"},
}
# Names used in annotations alone: what a context and the views are given is made by the runtime, and the kinds that the
# documentation describes come through the service.
FOR_ANNOTATIONS: dict[str, set[str]] = {
    "engine.context": {"service"},
    "engine.services": {"service"},
    "web.app_state": {"runtime"},
    "web.routes.api_docs": {"engine.kind"},
    "web.openapi.document": {"engine.kind"},
    "web.openapi.kinds": {"engine.kind"},
    "web.routes.metrics": {"runtime"},
    "web.routes.uploads": {"engine.upload"},
}

# A library of the world -> the only places that may know it.
DRIVERS: dict[str, set[str]] = {
    "quart": {"app", "web"},
    "hypercorn": {
        *("process.server", "process.hypercorn_connections"),
        *("web.protection.hypercorn_patches", "web.protection.hypercorn_http2"),
    },
    "h2": {"web.protection.hypercorn_http2"},
    "wsproto": {"web.protection.hypercorn_patches", "web.protection.wsproto_patches"},
    "uvicorn": {
        "process.uvicorn_server",
        "web.protection.uvicorn_patches",
        "web.protection.uvicorn_h11_patches",
    },
    "httptools": {"process.uvicorn_server", "web.protection.uvicorn_patches"},
    "aiosqlite": {"store.sqlite.database"},
    "sqlite3": {"store"},
    "aiosmtplib": {"tasks.mail"},
    "reportlab": {"tasks.pdf", "tasks.pdf_text"},
    "structlog": {"process.logs", "engine"},
    "prometheus_client": {"process.metrics", "web.routes.metrics"},
    "httpx": {"runtime", "engine.context", "engine.services", "cli", "process.http_clients", "tasks", "web.examples"},
    "httpcore": {"process.http_clients"},
    "cv2": {"tasks.detect_faces"},
    "PIL": {"tasks.detect_faces"},
    "protego": {"tasks.robots"},
    "rich": {"cli"},
    "dotenv": {"settings"},
    "uuid_utils": {"service.tasks"},
    "cronsim": {"core.schedule"},
    "fcntl": {"store.sqlite.lock", "process.forks"},
    "werkzeug": {"web"},
}
SQL = re.compile(r"\s*(SELECT|INSERT INTO|UPDATE \w+ SET|DELETE FROM|PRAGMA|BEGIN|CREATE (TABLE|INDEX))\s")


class Import(NamedTuple):
    """`importer` names a module of ours without the package; `target` whatever it imports, dotted."""

    importer: str
    target: str
    annotations_only: bool
    line: int


def sources() -> dict[str, Path]:
    """Every module of ours by its dotted name without the package; a package is `name.__init__`."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts) if parts != ("__init__",) else ""] = path
    return found


SOURCES = sources()
TREES = {name: ast.parse(path.read_text("utf-8"), str(path)) for name, path in SOURCES.items()}


def imports() -> Iterator[Import]:
    for importer, tree in TREES.items():
        guarded = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for statement in node.body
            for inner in ast.walk(statement)
        }
        for node in ast.walk(tree):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{importer}: relative import in line {node.lineno}"
                names = [_target(node.module or "", alias.name) for alias in node.names]
            for name in names:
                yield Import(importer, name, id(node) in guarded, getattr(node, "lineno", 0))


def _target(module: str, name: str) -> str:
    """`from quart_app.core import codec` means the module codec, `from quart_app.engine import task` the package."""
    if not _ours(module):
        return module
    within = module.removeprefix("quart_app").removeprefix(".")
    for candidate in (f"{within}.{name}".removeprefix("."), f"{within}.{name}.__init__".removeprefix(".")):
        if candidate in SOURCES:
            return f"quart_app.{candidate}"
    if f"{within}.__init__" in SOURCES:
        return f"{module}.__init__"
    return module


def _ours(module: str) -> bool:
    return module.partition(".")[0] == "quart_app"


def is_below(module: str, name: str) -> bool:
    return module == name if name == "" else f"{module}.".startswith(f"{name}.")


def room_of(module: str) -> str:
    return max((room for room in ROOMS if is_below(module, room)), key=len)


OURS = [one for one in imports() if _ours(one.target)]
FOREIGN = [one for one in imports() if not _ours(one.target)]


def describe(one: Import) -> str:
    return f"{one.importer or '__init__'}:{one.line} imports {one.target}"


def test_every_module_is_in_a_room() -> None:
    assert [name for name in SOURCES if not any(is_below(name, room) for room in ROOMS)] == []


def through_walls(found: Iterable[Import]) -> list[str]:
    broken = []
    for one in found:
        room, target = room_of(one.importer), one.target.removeprefix("quart_app").removeprefix(".")
        allowed = ROOMS[room] | ({room} if room else set())
        if room not in BELOW_ALL:
            allowed |= EVERYWHERE
        if one.annotations_only:
            allowed = allowed | FOR_ANNOTATIONS.get(one.importer, set())
        if not any(is_below(target, name) for name in allowed):
            broken.append(describe(one))
    return broken


def test_no_room_imports_what_is_behind_a_wall() -> None:
    assert through_walls(OURS) == []


@pytest.mark.parametrize(
    ("importer", "target", "annotations_only"),
    [
        ("core.task", "quart_app.settings", False),
        ("core.task", "quart_app.store.protocols.tasks", False),
        ("clock", "quart_app.settings", False),
        ("store.sqlite.database", "quart_app.engine.attempt", False),
        ("engine.attempt", "quart_app.store.tasks", False),
        ("engine.context", "quart_app.service.uploads", False),
        ("engine.upkeep.poller", "quart_app.runtime", False),
        ("service.tasks", "quart_app.runtime", False),
        ("tasks.add", "quart_app.store.protocols.tasks", False),
        ("tasks.add", "quart_app.engine.context", False),
        ("web.routes.tasks", "quart_app.store.protocols.tasks", False),
        ("web.routes.tasks", "quart_app.engine.attempt", False),
        ("web.app_state", "quart_app.runtime", False),
        ("web.routes.tasks", "quart_app.runtime", True),
        ("process.files", "quart_app.engine.attempt", False),
        ("runtime", "quart_app.web.routes.tasks", False),
        ("runtime", "quart_app.app", False),
        ("", "quart_app.store.protocols.tasks", False),
    ],
)
def test_a_wall_that_is_walked_through_is_noticed(importer: str, target: str, annotations_only: bool) -> None:
    assert through_walls([Import(importer, target, annotations_only, 1)])


def test_no_modules_import_each_other() -> None:
    """Those for annotations count as well. An import within a function waits until all is loaded."""
    lines = {module: _lines_of_functions(tree) for module, tree in TREES.items()}
    graph: dict[str, set[str]] = {module: set() for module in SOURCES}
    for one in OURS:
        target = one.target.removeprefix("quart_app").removeprefix(".")
        if target in SOURCES and one.line not in lines[one.importer]:
            graph[one.importer].add(target)
    while leaves := {module for module, targets in graph.items() if not targets}:
        graph = {module: targets - leaves for module, targets in graph.items() if module not in leaves}
    assert sorted(graph) == [], "these import each other, or one that does"


def _lines_of_functions(tree: ast.Module) -> set[int]:
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for line in range(node.lineno, (node.end_lineno or 0) + 1)
    }


@pytest.mark.parametrize("library", DRIVERS)
def test_a_library_is_known_in_its_own_place_only(library: str) -> None:
    users = [one for one in FOREIGN if one.target.partition(".")[0] == library]
    assert [
        describe(one) for one in users if not any(is_below(one.importer, place) for place in DRIVERS[library])
    ] == []


@pytest.mark.parametrize("library", ["quart", "aiosqlite", "aiosmtplib", "hypercorn"])
def test_this_check_sees_the_imports_it_is_about(library: str) -> None:
    assert [one for one in FOREIGN if one.target.partition(".")[0] == library]


def test_sql_is_written_in_the_store_only() -> None:
    found = [
        f"{module}:{node.lineno} {node.value.strip()[:40]!r}"
        for module, tree in TREES.items()
        if not is_below(module, "store")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value)
    ]
    assert found == []


def test_core_is_pure() -> None:
    """No await, no file, no clock of its own: what it decides depends on its arguments alone."""
    impure = {
        "os",
        "io",
        "pathlib",
        "socket",
        "time",
        "random",
        "threading",
        "subprocess",
        "logging",
        "sqlite3",
        "secrets",
    }
    found = [
        f"{module}:{node.lineno}"
        for module, tree in TREES.items()
        if is_below(module, "core")
        for node in ast.walk(tree)
        if isinstance(node, (ast.Await, ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith))
    ]
    assert found == []
    assert [describe(one) for one in FOREIGN if is_below(one.importer, "core") and one.target in impure] == []


def test_the_wall_clock_is_read_through_the_clock() -> None:
    """Time is injected. The lock's start time is for people only, and a task is a user's own code."""
    found = [
        f"{module}:{node.lineno} {ast.unparse(node)}"
        for module, tree in TREES.items()
        if module not in ("clock", "store.sqlite.lock") and not is_below(module, "tasks")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and ast.unparse(node)
        in ("time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.datetime.now")
    ]
    assert found == []


def test_nothing_imports_everything() -> None:
    assert [
        f"{module}:{node.lineno}"
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
    ] == []


def test_importing_the_package_does_not_load_a_web_framework_or_a_driver() -> None:
    heavy = {"quart", "reportlab", "hypercorn", "aiosqlite", "httpx", "aiosmtplib", "structlog", "prometheus_client"}
    script = f"import sys, quart_app; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def test_no_file_is_too_long_to_read_in_one_sitting() -> None:
    long = {}
    for folder in ("quart_app", "migrations", "tests", "benchmarks"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix == ".py" and (lines := len(path.read_text("utf-8").splitlines())) > LONGEST:
                long[str(path.relative_to(ROOT))] = lines
    assert long == {}
