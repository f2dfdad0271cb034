"""Whatever a handler returns, the row ends and the engine runs the next task."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import enum
import uuid
from typing import Any

import msgspec
import pytest

from quart_app import task
from quart_app.core import codec
from tests.engine.conftest import Start
from tests.engine.engine import Engine, result


class Colour(enum.Enum):
    RED = "red"


class Point(msgspec.Struct):
    x: int


@dataclasses.dataclass
class Pair:
    a: int
    b: list[int]


class Liar(dict[str, Any]):
    """A value whose own code raises while it is written."""

    def items(self) -> Any:
        raise RuntimeError("no items today")


def cycle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


GOOD: dict[str, tuple[Any, Any]] = {
    "none": (None, None),
    "false": (False, False),
    "zero": (0, 0),
    "empty text": ("", ""),
    "empty list": ([], []),
    "text": ("é \U0001f680 ' \" \\ \n \u2028", "é \U0001f680 ' \" \\ \n \u2028"),
    "float": (0.1, 0.1),
    "tuple": ((1, (2,)), [1, [2]]),
    "integer keys": ({1: "a"}, {"1": "a"}),
    "1000 digits": (-(10**1000) + 1, -(10**1000) + 1),
    "long digits in a text": ("9" * 2000, "9" * 2000),
    "struct": (Point(1), {"x": 1}),
    "dataclass": (Pair(1, [2]), {"a": 1, "b": [2]}),
    "date": (datetime.datetime(2030, 1, 2, tzinfo=datetime.UTC), "2030-01-02T00:00:00Z"),
    "uuid": (uuid.UUID(int=5), str(uuid.UUID(int=5))),
    "enum": (Colour.RED, "red"),
    "NUL": ("a\x00b", "a\ufffdb"),
    "NUL after a backslash": ("a\\\x00", "a\\\ufffd"),
    "two NULs": ({"\x00\x00": "\x00"}, {"\ufffd\ufffd": "\ufffd"}),
    "the escape of a NUL as a text": ("\\u0000", "\\u0000"),
    "lone surrogates": ({"k\udfff": ["\ud800", "x\udc00y"]}, {"k\ufffd": ["\ufffd", "x\ufffdy"]}),
    "almost 1 MB": ("x" * 1_048_574, "x" * 1_048_574),
    "100 levels": (nested(100), nested(100)),
}

BAD: dict[str, tuple[Any, str]] = {
    "set": ({1, 2}, "not_json"),
    "set inside": ({"a": [{1}]}, "not_json"),
    "bytes": (b"bytes", "not_json"),
    "NaN": (float("nan"), "not_json"),
    "infinity": ([-float("inf")], "not_json"),
    "object": (object(), "not_json"),
    "class": (Point, "not_json"),
    "function": (nested, "not_json"),
    "generator": ((n for n in "ab"), "not_json"),
    "exception": (ValueError("returned, not raised"), "not_json"),
    "cycle": (cycle(), "not_json"),
    "tuple as key": ({(1, 2): 3}, "not_json"),
    "4301 digits": (10**4300, "not_json"),
    "5000 digits": (10**5000, "not_json"),
    "100000 levels": (nested(100_000), "not_json"),
    "its own code raises": (Liar(a=1), "RuntimeError"),
    "over 1 MB": ("x" * 1_048_575, "result_too_large"),
    "over 1 MB of UTF-8": ("é" * 600_000, "result_too_large"),
    "2 MB": (["x" * 1000] * 2000, "result_too_large"),
    "50 MB": ("x" * 50_000_000, "result_too_large"),
}


@task("good")
async def good(what: str) -> Any:
    return GOOD[what][0]


@task("good-blocking")
def good_blocking(what: str) -> Any:
    return GOOD[what][0]


@task("bad")
async def bad(what: str) -> Any:
    return BAD[what][0]


@task("bad-blocking")
def bad_blocking(what: str) -> Any:
    return BAD[what][0]


async def late() -> None: ...


@task("returns-coroutine")
def returns_coroutine() -> Any:
    return late()


@task("returns-handle")
async def returns_handle() -> Any:
    return asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("kind", ["good", "good-blocking"])
@pytest.mark.parametrize("what", GOOD)
async def test_what_has_a_json_form_is_the_result(engine: Engine, kind: str, what: str) -> None:
    done = await engine.run(kind, {"what": what})
    assert result(done) == GOOD[what][1]


@pytest.mark.parametrize("kind", ["bad", "bad-blocking"])
@pytest.mark.parametrize("what", BAD)
async def test_what_has_none_fails_the_task_and_the_next_one_runs(start: Start, kind: str, what: str) -> None:
    engine = await start(concurrency=1)
    failed = await engine.run(kind, {"what": what}, max_attempts=3)
    assert (failed.status, failed.error_type, failed.result) == ("failed", BAD[what][1], None)
    assert failed.error_message
    assert len(failed.error_message.encode()) <= 4096
    if BAD[what][1] != "RuntimeError":  # another attempt would return the same
        assert (failed.attempt, failed.error_retryable) == (1, 0)
    assert result(await engine.run("good", {"what": "zero"})) == 0


async def test_the_limit_of_a_result_is_a_setting(start: Start) -> None:
    engine = await start(max_result=100)
    failed = await engine.run("good", {"what": "long digits in a text"})
    assert failed.error_type == "result_too_large"
    assert "100" in (failed.error_message or "")


async def test_a_blocking_handler_that_returns_a_coroutine_is_told_to_be_async(engine: Engine) -> None:
    failed = await engine.run("returns-coroutine")
    assert (failed.status, failed.error_type) == ("failed", "TypeError")
    assert "async def" in (failed.error_message or "")


async def test_a_future_is_no_result(engine: Engine) -> None:
    assert (await engine.run("returns-handle")).error_type == "not_json"


async def test_a_result_is_stored_byte_for_byte_as_json(engine: Engine) -> None:
    done = await engine.run("good", {"what": "text"})
    assert done.result == codec.encode(GOOD["text"][1]) == '"é 🚀 \' \\" \\\\ \\n \u2028"'
