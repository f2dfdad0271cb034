"""Forms from JSON Schema: which field an arg gets, and that what comes back is what was meant."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from quart_app import task
from quart_app.core.errors import InvalidArgs
from quart_app.dashboard.schema_forms import Field, args_of, fields_of, others
from quart_app.tasks import BUILT_IN


class Box(msgspec.Struct):
    width: int


@task("everything")
async def everything(
    name: str,
    count: int,
    ratio: float = 0.5,
    really: bool = False,
    size: Literal["s", "m"] = "m",
    level: Literal[1, 2] = 1,
    maybe: int | None = None,
    story: Annotated[str, Meta(max_length=5_000)] = "",
    when: datetime.datetime | None = None,
    items: list[int] = [1],  # noqa: B006
    box: Box | None = None,
    either: int | str = 1,
    anything: Any = None,
) -> None: ...


def fields(**sent: str) -> dict[str, Field]:
    return {one.name: one for one in fields_of(everything, {f"arg.{name}": text for name, text in sent.items()})}


def test_an_arg_gets_the_field_that_fits_its_type() -> None:
    assert {name: one.input for name, one in fields().items()} == {
        "name": "text",
        "count": "number",
        "ratio": "number",
        "really": "choice",
        "size": "choice",
        "level": "choice",
        "maybe": "number",
        "story": "lines",
        "when": "text",
        "items": "json",
        "box": "json",
        "either": "json",
        "anything": "json",
    }
    assert {name for name, one in fields().items() if one.required} == {"name", "count"}


def test_what_is_entered_is_what_the_task_gets() -> None:
    entered = {
        "name": "1",  # a text stays a text
        "count": "123456789012345678901234567890",
        "ratio": "1e3",
        "really": "true",
        "size": '"s"',
        "level": "2",
        "maybe": "7",
        "story": "a\r\nb",
        "when": "2030-01-01T00:00:00Z",
        "items": "[1, 2]",
        "box": '{"width": 3}',
        "either": '"x"',
        "anything": "null",
    }
    args = args_of(list(fields(**entered).values()))
    assert args == {
        "name": "1",
        "count": 123456789012345678901234567890,
        "ratio": 1000.0,
        "really": True,
        "size": "s",
        "level": 2,
        "maybe": 7,
        "story": "a\nb",
        "when": "2030-01-01T00:00:00Z",
        "items": [1, 2],
        "box": {"width": 3},
        "either": "x",
        "anything": None,
    }
    everything.parse(args)


def test_an_empty_field_is_left_out_unless_it_is_needed() -> None:
    assert args_of(list(fields(count="1").values())) == {"name": "", "count": 1}
    with pytest.raises(InvalidArgs) as caught:
        args_of(list(fields(items="[", count="").values()))
    assert caught.value.errors == (("/count", "is needed"), ("/items", "must be JSON"))


def test_an_error_stands_at_its_field() -> None:
    wrong = [("/box/width", "too wide"), ("", "odd"), ("/nobody", "unknown argument")]
    found = fields_of(everything, {}, wrong)
    assert {one.name: one.wrong for one in found if one.wrong} == {"box": "too wide"}
    assert others(wrong, found) == ["odd", "unknown argument"]


@pytest.mark.parametrize("kind", BUILT_IN, ids=lambda kind: kind.name)
def test_every_built_in_kind_has_a_form(kind: Any) -> None:
    found = fields_of(kind, {})
    assert [one.name for one in found] == [name for name, _ in kind.parameters]
