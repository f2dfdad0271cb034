"""A port before a server's that passes everything on, and cuts a connection where a test wants an answer to be lost."""

from __future__ import annotations

import contextlib
import re
import socket
import threading

_REQUEST = re.compile(rb"([A-Z]+ \S+) HTTP/1.1\r\n")


class Relay:
    """`loses` the answers to the next requests whose line matches: the server has done what was asked by then."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self._pattern = b""
        self._left = 0
        self._lock = threading.Lock()
        self.lost: list[str] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def loses(self, pattern: str, times: int = 1) -> None:
        """`pattern` is looked for in lines such as `POST /tasks/add`."""
        self._pattern, self._left = pattern.encode(), times

    def close(self) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [near, far]
                asked = [b""]
                threading.Thread(target=self._there, args=(near, far, asked), daemon=True).start()
                threading.Thread(target=self._back, args=(far, near, asked), daemon=True).start()

    def _there(self, near: socket.socket, far: socket.socket, asked: list[bytes]) -> None:
        with contextlib.suppress(OSError):
            while piece := near.recv(65536):
                if found := _REQUEST.match(piece):
                    asked[0] = found[1]
                far.sendall(piece)
            far.shutdown(socket.SHUT_WR)

    def _back(self, far: socket.socket, near: socket.socket, asked: list[bytes]) -> None:
        with contextlib.suppress(OSError):
            while piece := far.recv(65536):
                if self._takes(asked[0]):
                    break
                near.sendall(piece)
            near.shutdown(socket.SHUT_RDWR)

    def _takes(self, line: bytes) -> bool:
        with self._lock:
            if not self._left or not re.search(self._pattern, line):
                return False
            self._left -= 1
            self.lost.append(line.decode())
            return True
