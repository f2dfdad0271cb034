"""The steps of the start: one that fails undoes those before it, and a stop undoes all of them, the last one first."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from quart_app import task
from quart_app.core.errors import StoreBroken
from quart_app.runtime import Runtime
from quart_app.runtime.life import Step
from quart_app.settings import Settings
from quart_app.store.sqlite.lock import FileLock
from tests.engine.conftest import Start
from tests.engine.engine import until

STEPS = [
    *("database", "parts", "connections", "keys", "exposure", "http-clients", "resources"),
    *("child-processes", "times", "outbound-limits", "client-limits", "claim-limits", "recovery"),
    *("upkeep", "runs", "dispatcher"),
]
OF_A_COMMAND = STEPS[:4]


@task("quick")
async def quick() -> str:
    return "done"


class _Recorded(Runtime):
    """Records each start (+) and stop (-) of a step that is done, and raises instead of the one named here."""

    fails_at = ""

    def _steps(self, exposed: Sequence[str]) -> Iterator[Step]:
        self.record: list[str] = []
        for name, start, stop in super()._steps(exposed):
            yield Step(name, self._recorded(f"+{name}", start), self._recorded(f"-{name}", stop))

    def _recorded(self, line: str, act: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[object]]:
        async def recorded() -> None:
            if line == self.fails_at:
                raise OSError(f"no {line}")
            await act()
            self.record.append(line)

        return recorded


def _runtime(folder: Path, **more: Any) -> _Recorded:
    runs: list[asyncio.Task[Any]] = []
    settings = Settings(data_dir=str(folder), drain_seconds=0.0)
    return _Recorded(settings, lambda f, *args: runs.append(asyncio.create_task(f(*args))), [quick], **more)


def _left(threads: set[threading.Thread], folder: Path) -> list[object]:
    """What a runtime has left behind: threads other than these, tasks of the loop, open files of its folder."""
    of_pool = "asyncio_"  # the loop keeps those of its own pool
    newer = [one for one in set(threading.enumerate()) - threads if not one.name.startswith(of_pool)]
    files = [str(file.resolve()) for file in Path("/proc/self/fd").iterdir()]
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    return [*newer, *tasks, *(one for one in files if str(folder.resolve()) in one)]


async def _left_nothing(threads: set[threading.Thread], folder: Path) -> None:
    await until(lambda: not _left(threads, folder), "the threads, tasks and files")
    lock = FileLock(Settings(data_dir=str(folder)).database_path)
    lock.acquire()  # raises StoreBusy when it is held
    lock.release()
    with pytest.raises(RuntimeError, match="inside a running app"):
        await quick.enqueue()


async def _works(folder: Path) -> None:
    runtime = _runtime(folder)
    await runtime.open()
    try:
        assert await (await quick.enqueue()).result() == "done"
    finally:
        await runtime.close()


@pytest.mark.parametrize(("idle", "steps"), [(False, STEPS), (True, OF_A_COMMAND)], ids=["server", "command"])
async def test_a_stop_undoes_the_steps_of_the_start_the_last_one_first(
    tmp_path: Path, idle: bool, steps: list[str]
) -> None:
    before = set(threading.enumerate())
    runtime = _runtime(tmp_path, idle=idle)
    await runtime.open()
    assert runtime.record == [f"+{name}" for name in steps]
    runtime.record.clear()
    await runtime.close()
    assert runtime.record == [f"-{name}" for name in reversed(steps)]
    await _left_nothing(before, tmp_path)


@pytest.mark.parametrize("name", STEPS)
async def test_a_start_that_fails_at_a_step_undoes_those_before_it(tmp_path: Path, name: str) -> None:
    await _works(tmp_path)
    before = set(threading.enumerate())
    runtime = _runtime(tmp_path)
    runtime.fails_at = f"+{name}"
    with pytest.raises(StoreBroken, match=f"no .{name}"):
        await runtime.open()
    done = STEPS[: STEPS.index(name)]
    assert runtime.record == [*(f"+{one}" for one in done), *(f"-{one}" for one in reversed(done))]
    await _left_nothing(before, tmp_path)
    await _works(tmp_path)


async def test_a_start_that_is_cancelled_leaves_nothing_whatever_the_moment(tmp_path: Path) -> None:
    await _works(tmp_path)
    before = set(threading.enumerate())
    cancelled = 0
    for turns in range(0, 400, 8):
        runtime = _runtime(tmp_path)
        opening = asyncio.create_task(runtime.open(), name="opening")
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
        if opening.cancelled():
            cancelled += 1
        else:
            opening.result()
            await runtime.close()
        await until(lambda: not _left(before, tmp_path), f"what it opened, after {turns} turns")
    assert cancelled > 0
    await _works(tmp_path)


async def test_an_error_of_one_reverse_keeps_no_other_from_being_undone(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    runtime = _runtime(tmp_path)
    runtime.fails_at = "-keys"
    await runtime.open()
    with pytest.raises(OSError, match="no -keys"):
        await runtime.close()
    await _left_nothing(before, tmp_path)


async def test_a_start_that_is_refused_leaves_the_server_that_runs_as_it_is(start: Start, tmp_path: Path) -> None:
    engine = await start()
    refused = _runtime(tmp_path)
    with pytest.raises(Exception, match="already"):
        await refused.open()
    assert refused.record == []
    assert (await engine.run("quick")).status == "completed"
    assert await (await quick.enqueue()).result() == "done"
