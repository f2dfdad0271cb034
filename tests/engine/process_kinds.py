"""Kinds for child processes. A module of its own: a child imports it, and needs no pytest for that."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from quart_app import NonRetryable, Retry, task
from quart_app.engine.processes.child import ProcessTaskContext

NO_PAUSE = (0.0, 1.0, 0.0)


class Odd(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text for you")


class Bare(BaseException):
    pass


def _cycle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


ERRORS: dict[str, tuple[Any, str]] = {
    "plain": (lambda: ValueError("why"), "ValueError"),
    "text raises": (Odd, "Odd"),
    "10 MB": (lambda: ValueError("x" * 10_000_000), "ValueError"),
    "NUL": (lambda: ValueError("a\x00\ud800"), "ValueError"),
    "SystemExit": (lambda: SystemExit(0), "SystemExit"),
    "KeyboardInterrupt": (KeyboardInterrupt, "KeyboardInterrupt"),
    "BaseException": (Bare, "Bare"),
    "StopIteration": (StopIteration, "StopIteration"),
    "group": (lambda: ExceptionGroup("two", [ValueError("a")]), "ExceptionGroup"),
}

RESULTS: dict[str, tuple[Any, str]] = {
    "set": ({1}, "not_json"),
    "4301 digits": (10**4300, "not_json"),
    "bytes": (b"x", "not_json"),
    "NaN": (float("nan"), "not_json"),
    "cycle": (_cycle(), "not_json"),
    "2 MB": ("x" * 2_000_000, "result_too_large"),
    "50 MB": ("x" * 50_000_000, "result_too_large"),
}

DEATHS: dict[str, str] = {
    "segv": "SIGSEGV",
    "exit 0": "exit code 0",
    "exit 7": "exit code 7",
    "kill": "SIGKILL",
    "abort": "SIGABRT",
}


@task("square", executor="process")
def square(x: int) -> int:
    return x * x


@task("holds", executor="process")
def holds(flag: str) -> None:
    while not Path(flag).exists():
        time.sleep(0.01)


@task("about", executor="process")
def about(ctx: ProcessTaskContext, x: int) -> dict[str, Any]:
    print("what a handler prints is no answer")
    sys.stdout.flush()
    return {"pid": os.getpid(), "id": ctx.task_id, "kind": ctx.kind, "attempt": ctx.attempt, "args": ctx.args}


@task("counts", executor="process")
def counts(ctx: ProcessTaskContext, upto: int) -> str:
    for number in range(1, upto + 1):
        ctx.progress(number, upto, f"at {number} \x00\ud800")
    return "a\x00b\ud800"


@task("raises", executor="process")
def raises(what: str) -> None:
    raise ERRORS[what][0]()


@task("returns", executor="process")
def returns(what: str) -> Any:
    return RESULTS[what][0]


@task("dies", executor="process", max_attempts=2, backoff=NO_PAUSE)
def dies(ctx: ProcessTaskContext, how: str, on_attempt: int = 0) -> str:
    if on_attempt and ctx.attempt != on_attempt:
        return f"attempt {ctx.attempt}"
    match how:
        case "segv":
            ctypes.string_at(0)
        case "exit 0":
            os._exit(0)
        case "exit 7":
            os._exit(7)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "abort":
            os.abort()
    raise AssertionError("still alive")


@task("retries", executor="process", max_attempts=3, backoff=NO_PAUSE, retry_on=OSError)
def retries(ctx: ProcessTaskContext, what: str) -> str:
    match what:
        case "os":
            raise OSError("again")
        case "value":
            raise ValueError("not again")
        case "never":
            raise NonRetryable("never")
        case "group":
            raise ExceptionGroup("two", [OSError("may be"), ValueError("may not")])
        case "later":
            raise ExceptionGroup("one", [Retry("later", after=600)])
        case "once":
            if ctx.attempt == 1:
                raise OSError("once")
    return f"attempt {ctx.attempt}"


@task("computes", executor="process")
def computes(ctx: ProcessTaskContext) -> None:
    """Never looks up."""
    ctx.progress(message=str(os.getpid()))
    while True:
        sum(range(1000))


@task("stuck-in-c", executor="process")
def stuck_in_c(ctx: ProcessTaskContext) -> None:
    """In a call that holds the interpreter's lock, so that no other thread runs either."""
    libc = ctypes.PyDLL(None)
    ctx.progress(message=str(os.getpid()))
    while True:
        libc.usleep(900_000_000)


@task("wants-the-signal", executor="process")
def wants_the_signal(ctx: ProcessTaskContext) -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    computes.function(ctx)


@task("computes-shortly", executor="process", timeout=0.2)
def computes_shortly(ctx: ProcessTaskContext) -> None:
    ctx.progress(message=str(os.getpid()))
    while True:
        sum(range(1000))


@task("listens", executor="process")
def listens(ctx: ProcessTaskContext, path: str) -> None:
    ctx.progress(message=str(os.getpid()))
    while not ctx.cancelled:
        time.sleep(0.01)
    Path(path).write_text("saw it")


@task("starts-others", executor="process", timeout=60)
def starts_others(ctx: ProcessTaskContext, how: str) -> None:
    """Three programs: of its own group, of a session of their own, and one that has lost its parent; all of them hold
    whatever can be inherited. Their numbers are the progress."""
    programs = [
        subprocess.Popen(["sleep", "600"], close_fds=False, start_new_session=session) for session in (False, True)
    ]
    shell = "sleep 600 > /dev/null & echo $!"
    orphan = subprocess.run(["sh", "-c", shell], stdout=subprocess.PIPE, close_fds=False, text=True).stdout
    child = os.fork()
    if child == 0:
        signal.pause()
    pids = [*(program.pid for program in programs), int(orphan), child]
    ctx.progress(message=" ".join(map(str, pids)))
    match how:
        case "returns":
            return
        case "dies":
            os._exit(9)
    signal.pause()
    signal.pause()


@task("leaves-a-thread", executor="process")
def leaves_a_thread(ctx: ProcessTaskContext, path: str) -> int:
    """The thread speaks for its task for as long as it can, and writes down how that ends."""

    def speak() -> None:
        said = 0
        while True:
            try:
                ctx.progress(message="from another task")
                logging.getLogger("quart_app.task.old").info("still here")
            except RuntimeError as error:
                Path(path).write_text(str(error))
                return
            said += 1
            if said == 2:
                spoken.set()

    spoken = threading.Event()
    threading.Thread(target=speak, daemon=True).start()
    spoken.wait()
    return os.getpid()


@task("forks-and-leaves", executor="process")
def forks_and_leaves(how: str) -> int:
    """The exit code of a forked child that leaves the handler."""
    child = os.fork()
    if child == 0:
        if how == "exits":
            sys.exit(3)
        return 0
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@task("asks-for-a-pause", executor="process", max_attempts=2)
def asks_for_a_pause(after: str) -> None:
    raise Retry("later", after=float(after))


@task("eats", executor="process", memory="128MB", max_attempts=2, backoff=NO_PAUSE)
def eats(ctx: ProcessTaskContext, megabytes: int) -> int:
    return len(bytearray(megabytes * 2**20))


@task("eats-once", executor="process", memory="128MB", max_attempts=2, backoff=NO_PAUSE)
def eats_once(ctx: ProcessTaskContext) -> int:
    return len(bytearray(300 * 2**20)) if ctx.attempt == 1 else ctx.attempt


@task("eats-inside-a-group", executor="process", memory="128MB")
def eats_inside_a_group(ctx: ProcessTaskContext) -> None:
    try:
        bytearray(300 * 2**20)
    except MemoryError as error:
        raise ExceptionGroup("two", [ValueError("a"), error]) from None


@task("eats-for-good", executor="process", memory="128MB", max_attempts=3, no_retry_on=MemoryError)
def eats_for_good() -> int:
    return len(bytearray(300 * 2**20))


KEPT: list[bytearray] = []


@task("keeps", executor="process")
def keeps(megabytes: int) -> int:
    """What it holds stays in the child when it has ended."""
    KEPT.append(bytearray(megabytes * 2**20))
    return os.getpid()


@task("small", executor="process", memory="128MB")
def small(megabytes: int = 1) -> int:
    return os.getpid() if bytearray(megabytes * 2**20) else 0


@task("twice", executor="process", recycle=2)
def twice(fails: bool = False) -> int:
    if fails:
        raise ValueError(str(os.getpid()))
    return os.getpid()


@task("emits-in-a-process", executor="process")
def emits_in_a_process(ctx: ProcessTaskContext, n: int, size: int = 0) -> int:
    for number in range(n):
        ctx.emit({"n": number, **({"text": "x" * size} if size else {})})
    return n


@task("reads-upload", executor="process")
def reads_upload(ctx: ProcessTaskContext, upload_id: str) -> str:
    return ctx.upload(upload_id).name


@task("forges", executor="process")
def forges(ctx: ProcessTaskContext, messages: list[Any]) -> str:
    for message in messages:
        ctx._channel.send(message.pop("run"), message)
    return "mine"
