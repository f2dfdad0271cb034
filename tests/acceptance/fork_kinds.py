"""Kinds that make processes of their own, as users do. Each writes the processes it made into a journal, and waits for
the flag; a run that finds the flag set leaves nothing behind."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor

from quart_app import TaskContext, task
from tests.acceptance.hostile import exists, journal

LONG = 600.0


def wait_for(flag: str) -> None:
    while not exists(flag):
        time.sleep(0.02)


def end(pids: Iterable[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@task("makes-pool")
def makes_pool(path: str, flag: str, method: str) -> str:
    """In a thread. Leaving the pool sends SIGTERM to its processes and waits for them."""
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(abs, [-1, -2, -3]) == [1, 2, 3]
        pool.map_async(time.sleep, [LONG] * 2)
        journal(path, f"pool-{method}", *[process.pid for process in pool._pool])  # type: ignore[attr-defined]
        wait_for(flag)
    return method


@task("makes-executor")
async def makes_executor(path: str, flag: str) -> str:
    """On the loop, in the main thread."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as executor:
        assert await asyncio.get_running_loop().run_in_executor(executor, abs, -1) == 1
        if not exists(flag):
            executor.submit(time.sleep, LONG)
        journal(path, "executor", *executor._processes)
        while not exists(flag):  # noqa: ASYNC110 - it is another process that sets the flag
            await asyncio.sleep(0.02)
    return "executor"


@task("forks")
async def forks(path: str, flag: str) -> str:
    """A child, and a child of it in a session of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        if (grandchild := os.fork()) == 0:
            os.setsid()
        else:
            os.write(writing, f"{grandchild}".encode())
        signal.pause()
    journal(path, "fork", child, int(os.read(reading, 20)))
    while not exists(flag):  # noqa: ASYNC110 - it is another process that sets the flag
        await asyncio.sleep(0.02)
    end([child])
    return "fork"


@task("executes")
def executes(path: str, flag: str) -> str:
    """A program that inherits whatever can be inherited."""
    with subprocess.Popen(["sleep", str(LONG)], close_fds=False) as process:
        journal(path, "executed", process.pid)
        wait_for(flag)
        process.kill()
    return "executed"


@task("fork-leaves-async")
async def fork_leaves_async(ctx: TaskContext, how: str) -> int:
    return await _leave(how)


@task("fork-leaves-step")
async def fork_leaves_step(ctx: TaskContext, how: str) -> int:
    code: int = await ctx.step("leave", lambda: asyncio.run(_leave(how)))
    return code


@task("fork-leaves-thread")
def fork_leaves_thread(how: str) -> int:
    return asyncio.run(_leave(how))


@task("fork-leaves-task")
async def fork_leaves_task(how: str) -> int:
    """In an asyncio task of the user's own, which passes SystemExit on to the loop."""
    return await asyncio.create_task(_leave(how))


async def _leave(how: str) -> int:
    """The exit code of a child that leaves the handler."""
    if (child := os.fork()) == 0:
        match how:
            case "exits":
                sys.exit(3)
            case "raises":
                raise ValueError("in the child")
            case "waits":
                await asyncio.sleep(0.01)
        return 0
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])  # noqa: ASYNC222 - the child does not take long
