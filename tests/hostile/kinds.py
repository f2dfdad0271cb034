"""Kinds of the attacked server: one that takes anything, one that says aloud what it was given."""

from __future__ import annotations

from typing import Any

from quart_app import NonRetryable, TaskContext, task


@task("echo")
async def echo(value: Any = None) -> Any:
    return value


@task("speak")
async def speak(ctx: TaskContext, text: str) -> None:
    """Puts the text wherever a handler can put one."""
    await ctx.log(text, field=text, **{text: 1})
    await ctx.progress(1, 2, text)
    ctx.logger.warning(text)
    ctx.logger.warning("%s", {"text": text})
    try:
        raise type("Odd\nName", (ValueError,), {})(text)
    except ValueError:
        ctx.logger.exception(text)
    await ctx.step(text[:200].replace("\x00", ""), str, text)
    raise NonRetryable(text)


@task("trip")
async def trip(text: str) -> None:
    """Fails with a traceback that holds the text."""
    raise RuntimeError(text)
