"""README.md, docs/, .env.example and hypercorn.toml against the code: nothing missing, nothing that does not exist."""

from __future__ import annotations

import argparse
import inspect
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypercorn.config import Config
from prometheus_client.parser import text_string_to_metric_families

import quart_app
from quart_app import cli, settings
from quart_app.app import create_app
from quart_app.cli import errors as cli_errors
from quart_app.core import errors, lifecycle
from quart_app.core.errors import StartupError
from quart_app.core.task import OUTCOMES, STATUSES
from quart_app.engine.context import TaskContext
from quart_app.engine.kind import task
from quart_app.process import metrics, signals
from quart_app.process.metrics import Figures, Metrics
from quart_app.tasks import BUILT_IN
from quart_app.web.messages import options, problems
from quart_app.web.routes import tasks as task_views
from tests import readme
from tests.checkout import ROOT

SETTINGS = {f"QUART_APP_{field.name.upper()}": field for field in msgspec.structs.fields(settings.Settings)}


def names(column: list[list[str]]) -> list[str]:
    """What stands between backticks in the first cells."""
    return [name for row in column for name in readme.code(row[0])]


def table(first_header: str) -> list[list[str]]:
    """The rows of all tables of README.md and docs/ whose header begins so."""
    return readme.rows(readme.TEXT, first_header)


# --- settings


def test_every_setting_is_in_the_table_and_no_other() -> None:
    listed = names(table("setting"))
    assert sorted(listed) == sorted(SETTINGS)


def test_the_defaults_shown_are_the_defaults() -> None:
    shown = {readme.code(name)[0]: default for name, default, _ in table("setting")}
    for name, field in SETTINGS.items():
        if field.default == "":  # empty, or made from another setting: the table says so in words
            assert not re.fullmatch(r"[0-9.]+", shown[name]), name
        elif name == "QUART_APP_CPU_SLOTS":
            assert (shown[name], field.default) == ("number of cores", os.cpu_count())
        elif name == "QUART_APP_EXAMPLES":
            assert (shown[name], field.default) == ("1, and 0 inside your own app", None)
        else:
            default = f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
            assert shown[name].strip("`") == default, name


@pytest.mark.parametrize(
    "path", [*readme.PAGES, "CHANGELOG.md", "SECURITY.md", "startup.sh", "startup.bat", "startup_dev.py"]
)
def test_no_text_names_a_setting_that_does_not_exist(path: str) -> None:
    named = re.findall(r"QUART_APP_[A-Z_]+[A-Z]", (ROOT / path).read_text("utf-8"))
    assert set(named) <= set(SETTINGS) | settings.IN_FILES.keys()


def test_env_example_has_every_setting_and_can_be_used_as_it_is(tmp_path: Path) -> None:
    text = (ROOT / ".env.example").read_text("utf-8")
    active = tmp_path / ".env"
    active.write_text(re.sub(r"^#(QUART_APP_)", r"\1", text, flags=re.MULTILINE))
    assert sorted(re.findall(r"^(\w+)=", active.read_text(), flags=re.MULTILINE)) == sorted(SETTINGS)
    loaded, default = settings.load({}, str(active)), settings.Settings()
    examples = {
        "examples",
        "tasks",
        "smtp_url",
        "key",
        "cpu_slots",
        "bind",
        "database_url",
        "log_file",
    }  # their defaults are no values
    for name, field in SETTINGS.items():
        if field.name not in examples:
            assert getattr(loaded, field.name) == getattr(default, field.name), name
    assert (loaded.database_path, loaded.log_path) == (default.database_path, default.log_path)
    assert settings.load({}, str(ROOT / ".env.example")) == default


# --- HTTP


@pytest.fixture
def routes(tmp_path: Path) -> set[str]:
    app = create_app(settings.Settings(data_dir=str(tmp_path)))
    return {
        f"{'WS' if rule.websocket else method} {_anonymous(rule.rule)}"
        for rule in app.url_map.iter_rules()
        if rule.endpoint != "static"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def _anonymous(path: str) -> str:
    return re.sub(r"<[^>]*>", "<>", path)


def test_every_route_is_in_the_table_and_no_other(routes: set[str]) -> None:
    listed = [_anonymous(name) for name in names(table("request"))]
    assert sorted(listed) == sorted(routes)


def test_every_option_and_filter_of_a_request_is_named() -> None:
    query = re.search(r"Query of `POST /tasks/<kind>`:(.*?)Headers:", readme.TEXT, re.DOTALL)
    assert query is not None
    assert set(options.OPTIONS) <= set(readme.code(query[1]))
    answers = {row[0]: row[1] for row in table("request")}
    assert set(options.BatchItem.__struct_fields__) == set(
        re.findall(r'"(\w+)"', answers["`POST /tasks`"].split("}")[0])
    )
    assert {name.partition("=")[0] for name in readme.code(answers["`GET /tasks`"])} >= set(task_views.FILTERS)


def test_every_type_of_problem_is_in_the_table() -> None:
    source = "".join(path.read_text() for path in sorted((ROOT / "quart_app" / "web").rglob("*.py")))
    raised = set(re.findall(r"\b[Pp]roblem\(\s*[0-9]{3},\s*\"([a-z-]+)\"", source))
    known = {slug for _, _, slug, _ in problems._KNOWN} | raised
    listed = [name for row in table("status") for name in readme.code(row[1])]
    assert sorted(listed) == sorted(known)


def test_every_built_in_kind_is_in_the_table_with_its_args() -> None:
    listed = {readme.code(name)[0]: readme.code(args) for name, args, _ in table("kind")}
    assert listed == {kind.name: [name for name, _ in kind.parameters] for kind in BUILT_IN}


# --- metrics


def test_every_metric_is_in_the_table_and_no_other() -> None:
    figures = Figures(single=dict.fromkeys(metrics.READ, 0.0), counts=[], oldest={}, suspended={})
    families = text_string_to_metric_families(Metrics().text(figures).decode())
    told = {f"{one.name}_total" if one.type == "counter" else one.name for one in families}
    listed = names(table("metric"))
    assert sorted(listed) == sorted(name for name in told if name.startswith("quart_app_"))


def test_every_outcome_and_label_of_a_metric_is_named() -> None:
    rows = {name: row[1:] for row in table("metric") for name in readme.code(row[0])}
    labels = {name: readme.code(row[0]) for name, row in rows.items() if row[0]}
    made = Metrics()
    shown = {
        f"{one._name}_total" if one._type == "counter" else one._name: list(one._labelnames)
        for one in (made._tasks, made._runs, made._requests)
    }
    of_queues = {metrics.QUEUE_TASKS: ["queue", "state"], metrics.QUEUE_OLDEST: ["queue"]}
    assert labels == {**shown, **of_queues, metrics.SUSPENDED: ["cause"]}
    assert readme.code(rows["quart_app_tasks_total"][1]) == list(OUTCOMES)


# --- Python


def test_every_option_of_a_kind_is_in_the_table_and_no_other() -> None:
    listed = names(table("option"))
    assert sorted(listed) == sorted(set(inspect.signature(task).parameters) - {"kind"})


def test_the_options_marked_with_a_star_can_be_given_to_one_task() -> None:
    marked = [row[0] for row in table("option") if "*" in row[0]]
    defaults = set(inspect.signature(task).parameters) & set(options.OPTIONS)
    assert {name for cell in marked for name in readme.code(cell)} == defaults


def test_every_part_of_the_context_is_in_the_table_and_no_other() -> None:
    listed = {name.partition("(")[0] for name in names(table("of `ctx`"))}
    runners = {"load_steps", "flush", "recorder", "emit_text"}  # the runner's side of it
    public = {name for name in dir(TaskContext) if not name.startswith("_")} - runners
    assert listed == public | {"args", "cancelled"}  # those two are set in __init__


def test_every_error_that_code_catches_is_in_the_table_and_no_other() -> None:
    listed = names(table("error"))
    raised = {name for name in quart_app.__all__ if issubclass(_kind(name), errors.QuartAppError)}
    assert sorted(listed) == sorted(raised)


def _kind(name: str) -> type:
    value = getattr(quart_app, name)
    return value if isinstance(value, type) else object


# --- statuses


def test_the_statuses_are_the_statuses() -> None:
    first = readme.section("Statuses").strip().split(".")[0]
    assert readme.code(first) == list(STATUSES)


def test_the_transition_table_is_that_of_the_code() -> None:
    listed = {}
    for cause, start, end, _ in table("cause"):
        listed[cause.strip("`")] = (set(readme.code(start)), set(readme.code(end)))
    real = {cause: (set(start), {end}) for cause, (start, end) in lifecycle.TRANSITIONS.items()}
    real["crash"] = (set(lifecycle.CRASH[0]), set(lifecycle.CRASH[1]))
    assert listed == real


# --- the command line


def test_every_command_and_flag_is_named_and_no_other() -> None:
    parsers = _parsers(cli.parser.build())
    names = {name.partition(" ")[0] for name in parsers if name}
    assert set(re.findall(r"python -m quart_app ([a-z][a-z-]*)", readme.TEXT)) == names
    text = readme.PAGES["docs/reference/command-line.md"]
    listed = re.findall(r"^\| `python -m quart_app ([a-z][a-z -]*[a-z])", text, flags=re.MULTILINE)
    assert sorted(listed) == sorted(name for name in parsers if name and name not in ("tasks", "keys"))
    flags = {flag for one in parsers.values() for action in one._actions for flag in action.option_strings}
    assert set(re.findall(r"--[a-z]+(?:-[a-z]+)*", text)) == flags - {"-h", "--help"}


def _parsers(parser: argparse.ArgumentParser, name: str = "") -> dict[str, argparse.ArgumentParser]:
    """Every parser by its words: `tasks list`."""
    found = {name: parser}
    for action in parser._actions:
        if isinstance(action.choices, dict):
            for word, below in action.choices.items():
                found |= _parsers(below, f"{name} {word}".strip())
    return found


def _startup_errors(kind: type[StartupError] = StartupError) -> Iterator[type[StartupError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _startup_errors(below)


def test_every_exit_code_is_in_the_table_and_no_other() -> None:
    codes = {error.exit_code for error in _startup_errors()}
    codes |= {value for name, value in vars(signals).items() if name.startswith("CODE_")}
    listed = [int(row[0]) for row in table("exit code")]
    assert listed == sorted(codes)
    listed = [int(row[0]) for row in table("code")]
    commands = {error.exit_code for error in vars(cli_errors).values() if hasattr(error, "exit_code")}
    assert listed == sorted({0, 2, 3} | commands | {error.exit_code for error in _startup_errors()} | {130})


def test_every_key_of_hypercorn_toml_exists_and_is_explained() -> None:
    keys = set(tomllib.loads((ROOT / "hypercorn.toml").read_text("utf-8")))
    assert {key for key in keys if not hasattr(Config(), key)} == set()
    assert set(names(table("key of the file"))) == keys


# --- the rest


def test_every_room_is_on_the_map_and_no_other() -> None:
    lines = readme.section("Map").splitlines()
    start = lines.index("quart_app/")
    listed: set[str] = set()
    for line in lines[start + 1 : lines.index("```", start)]:
        listed |= set(re.findall(r"\S+(?:\.py|/)(?=\s)", line[:25]))
    real = {path.name for path in (ROOT / "quart_app").glob("*.py")}
    real |= {f"{path.parent.name}/" for path in (ROOT / "quart_app").glob("*/__init__.py")}
    assert listed == real


def test_the_files_and_folders_the_pages_name_exist() -> None:
    named = re.findall(r"`((?:tests|quart_app|benchmarks|migrations)/[\w/.]+)`", readme.TEXT)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_performance_table_is_that_of_the_last_run() -> None:
    pytest.importorskip("psutil", reason="pip install -r requirements-dev.txt")
    from benchmarks import __main__ as benchmarks

    kept = benchmarks._read()
    assert list(kept) == list(benchmarks.PARTS)
    assert benchmarks.summary(kept) in readme.PAGES["docs/explanation/performance.md"]


def test_the_changelog_knows_this_version() -> None:
    assert f"## [{quart_app.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
