"""What a forked child of the server must not keep, and how it dies with the server.

`os.fork`, `multiprocessing` and `ProcessPoolExecutor` copy this process with all its open descriptors. A copy of the
locks and of the listening sockets that outlives the server would keep the next one from starting, a copy of a
connection would keep its client waiting for the end, and a copy of the event loop or of a SQLite connection would act
in the server's place. So right after each fork, in the child:

- the descriptors of the server (those given to `hide`, and all that its event loop watches) are replaced by one that
  permits no operation. They are not closed: code that still uses a number would then close, or write to, what the
  child opens next under it;
- SQLite connections (`never_close`) are never closed: the end of an open transaction would write to the index of the
  WAL, which is shared memory that the server uses;
- the child ends when its code returns to the event loop;
- SIGTERM ends the child, and it ignores Ctrl-C, which the server handles;
- the kernel sends SIGKILL to the child as soon as the server is gone (Linux).

The last point needs no thread, and no parent thread that must not end (a death signal, PR_SET_PDEATHSIG, is bound to
the thread that forked). The server alone has the writing end of a pipe. Each child opens the reading end anew and asks
for a signal when its state changes. That happens when the last writer closes the pipe.

A library that forks in C and does not run another program in the child is not covered by this.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import multiprocessing
import os
import select
import signal
import socket
import stat
import sys
import threading
import traceback
import weakref
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NoReturn

if sys.platform != "win32":
    import fcntl

_OURS: Final = (signal.SIGTERM, signal.SIGINT)


class _State:
    in_child = False
    loop: asyncio.AbstractEventLoop | None = None
    nothing = -1  # a descriptor that permits no operation; made beforehand, because a child may be at its limit
    reading = -1  # both ends of the pipe
    writing = -1

    def __init__(self) -> None:
        self.hidden: set[int] = set()
        self.connections: weakref.WeakSet[Any] = weakref.WeakSet()
        self.handlers: dict[int, Any] = {}
        self.masks: dict[int, Iterable[int]] = {}  # by thread


_state: Final = _State()


def is_child() -> bool:
    """Whether this process is a forked child of the one that imported this module."""
    return _state.in_child


def hide(descriptor: int) -> None:
    """Make each forked child lose this descriptor, until `forget`. Programs that are executed are not concerned: they
    get only the descriptors that are given to them."""
    _prepare()
    _state.hidden.add(descriptor)


def forget(descriptor: int) -> None:
    """Call this before the descriptor is closed: its number may be used for something else."""
    _state.hidden.discard(descriptor)


def never_close(connection: Any) -> None:
    """Make each forked child neither close, roll back nor finalize this connection, not even when the child ends."""
    _state.connections.add(connection)


def serve(loop: asyncio.AbstractEventLoop) -> None:
    """Record that this process serves with this loop. Call it after the signal handlers have been installed."""
    if (reading := life()) >= 0:
        _inherited()["quart_app"] = _Member(os.getpid(), reading, os.fstat(reading).st_ino)
    _state.loop = loop
    _keep_sockets()
    _state.handlers.update({number: signal.getsignal(number) for number in _OURS})


def stop_serving() -> None:
    _state.loop = None
    _state.handlers.clear()
    _inherited().pop("quart_app", None)


def _keep_sockets() -> None:
    """Hide the listening sockets. Some servers bind them before the app starts, and let programs inherit them too."""
    with contextlib.suppress(OSError):
        for descriptor in [int(path.name) for path in Path("/dev/fd").iterdir()]:
            with contextlib.suppress(OSError):
                if descriptor > 2 and os.get_inheritable(descriptor) and _is_server(descriptor):
                    os.set_inheritable(descriptor, False)
                    hide(descriptor)


def _is_server(descriptor: int) -> bool:
    """Whether this is a socket that has a name and no peer."""
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return False
    with socket.socket(fileno=os.dup(descriptor)) as found:
        try:
            found.getpeername()
        except OSError:
            return found.type == socket.SOCK_STREAM and bool(found.getsockname())
    return False


def _inherited() -> dict[str, Any]:
    """The dict that `multiprocessing` copies to every process that it starts. Python has no public name for it."""
    found: dict[str, Any] = getattr(multiprocessing.current_process(), "_config", {})
    return found


def life() -> int:
    """The reading end of a pipe whose writing end closes when this process ends, however it ends. -1: not on Linux."""
    if _state.reading < 0 and sys.platform == "linux":
        _prepare()
        _state.reading, _state.writing = os.pipe()
    return _state.reading


def die_with(descriptor: int, whom: int) -> None:
    """Have the kernel send SIGKILL to a process (or, when negative, to a process group) as soon as the pipe with this
    reading end has no writer left. Holds for as long as this process, or a program that it becomes, lives. Linux."""
    if sys.platform == "linux":
        # The kernel keeps the receiver of the signal with the open file, which the server shares under the old number.
        # So the file is opened anew.
        own = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(own, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(own, fcntl.F_SETOWN, whom)
        fcntl.fcntl(own, fcntl.F_SETFL, fcntl.fcntl(own, fcntl.F_GETFL) | os.O_ASYNC)
        os.dup2(own, descriptor)
        os.close(own)
        poll = select.poll()
        poll.register(descriptor, 0)
        if poll.poll(0):  # hung up before that
            os.kill(whom, signal.SIGKILL)


def adopt(descriptor: int) -> bool:
    """In a program that the server has started with the reading end: make this process group, and what it forks, die
    with the server. Returns whether the kernel does that."""
    try:
        die_with(descriptor, -os.getpgrp())
    except OSError:
        return False
    os.set_inheritable(descriptor, False)
    _state.reading = descriptor
    return True


def leave(error: BaseException | None) -> NoReturn:
    """End a forked child that comes back from the code that forked it: it is a copy of the server and must not go on
    as one. Exit codes and texts are those of a Python program that ends this way."""
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            sys.stderr.write(f"{error.code}\n")
    elif error is not None:
        code = 1
        with contextlib.suppress(Exception):
            traceback.print_exception(error)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code & 0xFF)


# --- around a fork


def _before_fork() -> None:
    """Block the signals. A SIGTERM that the child gets before it has its own handlers would call the server's handler,
    and be lost."""
    if _state.handlers:
        _state.masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)


def _after_fork() -> None:
    if (mask := _state.masks.pop(threading.get_ident(), None)) is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _after_fork_in_child() -> None:
    """Must not raise: Python would print that and go on."""
    state = _state
    state.in_child = True
    for connection in state.connections:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))  # one too many, so it is never finalized
    if state.nothing >= 0:
        for descriptor in {*state.hidden, *_watched(state.loop)} - {0, 1, 2, state.reading, state.writing}:
            with contextlib.suppress(OSError):
                os.dup2(state.nothing, descriptor, inheritable=False)
        os.close(state.nothing)
    if state.reading >= 0:
        with contextlib.suppress(OSError):
            die_with(state.reading, os.getpid())
    if state.writing >= 0:  # not before `die_with`: if the server has died meanwhile, this close causes the signal
        os.close(state.writing)
    state.hidden, state.nothing, state.writing = set(), -1, -1
    _reset_signals(state.handlers)
    state.handlers = {}
    loop: Any = state.loop
    if hasattr(loop, "_ready"):
        loop._ready, loop._selector = _NoTurn(), _NoTurn()
    state.loop = None
    _after_fork()
    state.masks = {}


def _watched(loop: Any) -> set[int]:
    """The descriptors of the event loop: listening sockets, connections, pipes, and the one with which it waits, which
    a child shares so closely that it could remove the server's watches. Python has no public way to read them."""
    found: set[int] = set()
    with contextlib.suppress(Exception):
        if (selector := getattr(loop, "_selector", None)) is not None:
            found |= {*selector.get_map(), selector.fileno()}
            found |= {*getattr(loop, "_transports", ())}  # those too that do not read at the moment
        elif hasattr(loop, "_get_backend_id"):  # uvloop
            waiting = loop._get_backend_id()
            with Path(f"/proc/self/fdinfo/{waiting}").open("rb") as lines:
                found |= {int(line.split()[1]) for line in lines if line.startswith(b"tfd:")}
            found.add(waiting)
    return found


def _reset_signals(handlers: dict[int, Any]) -> None:
    with contextlib.suppress(Exception):
        signal.set_wakeup_fd(-1)
        for number, handler in handlers.items():
            if signal.getsignal(number) == handler:
                signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)


class _NoTurn(deque[Any]):
    """Replaces the ready queue and the selector of the event loop in a forked child, so that it has no next turn."""

    def popleft(self) -> NoReturn:
        with contextlib.suppress(Exception):
            sys.stderr.write("quart_app: a forked child came back to the event loop and is ended; use os._exit\n")
        leave(SystemExit(1))

    def select(self, _timeout: float | None = None) -> NoReturn:
        self.popleft()


def _prepare() -> None:
    if _state.nothing >= 0 or not hasattr(os, "register_at_fork"):
        return
    if sys.platform == "linux":
        _state.nothing = os.open("/", os.O_PATH | os.O_CLOEXEC)
    else:
        _state.nothing, writing = os.pipe()
        os.close(writing)


class _Member:
    """Is sent along when `multiprocessing` starts a process anew (spawn, forkserver), and calls `join` there. No
    descriptor of this process is open in such a process, but it would outlive the server."""

    def __init__(self, *life: int) -> None:
        self._life = life

    def __reduce__(self) -> tuple[Any, tuple[int, ...]]:
        return join, self._life


def join(server: int, number: int, inode: int) -> _Member:
    """Make this process die with the server that has the pipe of this inode under this number. It ends now when the
    server is gone."""
    with contextlib.suppress(PermissionError):
        try:
            reading = os.open(f"/proc/{server}/fd/{number}", os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            os._exit(1)
        if os.fstat(reading).st_ino != inode:
            os._exit(1)
        die_with(reading, os.getpid())
        _state.reading = reading
    return _Member(server, number, inode)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
