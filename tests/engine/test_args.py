"""What a kind's signature lets in, and what the handler is given."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

import msgspec
import pytest

from quart_app import TaskContext, task
from quart_app.core.errors import InvalidArgs, UnknownKind
from tests.engine.conftest import Start
from tests.engine.engine import Engine, result


class Address(msgspec.Struct):
    street: str
    number: int = 1


@task("plain")
async def plain(ctx: TaskContext, x: int, y: int = 5) -> int:
    return x * y


@task("no-context")
async def no_context(text: str) -> str:
    return text.upper()


@task("nothing")
async def nothing() -> None:
    return None


@task("context-alone")
async def context_alone(ctx: TaskContext) -> str:
    return ctx.kind


@task("bounded")
async def bounded(
    name: Annotated[str, msgspec.Meta(min_length=2, max_length=4, pattern="^[a-z]+$")],
    count: Annotated[int, msgspec.Meta(ge=1, le=3)] = 1,
    mode: Literal["fast", "slow"] = "fast",
) -> list[Any]:
    return [name, count, mode]


@task("structured")
async def structured(address: Address, others: list[Address] | None = None) -> dict[str, Any]:
    assert isinstance(address, Address)
    return {"street": address.street, "number": address.number, "others": len(others or [])}


@task("dated")
async def dated(at: datetime.datetime) -> str:
    return type(at).__name__


@task("keyword-only")
async def keyword_only(*, a: int, b: int) -> int:
    return a - b


@task("untyped")
async def untyped(value, more=None):  # type: ignore[no-untyped-def]
    return [value, more]


@task("odd-names")
async def odd_names(f0: int, kind: str, args: list[int], class_: bool = True) -> list[Any]:
    return [f0, kind, args, class_]


@task("mutable-default")
async def mutable_default(more: int, values: list[int] = [1]) -> list[int]:  # noqa: B006 - what users write
    values.append(more)
    return values


@pytest.mark.parametrize(
    ("kind", "args", "expected"),
    [
        ("plain", {"x": 3}, 15),
        ("plain", {"x": 3, "y": -2}, -6),
        ("plain", {"x": 10**999 - 1, "y": 1}, 10**999 - 1),
        ("no-context", {"text": "é"}, "É"),
        ("nothing", {}, None),
        ("context-alone", {}, "context-alone"),
        ("bounded", {"name": "abc"}, ["abc", 1, "fast"]),
        ("bounded", {"name": "ab", "count": 3, "mode": "slow"}, ["ab", 3, "slow"]),
        ("structured", {"address": {"street": "Main"}}, {"street": "Main", "number": 1, "others": 0}),
        (
            "structured",
            {"address": {"street": "A", "number": 2}, "others": [{"street": "B"}]},
            {"street": "A", "number": 2, "others": 1},
        ),
        ("dated", {"at": "2030-01-02T03:04:05Z"}, "datetime"),
        ("keyword-only", {"b": 1, "a": 3}, 2),
        ("untyped", {"value": {"deep": [1, None]}}, [{"deep": [1, None]}, None]),
        ("odd-names", {"f0": 1, "kind": "k", "args": [2]}, [1, "k", [2], True]),
    ],
)
async def test_fitting_args_reach_the_handler_in_the_types_of_its_signature(
    engine: Engine, kind: str, args: dict[str, Any], expected: Any
) -> None:
    assert result(await engine.run(kind, args)) == expected


@pytest.mark.parametrize(
    ("kind", "args", "pointer", "words"),
    [
        ("plain", {}, "/x", "required"),
        ("plain", {"x": "3"}, "/x", "int"),
        ("plain", {"x": 3.5}, "/x", "int"),
        ("plain", {"x": True}, "/x", "int"),
        ("plain", {"x": None}, "/x", "int"),
        ("plain", {"x": 1, "z": 2}, "/z", "unknown"),
        ("plain", {"x": 1, "ctx": 2}, "/ctx", "unknown"),
        ("plain", {"x": 1, "a/b~c": 2}, "/a~1b~0c", "unknown"),
        ("nothing", {"x": 1}, "/x", "unknown"),
        ("context-alone", {"x": 1}, "/x", "unknown"),
        ("bounded", {"name": "a"}, "/name", "length"),
        ("bounded", {"name": "abcde"}, "/name", "length"),
        ("bounded", {"name": "AB"}, "/name", "regex"),
        ("bounded", {"name": "ab", "count": 4}, "/count", "<= 3"),
        ("bounded", {"name": "ab", "mode": "loud"}, "/mode", "loud"),
        ("structured", {"address": {}}, "/address/street", "required"),
        ("structured", {"address": {"street": "A"}, "others": [{"street": 1}]}, "/others", "str"),
        ("dated", {"at": "yesterday"}, "/at", "RFC3339"),
        ("odd-names", {"f1": 1}, "/f1", "unknown"),
    ],
)
async def test_args_that_do_not_fit_are_refused_with_the_place_and_make_no_row(
    engine: Engine, kind: str, args: dict[str, Any], pointer: str, words: str
) -> None:
    with pytest.raises(InvalidArgs) as caught:
        await engine.enqueue(kind, args)
    ((where, detail),) = caught.value.errors
    assert where.startswith(pointer)
    assert words in detail
    assert engine.sql("SELECT count(*) FROM tasks") == [(0,)]


@task("patterned")
async def patterned(
    plate: Annotated[str, msgspec.Meta(pattern="^[A-Z]{2}$", description="Two letters", examples=["AB"])] = "AB",
    others: list[Annotated[str, msgspec.Meta(pattern="^[0-9]+$", description="A number")]] | None = None,
    bare: Annotated[str, msgspec.Meta(pattern="^[a-z]$")] = "a",
) -> None:
    return None


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({"plate": "abc"}, ("/plate", "expected: Two letters, for example AB")),
        ({"others": ["1", "x"]}, ("/others/1", "expected: A number")),
        ({"bare": "A"}, ("/bare", "Expected `str` matching regex '^[a-z]$'")),
    ],
)
def test_a_text_that_does_not_match_is_told_what_is_wanted_in_words_where_there_are_any(
    args: Any, error: tuple[str, str]
) -> None:
    with pytest.raises(InvalidArgs) as refused:
        patterned.parse(args)
    assert refused.value.errors == (error,)


@pytest.mark.parametrize("args", [[], [1], "text", 5, None, True])
def test_args_must_be_an_object(args: Any) -> None:
    with pytest.raises(InvalidArgs, match="object"):
        plain.parse(args)
    with pytest.raises(InvalidArgs, match="object"):
        nothing.parse(args)


async def test_a_python_value_without_a_json_form_is_refused_when_it_is_enqueued(engine: Engine) -> None:
    for value in ({1, 2}, b"bytes", float("nan"), object()):
        with pytest.raises(InvalidArgs):
            await untyped.enqueue(value=value)
    assert engine.sql("SELECT count(*) FROM tasks") == [(0,)]


async def test_a_struct_can_be_enqueued_as_it_is(engine: Engine) -> None:
    handle = await structured.enqueue(address=Address("Main", 7))
    assert await handle.result(timeout=20) == {"street": "Main", "number": 7, "others": 0}


async def test_a_mutable_default_is_fresh_for_each_run(engine: Engine) -> None:
    assert result(await engine.run("mutable-default", {"more": 2})) == [1, 2]
    assert result(await engine.run("mutable-default", {"more": 3})) == [1, 3]


async def test_unknown_options_and_kinds_are_refused(engine: Engine) -> None:
    with pytest.raises(InvalidArgs):
        await plain.enqueue_with({"colour": "red"}, x=1)
    with pytest.raises(UnknownKind):
        await engine.enqueue("no-such-kind")


async def test_a_declared_function_stays_callable() -> None:
    assert await no_context("abc") == "ABC"
    assert await keyword_only(a=5, b=2) == 3
    assert no_context.__name__ == "no_context"
    assert no_context.name == "no-context"


async def test_enqueue_outside_a_running_app_says_so() -> None:
    with pytest.raises(RuntimeError, match="running app"):
        await nothing.enqueue()


async def test_args_that_fit_no_longer_end_the_task_instead_of_the_server(start: Start) -> None:
    """A new version of the code may find rows of the old one."""
    old = await start()
    handle = await old.enqueue("plain", {"x": 1}, delay=3600)
    await old.close()
    old.sql("UPDATE tasks SET run_at = 0")

    @task("plain")
    async def newer(x: str) -> str:
        return x

    new = await start(kinds=[newer])
    ended = await new.runtime.service.wait(handle.id, 20)
    assert (ended.status, ended.error_type, ended.error_retryable) == ("failed", "invalid_args", 0)
    assert "/x" in (ended.error_message or "")
