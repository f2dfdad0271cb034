"""Takes a stream of Server-Sent Events apart (HTML, 9.2.6)."""

from __future__ import annotations

from typing import NamedTuple


class Frame(NamedTuple):
    """One event. `id` is the last id that the stream has set, by this frame or one before it."""

    id: str
    event: str
    data: str


class Frames:
    """Gathers the pieces of a stream. What is cut off by the end of a connection is no frame."""

    def __init__(self) -> None:
        self.last_id = ""
        """The last id of a whole frame, also of one without data."""
        self.retry: float | None = None
        """Seconds after which the server wants to be asked again."""
        self.begin()

    def begin(self) -> None:
        """A connection begins: forget what the last one left unfinished."""
        self._rest = b""
        self._clear()

    def _clear(self) -> None:
        self._id: str | None = None
        self._event = ""
        self._data: list[str] = []

    def take(self, piece: bytes) -> list[Frame]:
        """The frames that end within this piece."""
        # Not splitlines(): it would also split a text at U+2028 and others.
        *lines, self._rest = (self._rest + piece).split(b"\n")
        return [frame for line in lines if (frame := self._line(line.decode("utf-8", "replace").rstrip("\r")))]

    def _line(self, line: str) -> Frame | None:
        if not line:
            return self._end()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id":
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value) / 1000
        return None

    def _end(self) -> Frame | None:
        if self._id is not None:
            self.last_id = self._id
        found = Frame(self.last_id, self._event or "message", "\n".join(self._data)) if self._data else None
        self._clear()
        return found
