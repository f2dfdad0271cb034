"""`sys.exit()` somewhere inside a handler: it ends its task at most, never the server; and a server that is ended by it
all the same does not linger."""

from __future__ import annotations

import contextlib

import httpx
import pytest

from tests.acceptance.harness import Command, Server, until


@pytest.mark.parametrize("command", ["serve", "serve-uvicorn"])
@pytest.mark.parametrize("how", ["wait_for", "gather", "task", "detached", "callback", "stop"])
def test_sys_exit_anywhere_inside_a_handler_leaves_the_server_alive(server: Server, how: str, command: Command) -> None:
    server.start(command).wait_ready()
    pid = server.pid
    for _ in range(2):
        ended = server.ended(server.post("exits-inside", {"how": how}), deadline=10)
        assert ended["status"] == ("failed" if how in ("wait_for", "gather", "task") else "completed")
        assert ended["attempt"] == 1
    assert server.ended(server.post("quick", {"x": how}))["result"] == how
    assert server.running
    assert server.pid == pid
    assert server.sigterm() == 0


@pytest.mark.parametrize("command", ["hypercorn", "uvicorn"])
def test_another_server_whose_loop_was_stopped_ends_with_70(server: Server, command: Command) -> None:
    server.start(command).wait_ready()
    with contextlib.suppress(httpx.TransportError, ValueError):
        server.post("exits-inside", {"how": "stop"})
    assert server.wait_exit(15) == 70


@pytest.mark.parametrize("command", ["hypercorn", "uvicorn"])
def test_a_server_whose_loop_was_ended_does_not_linger_and_hold_the_database(server: Server, command: Command) -> None:
    server.start(command).wait_ready()
    with contextlib.suppress(httpx.TransportError, ValueError):
        server.post("exits-inside", {"how": "callback"})

    def ended_or_serving() -> bool:
        if not server.running:
            return True
        with contextlib.suppress(httpx.TransportError, ValueError):
            done = server.rows("SELECT count(*) FROM tasks WHERE status = 'completed'")
            return done == [(1,)] and server.client.get("/health").status_code == 200
        return False

    until(ended_or_serving, "the end of the process, or its survival", deadline=20)

    def works() -> bool:
        # The guilty task may be resumed and end the loop again, until a run of it is recorded before the loop ends.
        with contextlib.suppress(httpx.TransportError, ValueError, AssertionError):
            if not server.running:
                server.start(command).wait_ready()
            return bool(server.ended(server.post("quick", {"x": 1}))["result"] == 1)
        return False

    until(works, "a server that runs tasks again", deadline=90)
