"""How Hypercorn and uvicorn read HTTP/1 with h11."""

from __future__ import annotations

from typing import Any, Final

import h11


class Http1(h11.Connection):
    """Ignores the bytes after a request that closes its connection (RFC 9112, 9.6), such as a line end (2.2) or another
    request. h11's own class treats them as an error of the peer, and servers then answer 400 in the place of the answer
    that the request is about to get."""

    def receive_data(self, data: bytes) -> None:
        if self.their_state not in _LAST:
            super().receive_data(data)

    def next_event(self) -> Any:
        return h11.NEED_DATA if self.their_state in _LAST else super().next_event()


_LAST: Final = (h11.MUST_CLOSE, h11.CLOSED)
