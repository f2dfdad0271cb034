"""One attempt of a task: start, perform, decide, record. Never raises, whatever a handler does."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from structlog.contextvars import bind_contextvars

from quart_app import forks
from quart_app.clock import Clock
from quart_app.core import codec, lifecycle
from quart_app.core.errors import ClaimLost, InvalidArgs, StoreUnavailable
from quart_app.core.lifecycle import Cancelled, Outcome, Raised, Stopped, Succeeded, Unregistered
from quart_app.core.retry import Backoff
from quart_app.core.task import Claimed, Ended, TaskError, nobody
from quart_app.runner import failures
from quart_app.runner.blocking import BlockingTaskContext
from quart_app.runner.context import Doors, TaskContext
from quart_app.runner.insist import WITHIN_RUN, insist
from quart_app.runner.lingering import Lingering
from quart_app.runner.processes import Processes
from quart_app.runner.registry import Registry, TaskKind
from quart_app.runner.steps import encode_bounded
from quart_app.runner.threads import in_thread
from quart_app.store.base import EndAnswer, Store

log = logging.getLogger("quart_app.runner")

GRACE: Final = 5.0  # seconds a handler has to end after it was cancelled
STOP_GRACE: Final = 0.5  # the same when the server stops: its drain time is over already
MAX_LINGERING: Final = 50

UNRECORDABLE: Final = TaskError(
    "runner_error", "how the run ended could not be recorded; the server's log says why", retryable=False
)

# What `on_end` is told a run ended with: the statuses for the final ones, the cause where the task goes on.
OUTCOMES: Final[dict[type[lifecycle.Decision], str]] = {
    lifecycle.Complete: "completed",
    lifecycle.Fail: "failed",
    lifecycle.Cancel: "cancelled",
    lifecycle.RetryAt: "retry",
    lifecycle.Release: "release",
    lifecycle.Suspend: "suspend",
}


class Run:
    """One claimed task in this process. `interrupt` says why the handler must end; the first reason wins, but for a
    cancel after the time limit, and none comes after the handler's own end."""

    __slots__ = ("_timer", "context", "inner", "reason", "task", "verdict")

    def __init__(self, task: Claimed) -> None:
        self.task = task
        self.reason = ""
        self.context: TaskContext | None = None
        self.inner: asyncio.Task[Outcome | None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.verdict: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def interrupt(self, reason: str) -> None:
        if self.verdict.done() or (self.inner is not None and self.inner.done()):
            if reason == "cancel" and self.reason == "timeout":
                self.reason = reason  # it is promised, and the time limit would only try again
            return
        self.reason = reason
        if self.context is not None:
            self.context.cancelled = True
        self.verdict.set_result(None)

    def arm(self) -> None:
        """Start the time limit; by the monotonic clock, because a step of the wall clock must not end a run."""
        self._timer = asyncio.get_running_loop().call_later(
            min(self.task.timeout_ms / 1000, 10**7), self.interrupt, "timeout"
        )

    def disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def ended(self, _inner: object) -> None:
        if not self.verdict.done():
            self.verdict.set_result(None)


class Runner:
    def __init__(self, store: Store, registry: Registry, clock: Clock, doors: Doors, processes: Processes) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._doors = doors
        self._processes = processes
        self.runs: dict[str, Run] = {}
        self.lingering = Lingering(clock)
        self.refused_writes = 0
        self._idle = asyncio.Event()
        self.on_free: Callable[[Claimed], None] = lambda task: None
        self.on_headway: Callable[[Claimed], None] = lambda task: None
        self.on_end: Ended = nobody
        self._tells = log.isEnabledFor(logging.DEBUG)  # asked once: a run should not pay for silence

    def prepare(self, task: Claimed) -> Run:
        """Register a claimed task, so that a cancel finds it before its first line has run."""
        run = self.runs[task.id] = Run(task)
        self._idle.clear()
        return run

    def held(self) -> set[tuple[str, int]]:
        """The tasks and fences of all runs here."""
        return {(run.task.id, run.task.fence) for run in self.runs.values()}

    def cancel(self, task_id: str) -> None:
        """Deliver a cancel that is on record to the run, if it is here."""
        if (run := self.runs.get(task_id)) is not None:
            run.interrupt("cancel")

    def stop(self) -> None:
        """The drain time is over: interrupt every run; their rows are released."""
        for run in list(self.runs.values()):
            run.interrupt("stop")

    async def wait_idle(self, timeout: float) -> None:
        """Until no task runs, at most `timeout` seconds."""
        if self.runs:
            try:
                async with asyncio.timeout(max(timeout, 0.0)):  # wait_for of Python 3.11 can swallow a cancel
                    await self._idle.wait()
            except TimeoutError:
                pass

    @property
    def healthy(self) -> bool:
        return len(self.lingering) < MAX_LINGERING

    async def run(self, run: Run) -> None:
        """Run one claimed task to a recorded end. Given to `add_background_task`, which must never see it raise:
        one CancelledError there aborts Quart's whole shutdown."""
        task = run.task
        started = self._clock.monotonic()
        if self._tells:
            self._tell(task, "starts")
        try:
            try:
                outcome = await self._perform(run)
            except asyncio.CancelledError:  # the server cancels its background tasks
                outcome = Stopped()
            except StoreUnavailable:
                raise
            except BaseException as error:  # a fault of ours must not leave the row `processing` for ever
                log.exception("the runner itself failed", extra={"task_id": task.id})
                outcome = Raised(failures.described("runner_error", error), False)
            if outcome is not None:
                seconds = self._clock.monotonic() - started if run.context is not None else None
                await self._record(task, outcome, seconds)
        except asyncio.CancelledError:
            pass
        except StoreUnavailable as error:
            log.warning("the end of a run was not recorded: %s", error, extra={"task_id": task.id})
        except BaseException:
            log.exception("the runner itself failed", extra={"task_id": task.id})
        finally:
            self._keep_what_goes_on(run)
            if self.runs.get(task.id) is run:  # not a later run, claimed while this one, its claim lost, wound down
                del self.runs[task.id]
            if not self.runs:
                self._idle.set()
            self.on_free(task)

    def _keep_what_goes_on(self, run: Run) -> None:
        """Take note of the code of a run that is over."""
        if run.inner is not None and not run.inner.done():
            self.lingering.add(run.task.id, run.inner)
        if run.context is not None and run.context.threads:
            for thread in run.context.threads:
                self.lingering.add(run.task.id, thread)

    # --- perform

    async def _perform(self, run: Run) -> Outcome | None:
        """None: the claim was lost, there is nothing to record."""
        task = run.task
        if task.cancel_requested:  # asked of an earlier run that was released before it saw it
            return Cancelled()
        kind = self._registry.get(task.kind)
        if kind is None:
            return Unregistered()
        try:
            args = kind.parse(codec.loads(task.args)) if task.args != "{}" or kind.args_type is not None else {}
        except InvalidArgs as error:
            return Raised(TaskError("invalid_args", codec.clean(str(error), failures.MAX_ERROR)), retryable=False)
        context = run.context = TaskContext(task, args, self._store, self._clock, self._doors)
        if task.crashes:
            context.on_headway = self.on_headway
        if task.has_steps:
            await context.load_steps()
        inner = run.inner = asyncio.get_running_loop().create_task(self._handle(run, kind, context, args))
        inner.add_done_callback(run.ended)
        if kind.executor != "process":  # there the time runs from when a child is free
            run.arm()
        try:
            await run.verdict
        except asyncio.CancelledError:
            if not inner.done():
                run.reason = "stop"
                context.cancelled = True
        finally:
            run.disarm()
        if inner.done() and run.reason != "stop":
            outcome = inner.result()
        else:
            outcome = await self._interrupt(run, kind, inner)
        try:
            await context.flush()
        except ClaimLost:
            pass  # what is recorded next is refused as well, and counted there
        return outcome

    async def _handle(
        self, run: Run, kind: TaskKind[..., Any], context: TaskContext, args: dict[str, Any]
    ) -> Outcome | None:
        """Call the handler. Catches everything, SystemExit too: a Task would pass that on and stop the loop."""
        # Whoever made the task is not in this context: the row carries what its lines are to be found by.
        WITHIN_RUN.set(True)
        bind_contextvars(task_id=run.task.id)
        if run.task.traceparent is not None:
            bind_contextvars(traceparent=run.task.traceparent)
        try:
            if kind.executor == "async":
                value = await (kind.function(context, **args) if kind.takes_context else kind.function(**args))
            elif kind.executor == "thread":
                first = (BlockingTaskContext(context, asyncio.get_running_loop()),) if kind.takes_context else ()
                value = await in_thread(lambda: kind.function(*first, **args), f"task-{run.task.id}")
                if inspect.iscoroutine(value):
                    value.close()
                    raise TypeError("a `def` handler returned a coroutine; declare it `async def`")
            else:
                return Succeeded(await self._processes.run(kind, run.task, context, run.arm))
            if forks.is_child():
                forks.leave(None)
            return Succeeded(encode_bounded(value, self._doors.settings.max_result))
        except ClaimLost:
            self.refused_writes += 1
            log.warning("run lost its claim and stops", extra={"task_id": run.task.id})
            return None
        except BaseException as error:
            if forks.is_child():
                forks.leave(error)
            return failures.raised(kind, error)

    async def _interrupt(
        self, run: Run, kind: TaskKind[..., Any], inner: asyncio.Task[Outcome | None]
    ) -> Outcome | None:
        """End a handler that has not ended by itself; one that will not is left behind and its slot freed."""
        if kind.executor != "thread":  # a thread cannot be cancelled; it sees ctx.cancelled
            inner.cancel()
        grace = STOP_GRACE if run.reason == "stop" else GRACE
        try:
            await asyncio.wait([inner], timeout=grace)
        except asyncio.CancelledError:  # the server gives up on us meanwhile; an answered cancel still counts
            run.reason = run.reason if run.reason == "cancel" else "stop"
        if not inner.done():
            log.warning("handler ignores its %s and is left behind", run.reason, extra={"task_id": run.task.id})
        match run.reason:
            case "stop":
                return Stopped()
            case "cancel":
                return Cancelled()
            case _:
                message = f"the attempt took longer than {run.task.timeout_ms / 1000:g} s"
                return Raised(TaskError("timeout", message))

    # --- record

    async def _record(self, task: Claimed, outcome: Outcome, seconds: float | None) -> None:
        """Decide and write, and tell `on_end` what was written."""
        kind = self._registry.get(task.kind)
        backoff = kind.options.backoff if kind is not None else Backoff()
        decision = lifecycle.after_run(task, outcome, self._clock.now(), backoff, random.random)
        try:
            recorded = await self._write(task, decision)
        except (StoreUnavailable, asyncio.CancelledError):
            raise
        except Exception:  # the store refuses this very end; without another one the row would stay `processing`
            log.exception("the end of a run cannot be recorded", extra={"task_id": task.id})
            recorded = await self._write(task, lifecycle.Fail(UNRECORDABLE))
        if recorded is not None:
            self.on_end(task.kind, recorded, seconds)
            if self._tells:
                took = "" if seconds is None else f" in {seconds:.1f} s"
                self._tell(task, f"{recorded}{took}")
        else:
            self.refused_writes += 1
            log.warning("run lost its claim; its end was not recorded", extra={"task_id": task.id})

    async def _write(self, task: Claimed, decision: lifecycle.Decision) -> str | None:
        """Write the decision under the run's fence. What it came to, in the words of `on_end`; None when another holds
        the task by now."""
        store, key, fence, now = self._store, task.id, task.fence, self._clock.now
        call: Callable[[int], Awaitable[EndAnswer | bool]]
        match decision:
            case lifecycle.Complete(result):
                call = partial(store.complete, key, fence, result)
            case lifecycle.RetryAt(run_at, error):
                self._report("will be tried again", task, error)
                call = partial(store.retry, key, fence, error, run_at)
            case lifecycle.Fail(error):
                self._report("failed", task, error)
                call = partial(store.fail, key, fence, error)
            case lifecycle.Cancel():
                call = partial(store.end_cancelled, key, fence)
            case lifecycle.Release():
                call = partial(store.release, key, fence, task.queue)
            case lifecycle.Suspend(waiting_for):
                log.warning("no handler for kind %s; the task waits", task.kind, extra={"task_id": key})
                call = partial(store.suspend, key, fence, waiting_for)
        answer = await insist(lambda: call(now()), self._clock)
        if answer == "cancelled":
            return answer
        return OUTCOMES[type(decision)] if answer else None

    def _report(self, what: str, task: Claimed, error: TaskError) -> None:
        log.warning(
            "%s %s (attempt %d of %d): %s: %s",
            task.kind,
            what,
            task.attempt,
            task.max_attempts,
            error.type,
            error.message[:500],
            extra={"task_id": task.id, "trace": error.traceback},
        )

    def _tell(self, task: Claimed, what: str) -> None:
        log.debug(
            "%s %s (attempt %d of %d)", task.kind, what, task.attempt, task.max_attempts, extra={"task_id": task.id}
        )
