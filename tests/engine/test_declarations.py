"""Declaring kinds: what is refused at once, with the kind's name, and where kinds are found."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quart_app import Limit, TaskContext, task
from quart_app.core.errors import ConfigError
from quart_app.engine.registry import Registry, load_module
from tests.engine.conftest import Start
from tests.engine.engine import Engine


def generator() -> Any:
    yield 1


async def async_generator() -> Any:
    yield 1


async def var_args(ctx: TaskContext, *values: int) -> None: ...


async def var_kwargs(ctx: TaskContext, **values: int) -> None: ...


async def positional_only(ctx: TaskContext, x: int, /) -> None: ...


async def context_in_the_middle(x: int, ctx: TaskContext) -> None: ...


async def with_self(self: object, x: int) -> None: ...


async def no_json_type(x: complex | Callable[[], None]) -> None: ...


async def good(x: int = 1) -> int:
    return x


def plain_function(x: int = 1) -> int:
    return x


@pytest.mark.parametrize(
    "function",
    [generator, async_generator, var_args, var_kwargs, positional_only, context_in_the_middle, with_self, no_json_type],
    ids=lambda function: function.__name__,
)
def test_a_function_that_cannot_be_a_task_is_refused_where_it_is_declared(function: Any) -> None:
    with pytest.raises(ConfigError, match="bad-function"):
        task("bad-function")(function)


@pytest.mark.parametrize(
    "kind", ["", "Thumbnail", "-x", ".x", "_x", "a b", "a/b", "é", "a\n", "x" * 101, "a:b", "٣"], ids=repr
)
def test_a_bad_kind_name_is_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match="kind must match"):
        task(kind)


@pytest.mark.parametrize("kind", ["a", "0", "send-email", "a.b_c-d", "x" * 100])
def test_a_good_kind_name_is_taken(kind: str) -> None:
    assert task(kind)(good).name == kind


NO_SECONDS = (float("inf"), float("nan"), -float("inf"), 1e300, 10**400, True, "60", [60])
NO_WHOLE_NUMBERS = (1.5, 2.0, float("inf"), float("nan"), True, "3", None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_attempts": -1}, "max_attempts"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"priority": 101}, "priority"),
        ({"priority": -101}, "priority"),
        ({"queue": "Images"}, "queue"),
        ({"queue": ""}, "queue"),
        ({"expires": 0}, "expires"),
        ({"retention": -1}, "retention"),
        *(({name: value}, name) for name in ("timeout", "expires", "retention") for value in NO_SECONDS),
        *(({name: value}, name) for name in ("max_attempts", "priority") for value in NO_WHOLE_NUMBERS),
        ({"max_attempts": 1_000_001}, "max_attempts"),
        ({"timeout": None}, "timeout"),
        ({"timeout": 0.0001}, "timeout"),
        ({"queue": 5}, "queue"),
        ({"backoff": None}, "backoff"),
        ({"backoff": 5}, "backoff"),
        ({"backoff": "123"}, "backoff"),
        ({"backoff": (True, 2, 300)}, "backoff"),
        ({"backoff": (1, 2, float("inf"))}, "backoff"),
        ({"backoff": (10**400, 2, 300)}, "backoff"),
        ({"backoff": (-1.0, 2.0, 300.0)}, "backoff"),
        ({"backoff": (1.0, float("nan"), 300.0)}, "backoff"),
        ({"backoff": (1.0, 2.0)}, "backoff"),
        ({"retry_on": [ValueError]}, "retry_on"),
        ({"retry_on": "ValueError"}, "retry_on"),
        ({"no_retry_on": ValueError("one")}, "no_retry_on"),
        ({"executor": "threads"}, "executor"),
    ],
    ids=repr,
)
def test_a_bad_option_is_refused_by_name(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        task("k", **options)(plain_function)


def test_a_coroutine_function_cannot_be_given_to_a_child_process() -> None:
    with pytest.raises(ConfigError, match="process"):
        task("k", executor="process")(good)


def test_two_functions_of_one_kind_are_refused_with_both_places() -> None:
    async def other() -> None: ...

    registry = Registry([task("twice")(good)])
    with pytest.raises(ConfigError, match=r"'twice' is declared twice: .*good and .*other"):
        registry.add(task("twice")(other))


def test_the_same_kind_may_be_met_twice() -> None:
    once = task("once")(good)
    registry = Registry([once])
    registry.add(once)
    assert registry.names() == ["once"]


async def test_a_kind_of_the_same_name_as_a_built_in_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'send-email' is declared twice"):
        Engine(tmp_path, [task("send-email")(good)])


# --- QUART_APP_TASKS

USER_MODULE = """
from quart_app import TaskContext, task

@task("{kind}")
async def handler(ctx: TaskContext, name: str = "you") -> str:
    return f"hello {{name}} from {{ctx.kind}}"
"""


@pytest.fixture
def forget_modules() -> Any:
    """Modules that a test imports are the test's own."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if "user_tasks" in name:
            del sys.modules[name]


async def test_kinds_come_from_files_and_modules_of_quart_app_tasks(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch, forget_modules: None
) -> None:
    (tmp_path / "by_file_user_tasks.py").write_text(USER_MODULE.format(kind="by-file"))
    package = tmp_path / "package_user_tasks"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text(USER_MODULE.format(kind="by-module"))
    monkeypatch.syspath_prepend(tmp_path)
    engine = await start(tasks=f" {tmp_path}/by_file_user_tasks.py , package_user_tasks.inner,")
    by_file = await engine.enqueue("by-file", {"name": "me"})
    by_module = await engine.enqueue("by-module")
    assert await by_file.result(timeout=20) == "hello me from by-file"
    assert await by_module.result(timeout=20) == "hello you from by-module"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_user_tasks", "no_such_user_tasks"),
        ("/nowhere/user_tasks.py", "no file"),
        ("{folder}/syntax_user_tasks.py", "SyntaxError"),
        ("{folder}/raises_user_tasks.py", "user_tasks.py (line 2): ValueError: the reason"),
        ("{folder}/bare_user_tasks.py", '(line 3): TypeError: @task names its kind: write @task("name")'),
        ("{folder}/imports_user_tasks.py", "(line 2): ModuleNotFoundError"),
        ("{folder}/exits_user_tasks.py", "SystemExit"),
        ("{folder}/declares_user_tasks.py", "Bad Kind"),
    ],
)
def test_a_task_module_that_cannot_be_loaded_is_one_clear_line(
    tmp_path: Path, forget_modules: None, name: str, words: str
) -> None:
    (tmp_path / "syntax_user_tasks.py").write_text("def (:\n")
    (tmp_path / "raises_user_tasks.py").write_text("import os\nraise ValueError('the reason')\n")
    (tmp_path / "bare_user_tasks.py").write_text("from quart_app import task\n\n@task\nasync def dinner(): ...\n")
    (tmp_path / "imports_user_tasks.py").write_text("import os\nimport no_such_module_at_all\n")
    (tmp_path / "exits_user_tasks.py").write_text("import sys\nsys.exit(0)\n")
    (tmp_path / "declares_user_tasks.py").write_text(USER_MODULE.format(kind="Bad Kind"))
    with pytest.raises(ConfigError) as caught:
        load_module(name.format(folder=tmp_path))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_declaration_is_named_by_its_module_and_line(tmp_path: Path, forget_modules: None) -> None:
    path = tmp_path / "limits_user_tasks.py"
    path.write_text("from quart_app import Limit\n\nbank = Limit('bank')\n")
    with pytest.raises(ConfigError) as caught:
        load_module(str(path))
    assert str(caught.value) == f"{path} (line 3): Limit('bank') needs rate, concurrency or both"


def test_two_limits_of_one_name_are_told_apart_by_their_kinds() -> None:
    async def nothing() -> None: ...

    registry = Registry()
    for kind, rate in (("mail", "1/2"), ("print", "1/3")):
        registry.add(task(kind, limits=[Limit("shared", rate=rate)])(nothing))
    with pytest.raises(ConfigError, match="'shared' and differ: of the kinds mail and print"):
        registry.limits()


def test_a_file_that_failed_once_is_not_taken_for_loaded(tmp_path: Path, forget_modules: None) -> None:
    path = tmp_path / "broken_user_tasks.py"
    path.write_text("raise ValueError('half')\n")
    for _ in range(2):
        with pytest.raises(ConfigError, match="half"):
            load_module(str(path))


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"unique": ("y",)}, "names 'y', which is no argument of the function; it has x"),
        ({"unique": ("x", "ctx")}, "names 'ctx'"),
        ({"unique": ()}, "unique is True, or a tuple"),
        ({"unique": "x"}, "unique is True, or a tuple"),
        ({"unique": ["x"]}, "unique is True, or a tuple"),
        ({"unique": (1,)}, "unique is True, or a tuple"),
        ({"unique": None}, "unique is True, or a tuple"),
        ({"on_duplicate": "reject"}, "need unique="),
        ({"debounce": 5}, "need unique="),
        ({"unique": True, "on_duplicate": "ignore"}, "on_duplicate is one of return, reject, replace, debounce"),
        ({"unique": True, "debounce": 5}, "need each other"),
        ({"unique": True, "on_duplicate": "replace", "debounce": 5}, "need each other"),
        ({"unique": True, "on_duplicate": "debounce"}, "need each other"),
        ({"unique": True, "on_duplicate": "debounce", "debounce": 0}, "debounce must be seconds"),
        ({"unique": True, "on_duplicate": "debounce", "debounce": float("nan")}, "debounce must be seconds"),
        ({"unique": True, "on_duplicate": "debounce", "debounce": "5"}, "debounce must be seconds"),
    ],
)
def test_a_wrong_declaration_of_uniqueness_is_refused(options: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ConfigError, match="odd-one") as refused:
        task("odd-one", **options)(good)
    assert wrong in str(refused.value)


def test_what_is_right_is_taken_over() -> None:
    kind = task("one-each", unique=("x",), on_duplicate="debounce", debounce=5)(good)
    assert kind.options.unique is not None
    assert (kind.options.unique.args, kind.options.unique.debounce) == (("x",), 5)
    every = task("one-of-all", unique=True)(good).options.unique
    assert every is not None
    assert (every.args, every.on_duplicate) == (None, "return")
    assert task("many")(good).options.unique is None
