"""`cat-facts`, `cat-facts-async`, `cat-facts-limited`: n calls of an API that gives one fact a call and allows a number
of calls in a minute. The first kind calls one by one. The second calls all at once and leaves out the refused calls.
The third makes all calls, never faster than allowed.

Each fact is a recorded step: a fact that was answered before a crash is not requested again. All calls are counted
under one limit, so that the third kind knows what the first two have used. The first two do not wait for the limit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec

from quart_app.core import artifacts, codec
from quart_app.core.errors import Foreseen
from quart_app.engine import NonRetryable, TaskContext, task

Amount = Annotated[int, msgspec.Meta(ge=0, le=10_000, description="How many facts", examples=[3])]

AT_ONCE: Final = 20  # calls of one task
SECONDS: Final = 10.0  # for one call, from connecting to the last byte
MAX_ANSWER: Final = 64 * 1024  # bytes
MAX_TOGETHER: Final = 16 * 1024 * 1024  # characters of all facts of a task
PAUSES: Final = (1.0, 3.0)  # seconds before a failed call is repeated: one short failure in an hour ends no task
# A compressed answer could be of any size once it is unpacked.
HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}


class Fact(msgspec.Struct):
    """The answer of the upstream; other fields are ignored."""

    fact: str


class UpstreamError(Foreseen):
    """The upstream cannot be reached, or its answer is not valid."""


class UpstreamTimeout(UpstreamError):
    """The upstream did not answer in time."""


class UpstreamLimit(UpstreamError):
    """The upstream answered 429: too many requests. `retry_after` is the text of its Retry-After field, or None."""

    def __init__(self, retry_after: str | None) -> None:
        super().__init__("the upstream answered 429: its limit is reached")
        self.retry_after = retry_after


@task("cat-facts", queue="cat-facts", timeout=86_400)
async def one_by_one(ctx: TaskContext, n: Amount) -> Any:
    """Ask for n cat facts, one by one; any error of the upstream ends the task, its limit too."""
    return await collect(ctx, n, ask_at_once, at_once=1)


@task("cat-facts-async", queue="cat-facts", timeout=86_400)
async def all_at_once(ctx: TaskContext, n: Amount) -> Any:
    """Ask for n cat facts at once; those that the upstream's limit refuses are left out."""
    return await collect(ctx, n, ask_or_leave_out, AT_ONCE)


# A queue of its own: tasks that wait for an hour must not keep the slots of tasks that do not wait.
@task("cat-facts-limited", queue="cat-facts-limited", timeout=30 * 86_400)
async def in_turn(ctx: TaskContext, n: Amount) -> Any:
    """Ask for n cat facts, as fast as the upstream's limit allows for all tasks together; always n."""
    return await collect(ctx, n, ask_in_turn, AT_ONCE)


async def collect(
    ctx: TaskContext, n: int, ask_one: Callable[[TaskContext], Awaitable[str | None]], at_once: int
) -> Any:
    """The facts of n recorded steps, in order, without those that are None. When they are too large for a result, they
    go to a file (`write`). Raises NonRetryable above MAX_TOGETHER."""
    facts: dict[int, str] = {}
    numbers = iter(range(1, n + 1))
    done = size = 0

    async def work() -> None:
        nonlocal done, size
        for number in numbers:
            fact = await ctx.step(f"fact-{number}", ask_one, ctx)
            if fact is not None:
                facts[number] = fact
                size += len(fact)
            if size > MAX_TOGETHER:  # fail now, not after ten thousand calls
                raise NonRetryable(f"the facts are larger than {MAX_TOGETHER} characters together; ask for fewer")
            done += 1
            await ctx.progress(done, n)

    workers = [asyncio.create_task(work()) for _ in range(min(at_once, n))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    ordered = [facts[number] for number in sorted(facts)]
    text = codec.encode(ordered).encode()
    return ordered if len(text) <= ctx.settings.max_result else await ctx.step("file", write, ctx, len(ordered), text)


def write(ctx: TaskContext, count: int, text: bytes) -> dict[str, Any]:
    """Write facts that are too large for a result into a file for the owner of the task."""
    name = artifacts.file_name("cats", ctx.task_id, "json")
    ctx.files.write(artifacts.FOLDER, name, text)
    return {"facts": count, "file_url": artifacts.file_url(name)}


async def ask_or_leave_out(ctx: TaskContext) -> str | None:
    """One fact; None when the upstream's limit is reached."""
    try:
        return await ask_at_once(ctx)
    except UpstreamLimit:
        return None


async def ask_at_once(ctx: TaskContext) -> str:
    """One fact, requested at once. Raises as `ask`."""
    async with limited(ctx, wait=False) as limit:
        try:
            return await ask(ctx)
        except UpstreamLimit as error:
            if error.retry_after is not None:
                await limit.hold(error.retry_after)
            raise


async def ask_in_turn(ctx: TaskContext) -> str:
    """One fact, requested when the limit allows it. When the upstream still answers 429, all callers of the limit wait
    and this call is repeated. Raises UpstreamTimeout, UpstreamError after three failed calls."""
    pauses = iter(PAUSES)
    while True:
        async with limited(ctx) as limit:
            try:
                return await ask(ctx)
            except UpstreamLimit as error:
                await limit.hold(error.retry_after)
                continue
            except UpstreamError:
                if (pause := next(pauses, None)) is None:
                    raise
        await asyncio.sleep(pause)


def limited(ctx: TaskContext, wait: bool = True) -> AbstractAsyncContextManager[Any]:
    """One call under the upstream's limit, which all three kinds share."""
    settings = ctx.settings
    return ctx.limit("cat-facts", settings.cat_facts_limit, settings.cat_facts_window, wait=wait)


async def ask(ctx: TaskContext) -> str:
    """One call, one fact. Raises UpstreamLimit, UpstreamTimeout, UpstreamError."""
    url = ctx.settings.cat_facts_url
    started = time.monotonic()
    status: int | str = "no answer"
    try:
        async with asyncio.timeout(SECONDS), ctx.http.stream("GET", url, headers=HEADERS) as response:
            status = response.status_code
            return await read(response)
    except httpx.PoolTimeout:
        raise UpstreamTimeout(
            "the upstream was not asked: as many calls to it as allowed wait for their answers"
        ) from None
    except (TimeoutError, httpx.TimeoutException):
        raise UpstreamTimeout(f"the upstream did not answer within {SECONDS:g} s") from None
    except httpx.HTTPError as error:
        raise UpstreamError(f"the upstream cannot be reached: {type(error).__name__}") from error
    finally:
        seconds = time.monotonic() - started
        host = urlsplit(url).hostname
        ctx.logger.info("cat fact from %s: %s after %.3f s", host, status, seconds, status=status, seconds=seconds)


async def read(response: httpx.Response) -> str:
    """The fact in an answer. Raises UpstreamLimit, UpstreamError."""
    if response.status_code == 429:
        raise UpstreamLimit(response.headers.get("Retry-After"))
    if response.status_code != 200:
        raise UpstreamError(f"the upstream answered {response.status_code}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise UpstreamError("the upstream's answer is packed, and was not asked to be")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_ANSWER:
            raise UpstreamError(f"the upstream's answer is larger than {MAX_ANSWER} bytes")
    try:
        return msgspec.json.decode(body, type=Fact).fact
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise UpstreamError("the upstream's answer is no cat fact") from None
