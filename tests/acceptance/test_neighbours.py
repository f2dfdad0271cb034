"""What one client asks for does not keep the others waiting: files that nobody reads."""

from __future__ import annotations

from contextlib import ExitStack

from tests.acceptance.followers import open_stream
from tests.acceptance.harness import Server, until

BUNDLE = "/docs/swagger-ui-bundle.js"
AGAIN = f"GET {BUNDLE} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def test_files_that_nobody_reads_are_refused_past_their_number_and_others_are_served(server: Server) -> None:
    server.start().wait_ready()
    with ExitStack() as opened:

        def refused() -> bool:
            # The system's buffers take a file or two; no more of them than that.
            opened.enter_context(open_stream(server.port, BUNDLE, small=True)).sendall(AGAIN * 9)
            return server.client.get(BUNDLE).status_code == 503

        until(refused, "the limit of files on their way")
        assert server.client.get("/health").status_code == 200
    until(lambda: server.client.get(BUNDLE).status_code == 200, "room for files again")
    assert server.sigterm() == 0
    assert "Traceback" not in server.stderr + server.log
