"""`send-bulk-email`: each recipient once, whoever else is refused."""

from __future__ import annotations

import email
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.mailbox import Mailbox
from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem

ALL = [f"user{number}@example.com" for number in range(5)]
MAIL = {"recipients": ALL, "subject": "News", "body": "Hello"}


@pytest.fixture
async def site(serve: Serve, mailbox: Mailbox) -> AsyncIterator[Site]:
    async with serve(smtp_url=f"smtp://127.0.0.1:{mailbox.port}", mail_from="robot@mail.example") as served:
        yield served


async def steps(site: Site, task: Any) -> dict[str, Any]:
    history = (await site.get(f"/tasks/{task['task_id']}/history")).json
    return {step["name"]: step["output"] for step in history["steps"]}


async def test_everybody_gets_a_mail_of_their_own_over_one_connection(site: Site, mailbox: Mailbox) -> None:
    task = await site.run("send-bulk-email", MAIL)
    assert (task["status"], task["result"]) == ("completed", {"sent": 5, "failed": []})
    assert mailbox.addressees == ALL
    assert len(mailbox.sessions) == 1
    mails = [email.message_from_bytes(envelope.content) for envelope in mailbox.mails]
    assert [mail["To"] for mail in mails] == ALL
    ids = [mail["Message-ID"] for mail in mails]
    assert len(set(ids)) == 5
    assert all(one.startswith(f"<{task['task_id']}.") and one.endswith("@mail.example>") for one in ids)
    assert task["progress"] == {"done": 5, "total": 5, "percent": 100.0, "message": "5 sent, 0 not"}
    assert len(await steps(site, task)) == 5


async def test_one_bad_recipient_stops_nobody(site: Site, mailbox: Mailbox) -> None:
    mailbox.replies[ALL[1]] = ["550-No such\r\n550 user here"]
    task = await site.run("send-bulk-email", MAIL)
    assert (task["status"], task["attempt"]) == ("completed", 1)
    (failed,) = task["result"]["failed"]
    assert (task["result"]["sent"], failed["to"], failed["code"]) == (4, ALL[1], 550)
    assert "No such user here" in failed["message"]
    assert mailbox.addressees == [ALL[0], *ALL[2:]]
    assert len(mailbox.sessions) == 1


@pytest.mark.parametrize("reply", ["451 Try again later", "421 Too many mails", "hang up"])
async def test_who_is_not_taken_now_is_tried_again_and_nobody_else(site: Site, mailbox: Mailbox, reply: str) -> None:
    mailbox.replies = {ALL[0]: ["550 No"], ALL[2]: [reply]}
    task = await site.run("send-bulk-email", MAIL)
    assert (task["status"], task["attempt"]) == ("completed", 2)
    assert [one["to"] for one in task["result"]["failed"]] == [ALL[0]]
    assert task["result"]["sent"] == 4
    assert mailbox.addressees == [ALL[1], *ALL[3:], ALL[2]]


async def test_who_is_never_taken_is_in_the_result_of_the_last_attempt(site: Site, mailbox: Mailbox) -> None:
    mailbox.replies[ALL[2]] = ["451 Later"] * 2
    task = await site.run("send-bulk-email", MAIL, "?max_attempts=2")
    assert (task["status"], task["attempt"], task["result"]["sent"]) == ("completed", 2, 4)
    assert task["result"]["failed"] == [{"to": ALL[2], "code": 451, "message": "Later"}]
    assert mailbox.tries == 6


async def test_it_fails_when_every_one_is_refused(site: Site, mailbox: Mailbox) -> None:
    mailbox.replies = {to: ["550 No"] for to in ALL}
    task = await site.run("send-bulk-email", MAIL)
    assert (task["status"], task["attempt"], task["error"]["retryable"]) == ("failed", 1, False)
    assert "550" in task["error"]["message"]
    assert mailbox.tries == 5


async def test_a_retry_by_hand_mails_those_who_were_not_taken(site: Site, mailbox: Mailbox) -> None:
    mailbox.replies = {to: ["451 Later"] for to in ALL}
    task = await site.run("send-bulk-email", MAIL, "?max_attempts=1")
    assert (task["status"], mailbox.mails) == ("failed", [])
    assert (await site.post(f"/tasks/{task['task_id']}/retry")).status == 202
    assert (await site.ended(task["task_id"]))["result"] == {"sent": 5, "failed": []}


async def test_a_server_that_is_down_is_asked_once_a_run(serve: Serve, unused_tcp_port: int) -> None:
    async with serve(smtp_url=f"smtp://127.0.0.1:{unused_tcp_port}") as site:
        task = await site.run("send-bulk-email", MAIL, "?max_attempts=1")
        assert task["status"] == "failed"
        assert "nobody of 5" in task["error"]["message"]
        assert await steps(site, task) == {}


async def test_a_wrong_password_is_final_and_charged_to_no_recipient(serve: Serve, mailbox: Mailbox) -> None:
    async with serve(smtp_url=f"smtp://user:wr0ng-secret@127.0.0.1:{mailbox.port}") as site:
        task = await site.run("send-bulk-email", MAIL)
        assert (task["status"], task["attempt"]) == ("failed", 1)
        assert "535" in task["error"]["message"]
        assert "wr0ng" not in task["error"]["message"]
        assert await steps(site, task) == {}


async def test_an_address_given_twice_gets_one_mail(site: Site, mailbox: Mailbox) -> None:
    task = await site.run("send-bulk-email", {**MAIL, "recipients": [ALL[0], ALL[1], ALL[0]]})
    assert (task["result"], mailbox.addressees) == ({"sent": 2, "failed": []}, ALL[:2])


async def test_the_longest_addresses_are_told_apart(site: Site, mailbox: Mailbox) -> None:
    long = "a" * 64 + "@" + "b." * 90
    wanted = [f"{long}{end}" for end in ("x.example", "y.example")]
    task = await site.run("send-bulk-email", {**MAIL, "recipients": wanted})
    assert (task["result"], mailbox.addressees) == ({"sent": 2, "failed": []}, wanted)


async def test_without_a_server_each_mail_is_a_file(serve: Serve) -> None:
    async with serve() as site:
        task = await site.run("send-bulk-email", MAIL)
        files = sorted((site.settings.data_path / "outbox").iterdir())
    assert task["result"]["sent"] == len(files) == 5
    assert all(file.name.startswith(task["task_id"]) for file in files)


async def test_without_a_server_a_long_body_is_kept_once(serve: Serve) -> None:
    body = "Grüße\n" * 1000
    async with serve() as site:
        task = await site.run("send-bulk-email", {**MAIL, "body": body})
        outbox = site.settings.data_path / "outbox"
        assert (outbox / f"{task['task_id']}.body.txt").read_text("utf-8") == body
        mails = [email.message_from_bytes(file.read_bytes()) for file in outbox.glob("*.eml")]
    assert (task["result"]["sent"], len(mails)) == (5, 5)
    for mail in mails:
        assert mail.get_content_type() == "message/external-body"
        assert mail.get_param("access-type") == "local-file"
        assert mail.get_param("name") == f"{task['task_id']}.body.txt"
        (text,) = mail.get_payload()
        assert (text.get_content_type(), text["Content-ID"]) == ("text/plain", mail["Message-ID"])
        assert len(mail.as_bytes()) < 1000


@pytest.mark.parametrize(
    ("field", "value", "pointer"),
    [
        ("recipients", [], "/recipients"),
        ("recipients", "user@example.com", "/recipients"),
        ("recipients", ["user@example.com"] * 1001, "/recipients"),
        ("recipients", ["a@b.example"] * 9_000, "/recipients"),
        ("recipients", [ALL[0], "a@example.com\r\nBcc: b@example.com"], "/recipients/1"),
        ("recipients", [ALL[0], "a@example.com,b@example.com"], "/recipients/1"),
        ("recipients", ["a" * 100_000 + "!"], "/recipients/0"),
        ("recipients", [5], "/recipients/0"),
        ("subject", "Hello\r\nBcc: b@example.com", "/subject"),
        ("body", None, "/body"),
        ("from", "boss@example.com", "/from"),
    ],
)
async def test_what_is_no_mail_is_422_at_its_place(site: Site, field: str, value: Any, pointer: str) -> None:
    assert_problem(await site.post("/tasks/send-bulk-email", {**MAIL, field: value}), 422, pointer)
    assert await site.total() == 0


async def test_ten_thousand_recipients_start_nothing(site: Site) -> None:
    answer = await site.post("/tasks/send-bulk-email", {**MAIL, "recipients": ["a@b.example"] * 10_000})
    assert answer.status in (400, 422)
    assert await site.total() == 0
