"""One HTTP/2 connection whose frames the test sends itself, to do what no client library would."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Self

import h2.connection
import h2.events
from h2.settings import SettingCodes, Settings

from tests.deploy.conftest import KEY


class Connection:
    """`answers`: of each stream its status and body so far; `ended`: the streams whose answer is whole."""

    def __init__(self, opened: ssl.SSLSocket, window: int | None = None) -> None:
        """`window`: bytes that the server may send on a stream."""
        self._socket = opened
        self._h2 = h2.connection.H2Connection()
        if window is not None:
            self._h2.local_settings = Settings(client=True, initial_values={SettingCodes.INITIAL_WINDOW_SIZE: window})
        self._h2.initiate_connection()
        self._flush()
        self.answers: dict[int, tuple[int, bytes]] = {}
        self.ended: set[int] = set()
        self.closed = False
        self.knows_the_server = False  # its settings have come

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def request(self, method: str, path: str, end: bool = True, key: str = KEY, **more: str) -> int:
        """Send the header; without `end` a body follows. The number of its stream."""
        stream = self._h2.get_next_available_stream_id()
        fields = [(":method", method), (":path", path), (":scheme", "https"), (":authority", "127.0.0.1")]
        fields += [(f":{name}", value) for name, value in more.items()]
        fields += [("x-api-key", key), ("sec-websocket-version", "13")]
        self._h2.send_headers(stream, fields, end_stream=end)
        self._flush()
        return stream

    def send(self, stream: int, *pieces: bytes, end: bool = True) -> None:
        for piece in pieces:
            self._h2.send_data(stream, piece)
        if end:
            self._h2.end_stream(stream)
        self._flush()

    def until(self, condition: Callable[[], object]) -> None:
        """Take what comes until it is so, or the server has closed."""
        while not condition() and not self.closed:
            data = self._socket.recv(65536)
            self.closed = not data
            for event in self._h2.receive_data(data):
                self._take(event)
            self._flush()

    def answer(self, stream: int) -> tuple[int, bytes]:
        """The whole of it."""
        self.until(lambda: stream in self.ended)
        assert not self.closed, "the server has closed the connection"
        return self.answers[stream]

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            self.answers[event.stream_id] = (int(dict(event.headers)[b":status"]), b"")
        elif isinstance(event, h2.events.DataReceived):
            status, body = self.answers[event.stream_id]
            self.answers[event.stream_id] = (status, body + event.data)
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.ended.add(event.stream_id)
        elif isinstance(event, h2.events.RemoteSettingsChanged):
            self.knows_the_server = True
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.closed = True

    def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self._socket.sendall(data)
