"""Daemon threads for users' blocking code. The default executor is not used: asyncio.run and the interpreter's exit
both wait for its threads without limit."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

from quart_app.process import forks

T = TypeVar("T")


async def in_thread(function: Callable[[], T], name: str, threads: set[asyncio.Future[None]] | None = None) -> T:
    """Run a blocking function in a thread of its own. When the caller is cancelled the thread goes on and its result
    is dropped. `threads` holds a future until the thread ends; the future is done then."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    ended: asyncio.Future[None] = loop.create_future()
    context = contextvars.copy_context()

    def deliver(result: T | None, error: BaseException | None) -> None:
        ended.set_result(None)
        if future.cancelled():
            return
        if error is None:
            future.set_result(result)  # type: ignore[arg-type]
        elif isinstance(error, StopIteration):  # a future refuses it
            future.set_exception(RuntimeError("StopIteration"))
        else:
            future.set_exception(error)

    def work() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = context.run(function)
        except BaseException as error:
            failure = error
        if forks.is_child():
            forks.leave(failure)
        try:
            loop.call_soon_threadsafe(deliver, result, failure)
        except RuntimeError:
            pass  # the loop is closed: no caller waits for the result

    thread = threading.Thread(target=work, name=name[:60], daemon=True)  # stacks.py looks for this name
    thread.start()
    if threads is not None:
        threads.add(ended)
        ended.add_done_callback(threads.discard)
    return await future
