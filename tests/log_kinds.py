"""Kinds that write log lines in every way there is."""

from __future__ import annotations

import logging
import threading
from typing import Any

import structlog

from quart_app import TaskContext, task

own = logging.getLogger("shop.orders")
log = structlog.get_logger("shop.structured")


async def helper() -> None:
    own.info("helper of %s", "a task", extra={"order": 17})


@task("chatty")
async def chatty(ctx: TaskContext) -> None:
    ctx.logger.info("plain %s %d", "words", 2)
    ctx.logger.info("with fields", width=800, name="cat.jpg", level="gold")
    await ctx.log("on record", colour="blue", event="e", task_id="forged")
    await helper()
    log.info("structured", cents=995)
    structlog.contextvars.bind_contextvars(customer="c-9")
    own.warning("bound by hand")
    try:
        raise ValueError("once\nin vain")
    except ValueError:
        ctx.logger.exception("caught")
    ctx.logger.info("%d apples", "no")


@task("threaded")
def threaded(ctx: Any) -> None:
    own.info("from the thread of the task")
    logger = ctx.logger
    other = threading.Thread(target=lambda: logger.info("from a thread of its own"))
    other.start()
    other.join()


@task("apart", executor="process")
def apart(ctx: Any) -> None:
    ctx.logger.warning("from the child %s", "process", width=3)
    logging.getLogger("shop.child").error("first\nsecond")
    logging.getLogger("shop.child").info("fine print")
