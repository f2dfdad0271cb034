"""Kinds that do to their process what no task should, and some library does."""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quart_app import task
from tests.acceptance.hostile import sleeper, thread

__all__ = ["sleeper", "thread"]
STOPS = (signal.SIGTERM, signal.SIGINT)
held: list[object] = []


def nothing(*_: object) -> None:
    pass


def hang(*_: object) -> None:
    threading.Event().wait()


def ignore() -> None:
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


def handle() -> None:
    for number in STOPS:
        signal.signal(number, nothing)


def handle_on_the_loop() -> None:
    for number in STOPS:
        asyncio.get_running_loop().add_signal_handler(number, nothing)


def stop_handling_on_the_loop() -> None:
    handle_on_the_loop()
    for number in STOPS:
        asyncio.get_running_loop().remove_signal_handler(number)


def block() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)


def ignore_in_c() -> None:
    for number in STOPS:
        ctypes.CDLL(None).signal(number, 1)


SIGNALS: dict[str, Callable[[], None]] = {
    one.__name__: one for one in (ignore, handle, handle_on_the_loop, stop_handling_on_the_loop, block, ignore_in_c)
}


@task("take-signals")
async def take_signals(how: str) -> None:
    SIGNALS[how]()


@task("look-at-signals")
async def look_at_signals() -> list[str]:
    """Who handles them, as Python knows it, and those that are blocked."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    return [repr(signal.getsignal(number)) for number in STOPS] + sorted(str(one) for one in blocked)


@task("use-up-memory")
async def use_up_memory(how: str) -> None:
    """No thread can be started any more, and no large object be made."""
    with open("/proc/self/statm") as statm:  # noqa: ASYNC230, PTH123
        size = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 2**20, resource.RLIM_INFINITY))
    if how == "every byte":
        piece = 2**20
        while piece >= 64:
            try:
                held.append(bytearray(piece))
            except MemoryError:
                piece //= 2
        held.clear()  # the loop must go on, in what is left of the heap


@task("poison-the-exit")
async def poison_the_exit() -> None:
    """Everything that an ordinary end of a Python process would wait for, or trip over."""
    atexit.register(hang)
    threading.Thread(target=hang, name="hangs").start()
    sys.excepthook = hang
    threading.excepthook = hang
    sys.exit = os._exit = signal.raise_signal = nothing  # type: ignore[assignment]
    threading.Thread = None  # type: ignore[assignment,misc]
    sys.stderr = sys.stdout = None  # type: ignore[assignment]
    asyncio.get_running_loop().set_exception_handler(lambda *_: sys.exit(3))


@task("cancel-all")
async def cancel_all() -> None:
    for one in asyncio.all_tasks():
        one.cancel()


@task("break-the-loop")
async def break_the_loop() -> None:
    loop: Any = asyncio.get_running_loop()
    os.close(loop._selector.fileno())


@task("move")
async def move() -> str:
    os.chdir("/")
    return str(Path.cwd())


@task("print")
async def print_everywhere() -> None:
    print("printed", flush=True)
    print("complained", file=sys.stderr, flush=True)
    for number in (1, 2):
        os.write(number, b"written\n")


@task("child-here", executor="process")
def child_here() -> float:
    return time.time()
