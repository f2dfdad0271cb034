"""One attempt of a task: start, perform, decide, record. Never raises, whatever a handler does."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from structlog.contextvars import bind_contextvars

from quart_app.clock import Clock
from quart_app.core import codec, lifecycle
from quart_app.core.errors import ClaimLost, InvalidArgs, StoreUnavailable
from quart_app.core.flow import ForChildren, ForSignal, Sleeping
from quart_app.core.lifecycle import Cancelled, MustWait, Outcome, Raised, Stopped, Unregistered
from quart_app.core.retry import Backoff
from quart_app.core.task import Claimed, OnEnd, TaskError, ignore
from quart_app.engine import failures
from quart_app.engine.calling import call
from quart_app.engine.context import TaskContext
from quart_app.engine.kind import TaskKind
from quart_app.engine.lingering import Lingering
from quart_app.engine.processes.pool import Processes
from quart_app.engine.registry import Registry
from quart_app.engine.retry_store_call import WITHIN_RUN, retry_store_call
from quart_app.engine.run import Run
from quart_app.engine.services import Services
from quart_app.engine.stack_notes import AT_TIMEOUT, IGNORES, Stacks
from quart_app.process import forks
from quart_app.store.protocols.tasks import EndAnswer, Store

log = logging.getLogger("quart_app.runner")

GRACE: Final = 5.0  # seconds a handler has to end after it was cancelled
STOP_GRACE: Final = 0.5  # the same when the server stops: its drain time is over already
MAX_LINGERING: Final = 50

UNRECORDABLE: Final = TaskError(
    "runner_error", "how the run ended could not be recorded; the server's log says why", retryable=False
)

# The outcome that `on_end` gets: the status when the task has ended, the cause when it goes on.
OUTCOMES: Final[dict[type[lifecycle.Decision], str]] = {
    lifecycle.Complete: "completed",
    lifecycle.Fail: "failed",
    lifecycle.Cancel: "cancelled",
    lifecycle.RetryAt: "retry",
    lifecycle.Release: "release",
    lifecycle.Suspend: "suspend",
    lifecycle.SuspendFor: "suspend",
}


class Runner:
    def __init__(
        self, store: Store, registry: Registry, clock: Clock, services: Services, processes: Processes
    ) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._services = services
        self._processes = processes
        self.runs: dict[str, Run] = {}
        self.stacks = Stacks(self.runs, registry, processes, clock, services.settings.data_path)
        self.lingering = Lingering(clock)
        self.refused_writes = 0
        self._idle = asyncio.Event()
        self.on_free: Callable[[Claimed], None] = lambda task: None  # its slot is free
        self.on_over: Callable[[], None] = lambda: None
        self.on_headway: Callable[[Claimed], None] = lambda task: None
        self.on_end: OnEnd = ignore
        self._tells = log.isEnabledFor(logging.DEBUG)  # read once: without debug lines a run should cost nothing more

    def prepare(self, task: Claimed) -> Run:
        """Register a claimed task, so that a cancel finds it before its first line has run."""
        run = self.runs[task.id] = Run(task)
        self._idle.clear()
        return run

    def held(self) -> set[tuple[str, int]]:
        """The tasks and fences of all runs here."""
        return {(run.task.id, run.task.fence) for run in self.runs.values()}

    def cancel(self, task_id: str) -> None:
        """Deliver a recorded cancel to the run, if it is in this process."""
        if (run := self.runs.get(task_id)) is not None:
            run.interrupt("cancel")

    def stop(self) -> None:
        """Interrupt every run after the drain time; their rows are released."""
        for run in list(self.runs.values()):
            run.interrupt("stop")

    async def wait_idle(self, timeout: float) -> None:
        """Wait until no task runs, at most `timeout` seconds."""
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
        """Run one claimed task to a recorded end. Never raises: one CancelledError aborts Quart's whole shutdown."""
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
            self._leave_slot(run)
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
            self._leave_slot(run)
            if self.runs.get(task.id) is run:  # not a later run, claimed while this one, its claim lost, was ending
                del self.runs[task.id]
            if not self.runs:
                self._idle.set()
            self.on_over()

    def _leave_slot(self, run: Run) -> None:
        """Free the slot before the end is recorded, so that the next task is claimed in the same transaction (uvicorn:
        a third more tasks/s)."""
        if not run.has_slot:
            return
        run.has_slot = False
        if run.inner is not None and not run.inner.done():
            self.lingering.add(run.task.id, run.inner)
        if run.context is not None and run.context.threads:
            for thread in run.context.threads:
                self.lingering.add(run.task.id, thread)
        self.on_free(run.task)

    # --- perform

    async def _perform(self, run: Run) -> Outcome | None:
        """None: the claim was lost, there is nothing to record."""
        task = run.task
        if task.cancel_requested:  # requested from an earlier run that was released before it saw the request
            return Cancelled()
        kind = self._registry.get(task.kind)
        if kind is None:
            return Unregistered()
        try:
            args = kind.parse(codec.loads(task.args)) if task.args != "{}" or kind.args_type is not None else {}
        except InvalidArgs as error:
            return Raised(TaskError("invalid_args", codec.clean(str(error), failures.MAX_ERROR)), retryable=False)
        context = run.context = TaskContext(task, args, self._store, self._clock, self._services)
        if task.crashes:
            context.recorder.on_headway = self.on_headway
        if task.has_steps:
            await context.load_steps()
        inner = run.inner = asyncio.get_running_loop().create_task(self._handle(run, kind, context, args))
        inner.add_done_callback(run.ended)
        if kind.executor != "process":  # there the timeout starts when a child is free
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
            pass  # the next write is refused as well, and counted there
        if run.notes or run.noting:
            await self.stacks.write(run)
        return outcome

    async def _handle(
        self, run: Run, kind: TaskKind[..., Any], context: TaskContext, args: dict[str, Any]
    ) -> Outcome | None:
        """Call the handler. Catches everything, SystemExit too: a Task would pass that on and stop the loop."""
        # The context of the request that made the task is not here: the ids of the log lines come from the row.
        WITHIN_RUN.set(True)
        bind_contextvars(task_id=run.task.id)
        if run.task.traceparent is not None:
            bind_contextvars(traceparent=run.task.traceparent)
        try:
            ignored = partial(self.stacks.ignored, run)
            return await call(run, kind, context, args, self._registry.arounds_of(kind), self._processes, ignored)
        except ClaimLost:
            self.refused_writes += 1
            log.warning("run lost its claim and stops", extra={"task_id": run.task.id})
            return None
        except BaseException as error:
            if forks.is_child():
                forks.leave(error)
            suspension = context.recorder.suspension
            if not suspension.raised:
                return failures.raised(kind, error)
            if suspension.wait is not None and suspension.left_by(error):
                return MustWait(suspension.wait)
            beside = suspension.beside(error)
            return failures.swallowed() if beside is None else failures.raised(kind, beside)

    async def _interrupt(
        self, run: Run, kind: TaskKind[..., Any], inner: asyncio.Task[Outcome | None]
    ) -> Outcome | None:
        """End a handler that has not ended by itself. If it does not end, it is left behind and its slot is freed."""
        if run.reason == "timeout":
            await self.stacks.take(run, AT_TIMEOUT)
        if not run.in_thread:  # a thread cannot be cancelled; it sees ctx.cancelled
            inner.cancel()
        grace = STOP_GRACE if run.reason == "stop" else GRACE
        try:
            await asyncio.wait([inner], timeout=grace)
        except asyncio.CancelledError:  # the server cancels this wait; a cancel by a client still counts
            run.reason = run.reason if run.reason == "cancel" else "stop"
        if not inner.done():
            log.warning("handler ignores its %s and is left behind", run.reason, extra={"task_id": run.task.id})
            if run.reason != "stop":
                await self.stacks.take(run, IGNORES)
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
        """Decide, write the end, and call `on_end` with what was written."""
        kind = self._registry.get(task.kind)
        backoff = kind.options.backoff if kind is not None else Backoff()
        decision = lifecycle.after_run(task, outcome, self._clock.now(), backoff, random.random)
        try:
            recorded = await self._write(task, decision)
        except (StoreUnavailable, asyncio.CancelledError):
            raise
        except Exception:  # the store refuses this end; without another one the row would stay `processing`
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
        """Write the decision under the run's fence. Returns the outcome for `on_end`, or None when another run holds
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
            case lifecycle.SuspendFor(Sleeping() as wait):
                call = partial(self._services.flow_store.sleep, key, fence, wait)
            case lifecycle.SuspendFor(ForChildren() as wait):
                call = partial(self._services.flow_store.wait_for_children, key, fence, wait)
            case lifecycle.SuspendFor(ForSignal() as wait):
                call = partial(self._services.flow_store.wait_for_signal, key, fence, wait)
        answer = await retry_store_call(lambda: call(now()), self._clock)
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
