"""Every knob, every bad value, and where the values come from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quart_app import settings
from quart_app.core.errors import ConfigError
from quart_app.settings import Settings

# name: (a good text, what it becomes, texts that must be refused). Names are those of the environment.
KNOBS: dict[str, tuple[str, Any, list[str]]] = {
    "DATA_DIR": ("/var/lib/tasks", "/var/lib/tasks", []),
    "DATABASE_URL": (
        "sqlite:////tmp/x.db",
        "sqlite:////tmp/x.db",
        ["sqlite:///", "tasks.db", "mysql://x/y", "sqlite:x"],
    ),
    "BIND": (
        "[::1]:8080",
        "[::1]:8080",
        ["8000", "localhost", "host:port", "host:", ":8000", "http://host:80", "127.0.0.1:99999", "a b:80", "unix:"],
    ),
    "TASKS": ("shop.tasks, ./more.py", "shop.tasks, ./more.py", []),
    "CONCURRENCY": ("8", 8, ["0", "-1", "10001", "x", "1.5", "1_0", "٣", "", "0x10", "NaN", "null", "true"]),
    "CPU_SLOTS": ("3", 3, ["0", "-1", "1025", "two", "", "2.5"]),
    "DISK_FLOOR": ("0", 0, ["-1", "much", "", "1.5"]),
    "QUEUE_LIMIT": ("10", 10, ["0", "-1", "lots", "", "1000000001", "1e400"]),
    "SYNCHRONOUS": ("NORMAL", "NORMAL", ["OFF", "normal", "", "2"]),
    "DRAIN_SECONDS": ("0.5", 0.5, ["-1", "nan", "inf", "3601", "soon", ""]),
    "MAX_CRASHES": ("3", 3, ["0", "-1", "1001", "x", ""]),
    "RETENTION_SECONDS": ("0", 0, ["-1", "1000000001", "week", "", "1.5"]),
    "RETENTION_ROWS": ("0", 0, ["-1", "1000000001", "all", ""]),
    "IDEMPOTENCY_SECONDS": ("60", 60, ["0", "-1", "day", "", "1000000001"]),
    "MAX_BODY": ("300000", 300_000, ["0", "-1", "1MB", "", "1000"]),
    "MAX_ARGS": ("1000", 1000, ["0", "-1", "1k", "", "1048577"]),
    "MAX_RESULT": ("1000", 1000, ["0", "-1", "1k", ""]),
    "MAX_UPLOAD": ("1000", 1000, ["0", "-1", "1MB", ""]),
    "ALLOW_PRIVATE_TARGETS": ("1", 1, ["2", "-1", "yes", ""]),
    "MAX_CHILDREN": ("5", 5, ["0", "-1", "many", "", "100001"]),
    "OWNER_SHARE": ("0.25", 0.25, ["0", "-1", "half", "", "1.1"]),
    "MAX_DEPTH": ("2", 2, ["0", "-1", "deep", "", "1001"]),
    "CODE_VERSION": ("v1.2+build-7", "v1.2+build-7", ["two words", '"', "é", "x" * 201]),
    "MAX_STREAMS": ("3", 3, ["0", "-1", "many", "", "100001"]),
    "MAX_CONNECTIONS": ("3", 3, ["0", "-1", "many", "", "1000001"]),
    "MAX_CONNECTIONS_PER_PEER": ("0", 0, ["-1", "many", "", "1000001"]),
    "MAX_REQUESTS_PER_CALLER": ("0", 0, ["-1", "many", "", "1000001"]),
    "MAX_BODY_MEMORY": ("1000", 1000, ["0", "-1", "64MB", ""]),
    "SCHEDULES": ("0", 0, ["2", "-1", "no", ""]),
    "EXAMPLES": ("0", 0, ["2", "-1", "no", ""]),
    "ALLOW_ANONYMOUS": ("1", 1, ["2", "-1", "yes", "true", ""]),
    "API_KEYS": (
        f"ann:{'a' * 16},b.o-b_1:{'!:~' * 6}",
        f"ann:{'a' * 16},b.o-b_1:{'!:~' * 6}",
        [
            "ann",
            "a" * 16,
            "ann:short",
            f":{'a' * 16}",
            f"ann:{'a' * 16},",
            f"ann:{'a' * 16},ann:{'b' * 16}",
            f"ann:{'a' * 16},bob:{'a' * 16}",
            f"a n:{'a' * 16}",
            f"{'n' * 65}:{'a' * 16}",
            f"ann:{'é' * 16}",
            f"ann:{'a' * 8} {'a' * 8}",
            f"ann:{'a' * 513}",
        ],
    ),
    "ALLOWED_ORIGINS": (
        "https://app.example, http://localhost:3000,https://[::1]:8443",
        "https://app.example, http://localhost:3000,https://[::1]:8443",
        [
            "*",
            "null",
            "app.example",
            "https://app.example/",
            "https://App.example",
            "ftp://x",
            "https://a b",
            "https://",
            "https://[::1",
            "https://[:::]",
            "https://x:99999",
        ],
    ),
    "TRUSTED_PROXIES": (
        "2",
        "2",
        ["-1", "11", "all", "", "1.5", "10.0.0.1/8", "unix,", "1,10.0.0.7"],
    ),
    "KEY": ("k3y", "k3y", []),
    "SMTP_URL": ("smtps://u:p@mail:465", "smtps://u:p@mail:465", ["mail:25", "http://mail", "smtp://", "smtp://a b"]),
    "MAIL_FROM": ("a@b.example", "a@b.example", ["", "nobody", "a@b@c", "a b@c", "a@\nb"]),
    "PROFILE_URL": (
        "http://[::1]:8080/api/",
        "http://[::1]:8080/api/",
        [
            "",
            "api.example",
            "ftp://x",
            "http://",
            "http://x y",
            "http://x?a",
            "http://x/#a",
            "http://u:p@x",
            "http://x:y",
            "http://x:99999",
            "http://x:0",
            "http://[:::]",
            "http://[1.2]/",
        ],
    ),
    "SIMULATED_STEPS": ("0.1,0,2", "0.1,0,2", ["", "a", "1,", ",1", "-1", "1;2", "1e9", "1 2"]),
    "SIMULATED_ERROR_RATE": ("0.25", 0.25, ["-0.1", "1.1", "NaN", "10%", "", "inf"]),
    "SIMULATED_ADD_SECONDS": ("0", 0.0, ["-1", "3601", "nan", "", "x"]),
    "CAT_FACTS_URL": (
        "http://cats/x?y",
        "http://cats/x?y",
        [
            *("", "cats", "ftp://cats", "http://", "http:///x", "http://a b", "http://[::1", "http://[:::]/x"),
            *("http://[1.2]", "http://cats:99999/", "http://cats:-1", "http://cats:x", "http://:80/", "http://u@/"),
        ],
    ),
    "CAT_FACTS_LIMIT": ("7", 7, ["0", "-1", "100001", "", "1.5"]),
    "CAT_FACTS_WINDOW": ("0.5", 0.5, ["0", "-1", "31622401", "nan", "inf", "", "minute"]),
    "CLIENT_LIMIT": ("7", 7, ["0", "-1", "10001", "", "1.5"]),
    "CLIENT_WINDOW": ("60", 60, ["0", "-1", "31622401", "", "1.5", "hour"]),
    "LOG_LEVEL": ("DEBUG", "DEBUG", ["debug", "TRACE", "", "10"]),
    "LOG_FILE": ("/var/log/x.log", "/var/log/x.log", []),
}


def field(name: str) -> str:
    return name.lower()


def load(**environ: str) -> Settings:
    return settings.load({f"QUART_APP_{name}": text for name, text in environ.items()}, dotenv=None)


def test_this_table_knows_every_knob() -> None:
    assert set(Settings.__struct_fields__) == {field(name) for name in KNOBS}


@pytest.mark.parametrize("name", KNOBS)
def test_each_knob_is_read_from_its_variable(name: str) -> None:
    text, value, _ = KNOBS[name]
    read = getattr(load(**{name: text}), field(name))
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("name", KNOBS)
def test_blanks_around_a_value_do_not_matter(name: str) -> None:
    text, value, _ = KNOBS[name]
    assert getattr(load(**{name: f"  {text} "}), field(name)) == value


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, (_, _, bad) in KNOBS.items() for text in bad])
def test_a_bad_value_is_refused_in_one_line_that_names_its_key(name: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(**{name: text})
    line = str(caught.value)
    keys = {f"QUART_APP_{name}"} | ({"QUART_APP_MAX_ARGS"} if name == "MAX_BODY" else set())
    assert line.partition(":")[0] in keys
    assert "\n" not in line
    assert caught.value.exit_code == 78


@pytest.mark.parametrize(
    ("name", "allowed"), [("LOG_LEVEL", "DEBUG, INFO, WARNING, ERROR"), ("SYNCHRONOUS", "FULL, NORMAL")]
)
def test_a_choice_lists_what_it_allows(name: str, allowed: str) -> None:
    with pytest.raises(ConfigError, match=f"must be one of {allowed} "):
        load(**{name: "loud"})


def test_a_very_long_bad_value_is_not_repeated_at_length() -> None:
    with pytest.raises(ConfigError) as caught:
        load(CONCURRENCY="x" * 100_000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["CONCURENCY", "DATABASE_UR", "X", ""])
def test_a_misspelt_key_is_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match=f"QUART_APP_{name}: no such setting"):
        load(**{name: "1"})


def test_variables_of_other_programs_are_left_alone() -> None:
    environ = {"PATH": "/bin", "QUART_DEBUG": "1", "quart_app_bind": "x", "MY_QUART_APP_BIND": "x"}
    assert settings.load(environ, dotenv=None) == Settings()


def test_the_defaults_are_those_of_their_page() -> None:
    found = load()
    assert found.data_path == Path.cwd() / "instance"
    assert found.database_path == Path.cwd() / "instance/tasks.db"
    assert found.log_path == Path.cwd() / "instance/async_tasks.log"
    assert (found.concurrency, found.cpu_slots, found.queue_limit) == (64, os.cpu_count(), 100_000)
    assert (found.synchronous, found.drain_seconds, found.max_crashes) == ("FULL", 8, 10)
    assert (found.retention_seconds, found.retention_rows) == (604_800, 2_000_000)
    assert (found.idempotency_seconds, found.allow_anonymous) == (86_400, 0)
    assert (found.max_body, found.max_args, found.max_result) == (2**20, 2**18, 2**20)
    assert (found.smtp_url, found.mail_from) == ("", "quart-app@localhost")
    assert (found.step_seconds, found.simulated_error_rate, found.simulated_add_seconds) == ([5, 3], 0.1, 2)
    assert (found.log_level, found.bind, found.task_modules) == ("INFO", "", [])


def test_paths_and_lists_are_taken_apart() -> None:
    found = load(
        DATA_DIR="/d",
        DATABASE_URL="sqlite:////else/x.db",
        LOG_FILE="/l.log",
        TASKS=" a.b, ,c.py,",
        SIMULATED_STEPS="1,2.5",
    )
    assert found.database_path == Path("/else/x.db")
    assert found.log_path == Path("/l.log")
    assert found.task_modules == ["a.b", str(Path.cwd() / "c.py")]
    assert found.step_seconds == [1.0, 2.5]
    assert load(DATA_DIR="/d").database_path == Path("/d/tasks.db")
    assert load(DATABASE_URL="sqlite:///rel/x.db").database_path == Path.cwd() / "rel/x.db"


@pytest.mark.parametrize("made", ["read", "in code"])
def test_relative_paths_start_where_the_settings_were_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str
) -> None:
    given = {"data_dir": "d", "database_url": "sqlite:///x.db", "log_file": "../x.log", "tasks": "a.b, sub/c.py"}
    there = tmp_path / "a, b"
    there.mkdir()
    monkeypatch.chdir(there)
    found = load(**{name.upper(): text for name, text in given.items()}) if made == "read" else Settings(**given)  # type: ignore[arg-type]
    monkeypatch.chdir(tmp_path)
    assert (found.data_dir, found.data_path) == (str(there / "d"), there / "d")
    assert (found.database_url, found.database_path) == (f"sqlite:///{there / 'x.db'}", there / "x.db")
    assert found.log_path == there / "../x.log"
    assert found.task_modules == ["a.b", str(there / "sub/c.py")]
    assert msgspec.structs.replace(found, concurrency=3).data_path == there / "d"


def test_a_working_directory_that_was_removed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigError, match="working directory"):
        load()


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "localhost:8000", "0.0.0.0:65535", "[::]:80", "unix:/run/x.sock"])
def test_every_form_of_an_address_is_taken(bind: str) -> None:
    assert load(BIND=bind).bind == bind


def test_args_may_not_be_larger_than_the_body_that_carries_them() -> None:
    assert load(MAX_BODY="1000", MAX_ARGS="1000").max_args == 1000
    with pytest.raises(ConfigError, match="QUART_APP_MAX_ARGS"):
        load(MAX_BODY="1000", MAX_ARGS="1001")
