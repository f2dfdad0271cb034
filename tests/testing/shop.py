"""A small app with tasks, as a user has one. `done` is what its handlers have done, beyond the store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import msgspec

from quart_app import Limit, NonRetryable, TaskContext, around, resource, schedule, task

done: list[Any] = []
failures: dict[str, int] = {}  # how often the handler of this name is still to fail

gateway = Limit("gateway", rate="2/60")


@contextmanager
def failing(name: str, times: int) -> Iterator[None]:
    failures[name] = times
    try:
        yield
    finally:
        failures.pop(name)


def _fail(name: str) -> None:
    if failures.get(name, 0) > 0:
        failures[name] -= 1
        raise ConnectionError(f"{name} is down")


async def sign_up(name: str, plan: str = "free") -> None:
    """What a request of the app does."""
    await welcome.enqueue(name=name)
    await remind.enqueue_with({"delay": 3 * 86_400, "tags": ["trial"], "priority": 5}, name=name, plan={"name": plan})


# --- mails


@task("welcome", queue="mail", max_attempts=3, backoff=(10.0, 2.0, 60.0))
async def welcome(name: str) -> str:
    _fail("welcome")
    done.append(f"welcome {name}")
    return f"sent to {name}"


@task("remind")
async def remind(name: str, plan: dict[str, str]) -> None:
    done.append(f"remind {name} of {plan['name']}")


@schedule("0 9 * * *", name="every-morning")
@task("digest")
async def digest(ctx: TaskContext) -> None:
    done.append("digest")


# --- steps


class Picture(msgspec.Struct):
    name: str
    width: int


async def fetch(name: str) -> str:
    done.append(f"fetch {name}")
    return f"{name} fetched"


def shrink(name: str, width: int) -> Picture:
    done.append(f"shrink {name}")
    return Picture(name, width)


@task("resize", queue="images", max_attempts=2, backoff=(1.0, 1.0, 1.0))
async def resize(ctx: TaskContext, name: str, width: int = 800) -> Picture:
    path = await ctx.step("fetch", fetch, name)
    _fail("resize")
    picture: Picture = await ctx.step("shrink", shrink, path, width)
    return picture


@task("resize-in-a-thread", max_attempts=2)
def resize_in_a_thread(ctx: Any, name: str) -> dict[str, Any]:
    path = ctx.step("fetch", fetch, name)
    picture = ctx.step("shrink", shrink, path, 100)
    ctx.progress(1, 2, "nearly")
    ctx.progress(2, 2, "done")
    return {"name": picture.name, "width": picture.width}


@task("square", executor="process")
def square(number: int) -> list[int]:
    return [number * number, os.getpid()]


# --- waits


@task("album")
async def album(ctx: TaskContext, names: list[str]) -> list[str]:
    children = await ctx.spawn_many(resize, [{"name": name} for name in names])
    pictures = await ctx.gather(children)
    return [picture["name"] for picture in pictures]


@task("order", max_attempts=2)
async def order(ctx: TaskContext, thing: str, price: int) -> dict[str, Any]:
    if price > 100:
        answer = await ctx.wait_signal("approve", timeout=timedelta(days=2).total_seconds())
        if answer["choice"] != "approve":
            raise NonRetryable(f"declined: {answer['remark']}")
    receipt = await ctx.step("charge", charge, thing, price)
    await ctx.sleep(86_400)
    await ctx.step("ship", ship, thing)
    return {"receipt": receipt}


async def charge(thing: str, price: int) -> str:
    done.append(f"charge {price} for {thing}")
    return f"r-{price}"


async def ship(thing: str) -> None:
    done.append(f"ship {thing}")


@task("two-signals")
async def two_signals(ctx: TaskContext) -> list[Any]:
    return [await ctx.wait_signal("first"), await ctx.wait_signal("second")]


@task("family")
async def family(ctx: TaskContext) -> list[Any]:
    """Its child waits for a signal that nobody sends."""
    return await ctx.gather([await ctx.spawn(two_signals)])


@task("sleepy")
async def sleepy(ctx: TaskContext, seconds: float) -> None:
    await ctx.sleep(seconds)
    done.append(f"slept {seconds:g}")


@task("calls", limits=[gateway])
async def calls(number: int) -> None:
    done.append(f"call {number}")


@task("calls-out")
async def calls_out(ctx: TaskContext) -> int:
    """It holds its slot while it waits for room under a limit of somebody else's."""
    for number in range(3):
        async with ctx.limit("their-api", 1, 30.0):
            done.append(f"call out {number}")
    return 3


# --- all sorts


@task("asks-another")
async def asks_another(ctx: TaskContext) -> str:
    """It waits in its slot for a task that is no child: worse than `gather`, and it works."""
    handle = await ctx.enqueue("welcome", {"name": "bob"})
    return f"{await handle.result(timeout=20)}, it says"


@task("makes-itself")
async def makes_itself(ctx: TaskContext) -> None:
    await ctx.enqueue("makes-itself")


@task("slow")
async def slow(seconds: float) -> None:
    done.append("begins")
    await asyncio.sleep(seconds)
    done.append("ends")


@task("once-a-name", unique=("name",))
async def once_a_name(name: str) -> None: ...


@task("short-lived", expires=60)
async def short_lived() -> None:
    done.append("short-lived")


@around("resize*", "stubborn")
async def counted(ctx: Any) -> Any:
    try:
        yield
    finally:
        done.append(f"left {ctx.kind}")


@task("stubborn")
async def stubborn(ctx: TaskContext) -> str:
    """It goes on when it is asked to end."""
    try:
        await ctx.step("first", fetch, "a")
    except BaseException:
        done.append("went on")
    return str(await ctx.step("second", fetch, "b"))


@resource("model")
async def model() -> Any:
    done.append("open")
    yield {"answer": 42}
    done.append("close")


@task("asks-model")
async def asks_model(ctx: TaskContext) -> int:
    found = await ctx.resource("model")
    return int(found["answer"])
