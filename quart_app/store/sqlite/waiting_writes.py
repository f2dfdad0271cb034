"""The writes that wait for the writer, in the order in which they may be written."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush

from quart_app.store.sqlite.transaction import Write


class _Group:
    """Writes of one line that may share a transaction: a single one, or several that share the key."""

    __slots__ = ("left", "shared", "writes")

    def __init__(self, write: Write, shared: bool) -> None:
        self.writes = [write]
        self.shared = shared
        self.left = 1


class Waiting:
    """The queue of writes. Of two writes with one key the second waits for a later turn: in a set statement the last of
    two entries for one row would win silently. A write is in the line of each of its keys. It is ready when it is at
    the head of all of them, so no write overtakes an older one; writes that share a key are side by side. A write
    enters all its lines at once, so two never wait for each other. It moves a fixed number of times, however many
    wait."""

    def __init__(self) -> None:
        self._ready: list[tuple[int, Write]] = []  # a heap: the oldest first
        self._lines: dict[str, deque[_Group]] = {}
        self._count = 0
        self.rows = 0

    def __bool__(self) -> bool:
        return bool(self._ready)  # a write that is not ready waits for one that is ready, or will be

    def add(self, write: Write) -> None:
        self._count += 1
        write.number = self._count
        self.rows += len(write.calls)
        for key, shared in write.keys.items():
            line = self._lines.get(key)
            if line is None:
                self._lines[key] = deque([_Group(write, shared)])
                continue
            if shared and line[-1].shared:
                line[-1].writes.append(write)
                line[-1].left += 1
            else:
                line.append(_Group(write, shared))
            write.behind += len(line) > 1
        if not write.behind:
            heappush(self._ready, (write.number, write))

    def take(self, rows: int) -> list[Write]:
        """The writes of the next transaction, the oldest first: about `rows` rows, and at least one write."""
        taken: list[Write] = []
        left = rows
        while self._ready and left > 0:
            write = heappop(self._ready)[1]
            left -= len(write.calls)
            taken.append(write)
        self.rows -= rows - left
        for write in taken:  # only now, so that the next writes in their lines wait for the next turn
            for key in write.keys:
                self._step_up(key)
        return taken

    def _step_up(self, key: str) -> None:
        """Update a line after one write of its head group has left it."""
        line = self._lines[key]
        line[0].left -= 1
        if line[0].left:
            return
        line.popleft()
        if not line:
            del self._lines[key]
            return
        for write in line[0].writes:
            write.behind -= 1
            if not write.behind:
                heappush(self._ready, (write.number, write))

    def take_all(self) -> list[Write]:
        """All writes; called when they will not be written."""
        taken: list[Write] = []
        while self:
            taken += self.take(max(self.rows, 1))
        return taken
