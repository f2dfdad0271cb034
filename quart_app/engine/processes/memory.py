"""Limits the memory of this process while one handler runs."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from typing import Final

if sys.platform != "win32":
    import resource


MIN_MEMORY: Final = 64 * 2**20  # an interpreter with a few libraries needs as much
_SIZE: Final = re.compile(r"([0-9]{1,15})(?: ?([KMG])i?B)?")


def size_of(text: str | int) -> int:
    """The bytes of `512MB` (1 KB is 1,024 bytes) or of a plain number; 0 for no size, or one below MIN_MEMORY."""
    match = _SIZE.fullmatch(str(text))
    size = int(match[1]) * 1024 ** " KMG".index(match[2] or " ") if match is not None else 0
    return size if MIN_MEMORY <= size <= 2**50 else 0


@contextlib.contextmanager
def at_most(limit: int | None) -> Iterator[None]:
    """Let no allocation take this process over `limit` bytes: Python raises MemoryError instead. Linux only; elsewhere
    nothing is limited.

    The limit counts writable private memory, including the stacks of threads, but not mapped files and shared memory.
    Each process that is started meanwhile has the same limit.
    """
    if limit is None or sys.platform != "linux":
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    _, hard = before
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard < 0 else min(limit, hard), hard))
    try:
        yield
    finally:  # before the error is described, too: that takes memory
        resource.setrlimit(resource.RLIMIT_DATA, before)
