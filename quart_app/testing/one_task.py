"""Runs one task to its end, with the tasks that it waits for; time passes when they wait for it."""

from __future__ import annotations

from collections.abc import Iterator

from quart_app.core import codec
from quart_app.core.errors import TaskNotFound
from quart_app.core.flow import SIGNAL_PREFIX
from quart_app.core.task import Task, TaskFilter
from quart_app.testing.life import Life
from quart_app.testing.lives import Lives
from quart_app.testing.script import Given, listed
from quart_app.testing.work import Work


class OneTask:
    def __init__(self, lives: Lives, work: Work, task_id: str, given: Given) -> None:
        self._lives = lives
        self._work = work
        self._id = task_id
        self._given = given

    async def run(self) -> None:
        """Raises AssertionError when it never ends, and for what was given and not asked for."""
        with self._work.at_work():
            while True:
                life = self._lives.now
                with self._work.unless_dead(life):
                    await life.settle()
                    if (task := self._read()).ended:
                        break
                    await self._step(task, life)
                if life.dead and life is self._lives.now:
                    await self._work.wait()
        self._check(task)

    def _read(self) -> Task:
        task = self._lives.now.reader.get(self._id)
        if task is None:
            raise TaskNotFound(self._id)
        return task

    async def _step(self, task: Task, life: Life) -> None:
        """One thing that brings it nearer to its end."""
        clock = self._lives.clock
        waiting = [one for one in self._family(task) if not one.ended]
        if any(one.status == "processing" for one in waiting):
            # One that takes long may wait for another task, which is none of its children.
            if not await self._work.wait() and (other := await life.claim(None)) is not None:
                self._work.start(life, other)
            return
        now = clock.now()
        for one in waiting:
            if _is_ready(one, now):
                self._work.start(life, await life.claim_this(one))
                await self._work.wait()
                return
        if await self._send_signal(task):
            return
        limits = {one.id: one.timeout_at for one in await life.family.waiting(None, 0, 0, 10_000)}
        times = [one.run_at if one.waiting_for in (None, "time") else limits.get(one.id) for one in waiting]
        later = [at for at in times if at is not None and at > now]
        if not later:
            raise AssertionError(f"{task.kind} never ends: {self._why(waiting)}")
        clock.pass_until(min(later))

    def _family(self, task: Task) -> Iterator[Task]:
        """The task, and what is below it where somebody waits for it."""
        yield task
        if task.children and task.waiting_for == "children":
            for child in self._lives.now.reader.find(TaskFilter(parent=task.id)):
                yield from self._family(child)

    async def _send_signal(self, task: Task) -> bool:
        name = _signal(task)
        if name is None or name in self._given.sent or name not in self._given.signals:
            return False
        self._given.sent.append(name)
        data = codec.encode(self._given.signals[name])
        await self._lives.now.family.signal(task.id, name, data, None, None)
        return True

    def _why(self, waiting: list[Task]) -> str:
        found = []
        for one in waiting:
            whose = "it" if one.id == self._id else f"its child of {one.kind}"
            if (name := _signal(one)) is not None:
                given = "once only" if name in self._given.sent else "with no such signal"
                found.append(f"{whose} waits for the signal {name!r}" + (f", given {given}" if whose == "it" else ""))
            elif one.waiting_for not in ("children", None):
                found.append(f"{whose} waits for {one.waiting_for}")
        return "; ".join(found) or "nothing that it waits for can happen"

    def _check(self, task: Task) -> None:
        given, ended = self._given, f"the task {task.status}"
        if task.error_type is not None:
            ended += f": {task.error_type}: {(task.error_message or '')[:300]}"
        if steps := [name for name in given.steps if name not in given.asked]:
            raise AssertionError(
                f"{task.kind} was given the step {listed(steps)}, which it never asked for;"
                f" it asked for {listed(given.asked)} ({ended})"
            )
        if signals := [name for name in given.signals if name not in given.sent]:
            raise AssertionError(
                f"{task.kind} was given the signal {listed(signals)}, which it never waited for;"
                f" it waited for {listed(given.sent)} ({ended})"
            )


def _is_ready(task: Task, now: int) -> bool:
    """Whether a pending task may start; limits and pauses do not count here."""
    why = task.waiting_for
    if why is None:
        return task.run_at <= now or task.cause == "suspend"  # one that was woken up keeps the time of its time-out
    return why == "paused" or why.startswith("limit:")


def _signal(task: Task) -> str | None:
    """The signal that it waits for."""
    why = task.waiting_for or ""
    return why.removeprefix(SIGNAL_PREFIX) if why.startswith(SIGNAL_PREFIX) else None
