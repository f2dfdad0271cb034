"""Kinds with args of many types, for what is made from signatures."""

from __future__ import annotations

import datetime
import uuid
from typing import Annotated, Any, Literal

import msgspec

from quart_app import task


class Circle(msgspec.Struct, tag="circle", forbid_unknown_fields=True):
    radius: Annotated[float, msgspec.Meta(gt=0, le=100)]


class Square(msgspec.Struct, tag="square", forbid_unknown_fields=True):
    side: Annotated[int, msgspec.Meta(ge=1, le=10)] = 1


class Args(msgspec.Struct):
    """A type that is called like the struct of the args, and that contains itself."""

    label: str
    next: Args | None = None


@task("draw", queue="pictures", priority=3, max_attempts=2, timeout=5, expires=600, retention=60)
async def draw(
    shapes: Annotated[list[Circle | Square], msgspec.Meta(min_length=1, max_length=3)],
    colour: Literal["red", "blue"] = "red",
    at: Annotated[datetime.datetime, msgspec.Meta(tz=True)] | None = None,
) -> int:
    """Draw shapes.

    Second paragraph.
    """
    return len(shapes)


@task("chain")
async def chain(first: Args, key: uuid.UUID, weights: dict[str, int], pair: tuple[int, bool], ratio: float) -> None:
    """Args that contain themselves."""


@task("code.check")
async def check(code: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}-[0-9]{2}\Z", examples=["ABC-17"])]) -> str:
    return code


@task("secret")
async def secret(word: Annotated[str, msgspec.Meta(pattern=r"^x{3}y\Z")]) -> str:
    """No example can be made of this pattern."""
    return word


@task("anything")
def anything(value: Any = None) -> Any:
    return value
