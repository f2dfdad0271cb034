"""Calls a handler where its kind runs: on the loop, in a thread, in a child process; inside of its arounds."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from quart_app.core.lifecycle import Succeeded
from quart_app.engine.arounds import Around, within
from quart_app.engine.blocking_context import BlockingTaskContext
from quart_app.engine.context import TaskContext
from quart_app.engine.kind import TaskKind
from quart_app.engine.processes.pool import Processes
from quart_app.engine.run import Run
from quart_app.engine.steps import encode_bounded
from quart_app.engine.threads import in_thread
from quart_app.process import forks


async def call(
    run: Run,
    kind: TaskKind[..., Any],
    context: TaskContext,
    args: dict[str, Any],
    arounds: Sequence[Around],
    processes: Processes,
    ignored: Callable[[], Awaitable[None]],
) -> Succeeded:
    """Run the handler to its result. One with executor="process" has no arounds. Raises what the handler raises;
    SuspensionSwallowed, NotJson, ResultTooLarge. The arounds see these errors too. `ignored` is called when a child
    ignores that it shall end."""
    if kind.executor == "process":
        return Succeeded(await processes.run(kind, run.task, context, run.arm, ignored))
    if not arounds:
        return await _call(run, kind, context, args)
    result = await within(arounds, context, context.recorder.suspension, lambda: _call(run, kind, context, args))
    if forks.is_child():
        forks.leave(None)
    return result


async def _call(run: Run, kind: TaskKind[..., Any], context: TaskContext, args: dict[str, Any]) -> Succeeded:
    try:
        if kind.executor == "async":
            value = await (kind.function(context, **args) if kind.takes_context else kind.function(**args))
        else:
            value = await _in_thread(run, kind, context, args)
    except BaseException as error:
        if forks.is_child():  # a copy of the handler's process leaves here: it runs no code of the arounds
            forks.leave(error)
        raise
    if forks.is_child():
        forks.leave(None)
    context.recorder.suspension.check_end()
    return Succeeded(encode_bounded(value, context.settings.max_result))


async def _in_thread(run: Run, kind: TaskKind[..., Any], context: TaskContext, args: dict[str, Any]) -> Any:
    first = (BlockingTaskContext(context, asyncio.get_running_loop()),) if kind.takes_context else ()
    run.in_thread = True
    try:
        value = await in_thread(lambda: kind.function(*first, **args), f"task-{run.task.id}")
    finally:
        run.in_thread = False
    if inspect.iscoroutine(value):
        value.close()
        raise TypeError("a `def` handler returned a coroutine; declare it `async def`")
    return value
