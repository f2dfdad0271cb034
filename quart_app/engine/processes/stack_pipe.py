"""How a child says where it is, even when it computes or is stuck in C: on a signal, `faulthandler` writes the stack of
its main thread into a pipe."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import re
import signal
import sys
from pathlib import Path
from typing import Final

from quart_app.engine.stacks import Place, from_handler
from quart_app.process import forks

ANSWER: Final = 1.0  # seconds; a child that was stopped (SIGSTOP) does not answer

_END: Final = re.compile(rb"( in _run_module_as_main|\n  \.\.\.)\n")  # the outermost frame, or there are too many
_FRAME: Final = re.compile(r'^  File "(.*)", line ([0-9]+) in (.*)$', re.MULTILINE)
_ESCAPE: Final = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")


class StackPipe:
    """The server's end. `theirs` is the child's end until `give_away`."""

    def __init__(self) -> None:
        self._ours, self.theirs = os.pipe()
        for end in (self._ours, self.theirs):
            os.set_blocking(end, False)  # a server that does not read must not hold the child up
        self._asking = asyncio.Lock()

    def give_away(self) -> None:
        os.close(self.theirs)

    def close(self) -> None:
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1

    async def ask(self, pid: int) -> list[Place] | None:
        """The stack of the child's main thread, outermost first; None when it does not answer."""
        async with self._asking:
            if self._ours < 0 or not _listens(pid):
                return None
            self._read()  # what an earlier question has left
            loop = asyncio.get_running_loop()
            arrived = asyncio.Event()
            loop.add_reader(self._ours, arrived.set)
            try:
                os.kill(pid, signal.SIGUSR1)
                text = await asyncio.wait_for(self._answer(arrived), ANSWER)
            except (TimeoutError, ProcessLookupError):
                return None
            finally:
                loop.remove_reader(self._ours)
        return _places(text.decode("ascii", "replace"))

    async def _answer(self, arrived: asyncio.Event) -> bytes:
        text = b""
        while not _END.search(text):
            await arrived.wait()
            arrived.clear()
            text += self._read()
        return text

    def _read(self) -> bytes:
        try:
            return os.read(self._ours, 1 << 17)
        except BlockingIOError:
            return b""


def listen(descriptor: int) -> None:
    """In the child: write the stack to the pipe on SIGUSR1."""
    os.set_inheritable(descriptor, False)
    forks.hide(descriptor)
    faulthandler.register(signal.SIGUSR1, descriptor, all_threads=False)


def _listens(pid: int) -> bool:
    """Whether the signal would not end the process: a handler may have its own way with it."""
    if sys.platform != "linux":
        return True
    try:
        status = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
    except OSError:
        return False
    found = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> (signal.SIGUSR1 - 1) & 1)


def _places(text: str) -> list[Place]:
    found = [
        Place(_ESCAPE.sub(lambda match: chr(int(match[1] or match[2] or match[3], 16)), path), int(line), function)
        for path, line, function in _FRAME.findall(text)
    ]
    return from_handler(found[::-1])
