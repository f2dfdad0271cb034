"""`send-email` over a real SMTP server: delivered, refused for good, refused for now."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator

import pytest

from tests.mailbox import Mailbox
from tests.web.conftest import Serve
from tests.web.site import Site

MAIL = {"to": "user@example.com", "subject": "Grüße", "body": "first\n.\nlast"}


@pytest.fixture
async def site(serve: Serve, mailbox: Mailbox) -> AsyncIterator[Site]:
    async with serve(smtp_url=f"smtp://127.0.0.1:{mailbox.port}", mail_from="robot@mail.example") as served:
        yield served


async def test_a_mail_is_delivered_once_and_whole(site: Site, mailbox: Mailbox) -> None:
    task = await site.run("send-email", MAIL)
    assert (task["status"], task["result"]["sent_to"]) == ("completed", "user@example.com")
    (envelope,) = mailbox.mails
    assert (envelope.mail_from, envelope.rcpt_tos) == ("robot@mail.example", ["user@example.com"])
    mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert (mail["To"], mail["Subject"], mail["Message-ID"]) == (
        "user@example.com",
        "Grüße",
        f"<{task['task_id']}@mail.example>",
    )
    assert mail.get_content().split() == ["first", ".", "last"]
    assert not (site.settings.data_path / "outbox").exists()


@pytest.mark.parametrize("reply", ["550 No such user", "552 Mailbox full", "553 Bad name"])
async def test_a_recipient_refused_for_good_fails_the_task_at_once(site: Site, mailbox: Mailbox, reply: str) -> None:
    mailbox.rcpt.append(reply)
    task = await site.run("send-email", MAIL)
    assert (task["status"], task["attempt"], task["error"]["retryable"]) == ("failed", 1, False)
    assert reply[:3] in task["error"]["message"]
    assert reply[4:] in task["error"]["message"]
    assert (mailbox.tries, mailbox.mails) == (1, [])


async def test_a_mail_refused_for_good_fails_the_task_at_once(site: Site, mailbox: Mailbox) -> None:
    mailbox.data.append("554 Looks like spam")
    task = await site.run("send-email", MAIL)
    assert (task["status"], task["attempt"], task["error"]["retryable"]) == ("failed", 1, False)
    assert "554" in task["error"]["message"]


@pytest.mark.parametrize("when", ["rcpt", "data"])
async def test_a_refusal_for_now_is_tried_again(site: Site, mailbox: Mailbox, when: str) -> None:
    getattr(mailbox, when).append("451 Try again later")
    task = await site.run("send-email", MAIL)
    assert (task["status"], task["attempt"]) == ("completed", 2)
    (first, second) = (await site.get(f"/tasks/{task['task_id']}/history")).json["attempts"]
    assert (first["outcome"], first["error"]["retryable"], second["outcome"]) == ("retry", True, "complete")
    assert "451" in first["error"]["message"]
    (envelope,) = mailbox.mails
    assert f"<{task['task_id']}@mail.example>".encode() in envelope.content


async def test_a_server_that_cannot_be_reached_is_tried_again_later(serve: Serve, unused_tcp_port: int) -> None:
    async with serve(smtp_url=f"smtp://127.0.0.1:{unused_tcp_port}") as site:
        task_id = await site.make("send-email", MAIL)
        task = await site.task(task_id)
        while task["error"] is None:
            seen = {"If-None-Match": f'"{task["version"]}"'}
            task = (await site.get(f"/tasks/{task_id}?wait=20", seen)).json
        assert (task["status"], task["attempt"], task["error"]["retryable"]) == ("pending", 1, True)
        assert task["run_at"] >= task["created_at"]


async def test_the_url_may_carry_a_user_and_an_escaped_password(serve: Serve, mailbox: Mailbox) -> None:
    async with serve(smtp_url=f"smtp://us%40er:p%40ss%3Aword@127.0.0.1:{mailbox.port}") as site:
        task = await site.run("send-email", MAIL)
    assert (task["status"], mailbox.login) == ("completed", (b"us@er", b"p@ss:word"))


async def test_a_wrong_password_is_shown_as_an_error_without_the_password(serve: Serve, mailbox: Mailbox) -> None:
    async with serve(smtp_url=f"smtp://user:wr0ng-secret@127.0.0.1:{mailbox.port}") as site:
        task = await site.run("send-email", MAIL)
        history = (await site.get(f"/tasks/{task['task_id']}/history")).body
    assert task["status"] == "failed"
    assert "535" in task["error"]["message"]
    assert b"wr0ng-secret" not in history


async def test_one_key_sends_one_mail(site: Site, mailbox: Mailbox) -> None:
    key = {"Idempotency-Key": "mail-1"}
    answers = await asyncio.gather(*(site.post("/tasks/send-email", MAIL, key) for _ in range(5)))
    await site.ended(answers[0].id)
    assert len({answer.id for answer in answers}) == 1
    assert len(mailbox.mails) == 1
