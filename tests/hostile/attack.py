"""What every test of this folder does: send, look at the answer, and at the end look at the server."""

from __future__ import annotations

from typing import Any, Final

from tests.hostile.server import Server
from tests.hostile.wire import Reply, Wire, post_json, request

MAX_GROWTH: Final = 50 * 1024 * 1024
SHOWN: Final = 25  # of the failures of one test


class Attack:
    """`server` has two tasks: `done`, which has ended, and `later`, which will not start for years."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.wire = Wire(server.port)
        self.failures: list[str] = []
        self.sent = 0
        if not server.tasks:
            server.tasks = self._prepare()
        self.done, self.later = server.tasks
        self._before = self._seen()

    def _prepare(self) -> tuple[str, str]:
        ended = self.wire.ask(post_json("/tasks/echo", b'{"value": 1}', (b"Prefer", b"wait=30")))
        later = self.wire.ask(post_json("/tasks/echo?delay=300000000", b"{}"))
        # What a server needs for requests as large as it takes, it keeps: no growth of that kind is a leak.
        for _ in range(5):
            self.wire.ask(post_json("/tasks/echo", b" " * 1_048_000 + b"["))
        self.server.resident_at_first = self.server.resident_bytes()
        return ended.json["task_id"], later.json["task_id"]

    def _seen(self) -> Any:
        """The tasks as the server tells of them."""
        reply = self.wire.ask(request("GET", "/tasks?fields=args,result&limit=200"))
        assert reply.status == 200, reply
        return reply.json, self.server.status()["tasks"]

    # --- sending

    def refused(self, name: str, raw: bytes, *statuses: int) -> Reply:
        """Send what must be answered with a 4xx problem document (of one of these statuses)."""
        reply = self.ask(raw)
        if not (400 <= reply.status < 500 and reply.is_problem) or (statuses and reply.status not in statuses):
            self._fail_unless_of_the_server(name, reply)
        return reply

    def answered(self, name: str, raw: bytes, *statuses: int) -> Reply:
        """Send what must be answered with one of these statuses."""
        reply = self.ask(raw)
        if reply.status not in statuses:
            self._fail_unless_of_the_server(name, reply)
        return reply

    def _fail_unless_of_the_server(self, name: str, reply: Reply) -> None:
        """uvicorn's parser refuses more than Hypercorn's, which leaves it to us: with a status and nothing else."""
        if self.server.kind != "uvicorn" or not reply.is_of_the_parser:
            self.fail(name, reply)

    def ask(self, raw: bytes, end: bool = False) -> Reply:
        self.sent += 1
        return self.wire.ask(raw, end)

    def fail(self, name: str, reply: Reply) -> None:
        self.failures.append(
            f"{name[:200]}: {reply.status} {reply.headers.get(b'content-type')!r} {reply.body[:200]!r}"
        )

    # --- the oracle

    def close(self) -> None:
        self.wire.close()

    def assert_nothing_happened(self) -> None:
        try:
            self._look()
        finally:
            self.wire.close()

    def _look(self) -> None:
        shown = "\n".join(self.failures[:SHOWN])
        assert not self.failures, f"{len(self.failures)} of {self.sent} requests were answered otherwise:\n{shown}"
        assert self.server.process.poll() is None, "the server is gone"
        assert self.server.ask(request("GET", "/health")).status == 200
        assert self._seen() == self._before, "a malformed request has made or changed a task"
        assert b"Traceback" not in self.server.written()
        growth = self.server.resident_bytes() - self.server.resident_at_first
        assert growth < MAX_GROWTH, f"the server has grown by {growth / 2**20:.1f} MB"


class SlowPeers:
    """Connections that send a part of a request and then nothing. The server must get rid of them by itself."""

    BODY = b"POST /tasks/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

    def __init__(self, port: int, each: int = 20) -> None:
        self.heads = [self._begun(port, b"POST /tasks/echo HTTP/1.1\r\nHost: localhost\r\nX: ") for _ in range(each)]
        self.bodies = [self._begun(port, self.BODY + b"Content-Length: 12\r\n\r\n{") for _ in range(each)]
        self.chunks = [
            self._begun(port, self.BODY + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n") for _ in range(each)
        ]

    def _begun(self, port: int, raw: bytes) -> Wire:
        wire = Wire(port)
        wire.send(raw)
        return wire

    def close(self) -> None:
        for wire in (*self.heads, *self.bodies, *self.chunks):
            wire.close()
