"""Where a handler is, asked for while it runs."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator

import pytest

from quart_app.core import secret
from quart_app.core.errors import TaskNotFound, WrongState
from quart_app.engine.processes import stack_pipe
from tests.engine import hanging
from tests.engine.conftest import Start
from tests.engine.engine import Engine, until


@pytest.fixture
async def engine(start: Start) -> AsyncIterator[Engine]:
    hanging.gate.close()
    yield await start(kinds=hanging.kinds())
    hanging.gate.open()


@pytest.mark.parametrize("way", hanging.WAYS)
async def test_the_stack_of_a_coroutine_goes_down_to_what_it_really_waits_for(engine: Engine, way: str) -> None:
    found = await hanging.frames(engine, await engine.enqueue("hangs", {"way": way}))
    names = [frame.function for frame in found]
    assert (names[0], found[0].code) == ("hangs", "await WAYS[way]()")
    assert way in names
    one = next(frame for frame in found if frame.function == "here")
    assert one == ("tests/engine/hanging.py", one.line, "here", "await gate.wait()  # the innermost")
    assert names[-2:] == ["Gate.wait", "Event.wait"]


@pytest.mark.parametrize(
    ("kind", "expected", "innermost"),
    [
        ("hangs-in-a-thread", ["hangs_in_a_thread", "Gate.wait_blocking", "Event.wait"], "Condition.wait"),
        ("hangs-in-a-step", ["hangs_in_a_step", "TaskContext.step", "Gate.wait_blocking"], "Condition.wait"),
        (
            "hangs-in-a-step-of-a-thread",
            ["hangs_in_a_step_of_a_thread", "BlockingTaskContext.step", "here", "Gate.wait"],
            "Event.wait",
        ),
    ],
)
async def test_the_stack_of_a_thread_is_found(engine: Engine, kind: str, expected: list[str], innermost: str) -> None:
    names = [frame.function for frame in await hanging.frames(engine, await engine.enqueue(kind))]
    assert [name for name in names if name in expected] == expected
    assert (names[0], names[-1]) == (expected[0], innermost)


async def test_a_stack_is_bounded_and_shows_the_innermost_frames(engine: Engine) -> None:
    found = await hanging.frames(engine, await engine.enqueue("deep"))
    assert len(found) == 100
    assert found[-1].function == "Event.wait"


async def test_a_stack_shows_no_secret(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = await engine.enqueue("hangs", {"way": "here"})
    monkeypatch.setattr(secret, "_values", ["innermost"])
    assert [frame.code for frame in await hanging.frames(engine, handle)][1] == "await gate.wait()  # the ***"


async def test_what_does_not_run_has_no_stack(engine: Engine) -> None:
    waiting = await engine.enqueue("hangs", {"way": "here"}, delay=3600)
    with pytest.raises(WrongState, match="does not run here, it is pending"):
        await engine.runtime.stacks.read(waiting.id, None)
    with pytest.raises(TaskNotFound):
        await engine.runtime.stacks.read(waiting.id, "another")
    running = await engine.enqueue("hangs", {"way": "here"})
    await hanging.frames(engine, running)
    hanging.gate.open()
    await engine.end(running)
    with pytest.raises(WrongState, match="it is completed"):
        await engine.runtime.stacks.read(running.id, None)


# --- child processes


async def test_a_child_that_computes_or_is_stuck_in_c_says_where_it_is(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy, stuck = await engine.enqueue("computes"), await engine.enqueue("stuck-in-c")
    for handle, code in ((busy, "sum(range(1000))"), (stuck, "libc.usleep(")):
        found = await hanging.frames(engine, handle) if handle is stuck else await hanging.once(engine, handle, code)
        assert found[0].file == "tests/engine/process_kinds.py"
        assert any(code in frame.code for frame in found)


async def test_a_child_that_was_stopped_does_not_say_and_one_that_wants_the_signal_lives(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_pipe, "ANSWER", 0.1)
    handle = await engine.enqueue("computes")
    await until(lambda: hanging.reported(handle), "the handler's first line")
    pid = int((await handle.get()).message or "")
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(WrongState, match="does not say where"):
        await engine.runtime.stacks.read(handle.id, None)
    os.kill(pid, signal.SIGCONT)
    other = await engine.enqueue("wants-the-signal")
    await until(lambda: hanging.reported(other), "the handler's first line")
    with pytest.raises(WrongState, match="does not say where"):
        await engine.runtime.stacks.read(other.id, None)
    assert (await other.get()).status == "processing"


async def test_a_task_that_waits_for_a_child_has_no_stack(start: Start) -> None:
    engine = await start(kinds=hanging.kinds(), cpu_slots=1)
    busy = await engine.enqueue("computes")
    await until(lambda: hanging.reported(busy), "the handler's first line")
    waiting = await engine.enqueue("square", {"x": 3})
    await engine.status(waiting, "processing")
    with pytest.raises(WrongState, match="does not run here"):
        await engine.runtime.stacks.read(waiting.id, None)
