"""`memory=` and `recycle=` of kinds that run in child processes."""

from __future__ import annotations

import os
import sys

import pytest

from quart_app.engine.registry import Registry
from tests.engine import process_kinds
from tests.engine.conftest import Start
from tests.engine.engine import Engine, result, until

linux = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts what matters on Linux alone")


@pytest.fixture
async def engine(start: Start) -> Engine:
    registry = Registry()
    registry.add_module(process_kinds)
    return await start(kinds=registry)


@linux
async def test_one_attempt_over_its_memory_leaves_the_other_child_alone(engine: Engine) -> None:
    bystander = await engine.enqueue("computes")

    async def pid() -> int:
        return int((await bystander.get()).message or 0)

    await until(pid, "the pid of the other child")
    assert (await engine.run("eats", {"megabytes": 300})).error_type == "out_of_memory"
    os.kill(await pid(), 0)
    assert (await bystander.get()).status == "processing"
    assert result(await engine.run("square", {"x": 3})) == 9


@linux
async def test_the_error_is_retried_as_any_other(engine: Engine) -> None:
    done = await engine.run("eats-once")
    assert (result(done), done.attempt) == (2, 2)
    _, _, (error,) = await engine.history(done)
    assert (error.type, error.retryable) == ("out_of_memory", 1)
    failed = await engine.run("eats-for-good")
    assert (failed.error_type, failed.attempt, failed.error_retryable) == ("out_of_memory", 1, 0)


@linux
async def test_it_is_found_inside_of_a_group_of_errors(engine: Engine) -> None:
    assert (await engine.run("eats-inside-a-group")).error_type == "out_of_memory"


@linux
async def test_what_a_kind_without_a_limit_has_left_counts_against_nobody(engine: Engine) -> None:
    pid = result(await engine.run("keeps", {"megabytes": 300}))
    small = await engine.run("small")
    assert small.error_type is None
    assert result(small) != pid
    # Those with a limit share a child, and the one without goes on in its own.
    assert result(await engine.run("keeps", {"megabytes": 1})) == pid
    assert result(await engine.run("small")) == result(small)


@linux
async def test_the_limit_is_that_of_the_kind_alone(engine: Engine) -> None:
    """The child is the same one; the next kind has no limit."""
    pid = result(await engine.run("small"))
    assert result(await engine.run("keeps", {"megabytes": 300})) == pid


async def test_attempts_that_fail_count_for_the_next_child_too(engine: Engine) -> None:
    failed = await engine.run("twice", {"fails": True})
    pids = [int(failed.error_message or ""), *[result(await engine.run("twice")) for _ in range(2)]]
    assert pids[0] == pids[1] != pids[2]
