"""`send-email` without a mail server: whole files in the outbox, and nothing that could forge a header."""

from __future__ import annotations

import email
import email.policy
import re
from email.message import EmailMessage
from typing import Any

import pytest

from tests.web.conftest import Serve
from tests.web.site import Site, assert_problem

MAIL = {"to": "user@example.com", "subject": "Hello", "body": "This is a test email"}


def outbox(site: Site) -> dict[str, EmailMessage]:
    """The mails by file name."""
    files = sorted((site.settings.data_path / "outbox").iterdir())
    parse = email.message_from_bytes
    return {file.name: parse(file.read_bytes(), policy=email.policy.default) for file in files}  # type: ignore[misc]


async def test_the_answer_has_the_words_of_the_document(site: Site) -> None:
    answer = await site.post("/tasks/send-email", MAIL)
    assert (answer.status, answer.json["message"]) == (202, "Email task created")
    assert (answer.json["status"], answer.json["status_url"]) == ("pending", f"/tasks/{answer.id}")


async def test_the_result_says_to_whom_when_and_what(site: Site) -> None:
    task = await site.run("send-email", MAIL)
    assert task["status"] == "completed"
    assert task["result"].keys() == {"sent_to", "sent_at", "subject"}
    assert (task["result"]["sent_to"], task["result"]["subject"]) == ("user@example.com", "Hello")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", task["result"]["sent_at"])


async def test_the_mail_is_a_file_named_by_the_task(site: Site) -> None:
    task_id = (await site.run("send-email", MAIL))["task_id"]
    ((name, mail),) = outbox(site).items()
    assert name == f"{task_id}.eml"
    assert (mail["To"], mail["Subject"], mail["From"]) == ("user@example.com", "Hello", "quart-app@localhost")
    assert mail["Date"]
    assert mail.get_content().strip() == "This is a test email"


async def test_the_message_id_comes_from_the_task(serve: Serve) -> None:
    async with serve(mail_from="robot@mail.example") as site:
        task_id = (await site.run("send-email", MAIL))["task_id"]
        (mail,) = outbox(site).values()
    assert (mail["Message-ID"], mail["From"]) == (f"<{task_id}@mail.example>", "robot@mail.example")


@pytest.mark.parametrize("subject", ["Grüße 😀", "", "=?utf-8?q?x?=", "s" * 998, "\u202eevil", "a: b"])
async def test_any_line_can_be_a_subject(site: Site, subject: str) -> None:
    task = await site.run("send-email", {**MAIL, "subject": subject})
    assert (task["status"], task["result"]["subject"]) == ("completed", subject)
    (mail,) = outbox(site).values()
    assert mail["To"] == "user@example.com"
    assert set(mail.keys()) <= {
        "From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
    }  # fmt: skip


@pytest.mark.parametrize(
    "body", ["", "é\n" * 100, ".\r\nQUIT\r\n", "From x\n\nSubject: y", "l" * 5000, "\x1b\x0b\u2028"]
)
async def test_any_text_can_be_a_body(site: Site, body: str) -> None:
    task = await site.run("send-email", {**MAIL, "body": body})
    assert task["status"] == "completed"
    (mail,) = outbox(site).values()
    assert plain(mail.get_content()) == plain(body)


def plain(text: str) -> str:
    """A mail ends with a line end and its lines with CRLF, whatever they ended with."""
    return text.replace("\r\n", "\n").rstrip("\n")


@pytest.mark.parametrize("word", ["=?utf-8?q?=0D=0ABcc:_victim@example.com?=", "=?utf-8?b?DQpCY2M6IHhAeS56DQoNCnk=?="])
async def test_what_looks_like_an_encoded_word_is_a_text_like_any_other(site: Site, word: str) -> None:
    """Decoded, these hold line ends and a header of their own."""
    task = await site.run("send-email", {**MAIL, "subject": f"Hi {word}"})
    assert task["result"]["subject"] == f"Hi {word}"
    (mail,) = outbox(site).values()
    assert (mail["Subject"], mail["Bcc"]) == (f"Hi {word}", None)
    assert mail.get_content().strip() == "This is a test email"


@pytest.mark.parametrize(
    ("to", "wire"),
    [("jörg@example.com", "jörg@example.com"), ("jo@bücher.example", "jo@xn--bcher-kva.example")],
)
async def test_an_address_of_any_script_is_an_address(site: Site, to: str, wire: str) -> None:
    task = await site.run("send-email", {**MAIL, "to": to})
    assert (task["status"], task["result"]["sent_to"]) == ("completed", to)
    (file,) = (site.settings.data_path / "outbox").iterdir()
    assert f"To: {wire}\r\n".encode() in file.read_bytes()


async def test_a_domain_that_nobody_can_have_fails_the_task_at_once(site: Site) -> None:
    task = await site.run("send-email", {**MAIL, "to": "jo@☃.example"})
    assert (task["status"], task["attempt"], task["error"]["retryable"]) == ("failed", 1, False)
    assert task["error"]["message"].startswith("no domain name: ")


INJECTION = "\r\nBcc: victim@example.com"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("to", "user@example.com" + INJECTION),
        ("to", "user@example.com\n"),
        ("to", "user\r@example.com"),
        ("to", "a@example.com,b@example.com"),
        ("to", "a@example.com b@example.com"),
        ("to", "Name <a@example.com>"),
        ("to", "<a@example.com>"),
        ("to", "a@b@example.com"),
        ("to", "@example.com"),
        ("to", "user"),
        ("to", "user@"),
        ("to", "user@-"),
        ("to", "user@example..com"),
        ("to", ".user@example.com"),
        ("to", "user\u2028@example.com"),
        ("to", "user@example.com\u202e"),
        ("to", "é" * 100_000 + "!"),
        ("to", ""),
        ("to", "a" * 65 + "@example.com"),
        ("to", "a@" + "b" * 260),
        ("to", "a" * 100_000 + "!"),
        ("to", "a@" + "a." * 50_000 + "!"),
        ("to", ["user@example.com"]),
        ("to", None),
        ("subject", "Hello" + INJECTION),
        ("subject", "Hello\n"),
        ("subject", "Hello\rthere"),
        ("subject", "s" * 999),
        ("subject", 5),
        ("body", None),
        ("body", ["line"]),
        ("cc", "other@example.com"),
    ],
)
async def test_what_is_no_mail_is_422_at_its_place(site: Site, field: str, value: Any) -> None:
    assert_problem(await site.post("/tasks/send-email", {**MAIL, field: value}), 422, f"/{field}")
    assert await site.total() == 0


async def test_what_is_no_address_is_refused_in_words(site: Site) -> None:
    for kind, args, pointer in (
        ("send-email", {**MAIL, "to": "user"}, "/to"),
        ("send-bulk-email", {"recipients": ["a@b.example", "user"], "subject": "x", "body": "x"}, "/recipients/1"),
    ):
        document = assert_problem(await site.post(f"/tasks/{kind}", args), 422, pointer)
        assert document["errors"][0]["detail"] == "expected: An e-mail address, for example ada@example.com"
    document = assert_problem(await site.post("/tasks/send-email", {**MAIL, "subject": "a\nb"}), 422, "/subject")
    assert document["errors"][0]["detail"] == "expected: One line, for example Your order"


@pytest.mark.parametrize("missing", ["to", "subject", "body"])
async def test_a_mail_needs_all_its_parts(site: Site, missing: str) -> None:
    parts = {name: value for name, value in MAIL.items() if name != missing}
    assert_problem(await site.post("/tasks/send-email", parts), 422, f"/{missing}")


@pytest.mark.parametrize(
    "character", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\x1b", "\x7f"]
)
async def test_a_subject_with_a_rare_line_end_is_refused_or_sent(site: Site, character: str) -> None:
    """Python takes these for line ends; accepted, the mail must not fail for them later."""
    answer = await site.post("/tasks/send-email?max_attempts=1", {**MAIL, "subject": f"one{character}two"})
    if answer.status == 202:
        assert (await site.ended(answer.id))["status"] == "completed"
        (mail,) = outbox(site).values()
        assert mail["To"] == "user@example.com"
    else:
        assert_problem(answer, 422, "/subject")
