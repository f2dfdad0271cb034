"""A mailing that is killed in the middle: who was recorded gets nothing more, who was not gets the same mail."""

from __future__ import annotations

import asyncio
import email
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import until

smtp = pytest.importorskip("aiosmtpd.smtp", reason="MAIL IS NOT TESTED: pip install -r requirements-dev.txt")

RECIPIENTS = [f"user{number}@example.com" for number in range(8)]
HELD = RECIPIENTS[4]


class Post:
    """A mail server in a thread of its own. The first mail to HELD is taken, and never answered."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, str]] = []
        self.held = threading.Event()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        (to,) = envelope.rcpt_tos
        self.mails.append((to, email.message_from_bytes(envelope.content)["Message-ID"]))
        if to == HELD and not self.held.is_set():
            self.held.set()
            await server.loop.create_future()
        return "250 OK"


@pytest.fixture
def post() -> Iterator[tuple[Post, int]]:
    handler, loop = Post(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def serve() -> Any:
        return await loop.create_server(lambda: smtp.SMTP(handler, hostname="test", loop=loop), "127.0.0.1", 0)

    async def stop() -> None:
        server.close()
        sessions = asyncio.all_tasks() - {asyncio.current_task()}
        for session in sessions:
            session.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)

    server = asyncio.run_coroutine_threadsafe(serve(), loop).result()
    yield handler, server.sockets[0].getsockname()[1]
    asyncio.run_coroutine_threadsafe(stop(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_mailing_killed_in_the_middle_mails_nobody_twice_whose_step_was_recorded(
    make_server: MakeServer, post: tuple[Post, int]
) -> None:
    box, port = post
    server = make_server(smtp_url=f"smtp://127.0.0.1:{port}").start().wait_ready()
    task_id = server.post("send-bulk-email", {"recipients": RECIPIENTS, "subject": "News", "body": "Hello"})
    assert box.held.wait(30)
    until(lambda: server.rows("SELECT count(*) FROM steps") == [(4,)], "the steps before")
    server.kill9()

    server.start().wait_ready()
    task = server.ended(task_id)
    assert (task["status"], task["result"]) == ("completed", {"sent": 8, "failed": []})
    assert (task["attempt"], task["crashes"]) == (1, 0)
    counts = Counter(to for to, _ in box.mails)
    assert counts == {**dict.fromkeys(RECIPIENTS, 1), HELD: 2}
    assert len(set(box.mails)) == 8  # the second one to HELD is known by its Message-ID
