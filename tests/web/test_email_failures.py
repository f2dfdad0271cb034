"""What mail ends as when the server refuses us, hangs, breaks off or talks nonsense; and who gets no password."""

from __future__ import annotations

import asyncio
import email
import ssl
from pathlib import Path
from typing import Any

import pytest

from quart_app.tasks import mail
from tests.mailbox import Mailbox
from tests.web.conftest import Serve
from tests.web.site import Site

trustme = pytest.importorskip("trustme", reason="MAIL OVER TLS IS NOT TESTED: pip install -r requirements-dev.txt")

MAIL = {"to": "user@example.com", "subject": "Hello", "body": "text"}
ONCE = "?max_attempts=1"
AUTHORITY = trustme.CA()
ELSEWHERE = "0.0.0.0"  # leads here, and is not known to


def login(box: Mailbox, host: str) -> str:
    return f"smtp://user:p%40ss%3Aword@{host}:{box.port}"


async def test_a_password_is_not_sent_in_clear_to_another_machine(serve: Serve) -> None:
    box = Mailbox()
    async with box.serve(), serve(smtp_url=login(box, ELSEWHERE)) as site:
        task = await site.run("send-email", MAIL)
        many = await site.run("send-bulk-email", {"recipients": ["a@b.example"], "subject": "x", "body": "x"})
    assert (box.login, box.mails) == (None, [])
    assert (task["status"], task["attempt"], task["error"]["retryable"]) == ("failed", 1, False)
    assert task["error"]["message"].startswith(f"{ELSEWHERE} offers no TLS, so it is not sent the password")
    assert "offers no TLS" in many["error"]["message"]


async def test_a_password_is_sent_to_another_machine_over_tls(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context, box = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), Mailbox()
    AUTHORITY.issue_cert(ELSEWHERE).configure_cert(context)
    async with box.serve(starttls=context), serve(smtp_url=login(box, ELSEWHERE)) as site:
        task = await site.run("send-email", MAIL)
    assert (task["status"], box.encrypted, box.login) == ("completed", [True], (b"user", b"p@ss:word"))


async def test_a_connection_that_ends_after_the_mail_sends_the_same_mail_again(serve: Serve) -> None:
    box = Mailbox()
    box.data.append("hang up")
    async with box.serve() as address, serve(smtp_url=f"smtp://{address}") as site:
        task = await site.run("send-email", MAIL)
        (first, _) = (await site.get(f"/tasks/{task['task_id']}/history")).json["attempts"]
    assert (task["status"], task["attempt"]) == ("completed", 2)
    assert first["error"]["message"].startswith("SMTPServerDisconnected: ")
    ids = {email.message_from_bytes(envelope.content)["Message-ID"] for envelope in box.mails}
    assert (len(box.mails), ids) == (2, {f"<{task['task_id']}@localhost>"})


@pytest.mark.parametrize("when", ["mail", "rcpt", "data"])
async def test_a_server_that_says_nothing_more_is_given_up(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(mail, "TAKING" if when == "data" else "TIMEOUT", 0.3)
    box = Mailbox()
    getattr(box, when).append("silence")
    async with box.serve() as address, serve(smtp_url=f"smtp://{address}") as site:
        task = await site.run("send-email", MAIL, ONCE)
    assert (task["status"], task["error"]["retryable"]) == ("failed", True)
    assert "Timed out waiting for server" in task["error"]["message"]


async def test_a_server_that_does_not_greet_is_given_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "TIMEOUT", 0.3)
    task = await meeting(serve, b"")
    assert (task["status"], task["error"]["retryable"]) == ("failed", True)
    assert "Timed out waiting for server ready message" in task["error"]["message"]


@pytest.mark.parametrize(
    ("greeting", "says", "retryable"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "Malformed SMTP response", True),
        (b"\xff\x00\r\n", "Malformed SMTP response", True),
        (b"421 Too busy\r\n", "421 Too busy", True),
        (b"554 Go away\r\n", "554 Go away", False),
    ],
)
async def test_what_a_server_says_instead_of_a_greeting_is_told(
    serve: Serve, greeting: bytes, says: str, retryable: bool
) -> None:
    task = await meeting(serve, greeting)
    assert (task["status"], task["error"]["retryable"]) == ("failed", retryable)
    assert task["error"]["message"].startswith(says)


async def meeting(serve: Serve, greeting: bytes) -> Any:
    """The task of a mail to a server that says this, and no more."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, serve(smtp_url=f"smtp://{host}:{port}") as site:
        return await site.run("send-email", MAIL, ONCE)


async def test_a_server_that_knows_no_login_is_told_apart_from_one_that_is_down(serve: Serve) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 test\r\n")
        while await reader.readline():
            writer.write(b"250 test\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, serve(smtp_url=f"smtp://user:password@127.0.0.1:{port}") as site:
        task = await site.run("send-email", MAIL)
    assert (task["status"], task["attempt"], task["error"]["retryable"]) == ("failed", 1, False)
    assert "AUTH extension is not supported" in task["error"]["message"]


async def test_an_address_beyond_ascii_goes_to_a_server_that_takes_those(serve: Serve) -> None:
    box = Mailbox(utf8=True)
    async with box.serve() as address, serve(smtp_url=f"smtp://{address}") as site:
        task = await site.run("send-email", {**MAIL, "to": "jörg@bücher.example"})
    assert (task["status"], task["result"]["sent_to"]) == ("completed", "jörg@bücher.example")
    (envelope,) = box.mails
    assert (envelope.rcpt_tos, envelope.smtp_utf8) == (["jörg@xn--bcher-kva.example"], True)
    assert "To: jörg@xn--bcher-kva.example\r\n".encode() in envelope.content


async def test_an_address_beyond_ascii_is_the_only_one_that_another_server_is_not_asked_for(serve: Serve) -> None:
    box = Mailbox()
    wanted = ["jörg@example.com", "jo@bücher.example", "ann@example.com", "x@☃.example"]
    async with box.serve() as address, serve(smtp_url=f"smtp://{address}") as site:
        task = await site.run("send-bulk-email", {"recipients": wanted, "subject": "x", "body": "x"})
    assert (task["status"], task["attempt"], task["result"]["sent"]) == ("completed", 1, 2)
    assert box.addressees == ["jo@xn--bcher-kva.example", "ann@example.com"]
    assert len(box.sessions) == 1
    first, second = task["result"]["failed"]
    assert (first["to"], first["code"]) == (wanted[0], None)
    assert "SMTPUTF8" in first["message"]
    assert (second["to"], second["code"]) == (wanted[3], None)
    assert second["message"].startswith("no domain name: ")


async def steps(site: Site, task: Any) -> int:
    return len((await site.get(f"/tasks/{task['task_id']}/history")).json["steps"])


async def test_a_sender_who_is_refused_is_charged_to_no_recipient(serve: Serve) -> None:
    """So that a retry by hand, once the server lets us in, mails all of them."""
    box = Mailbox()
    box.mail = ["530 Authentication required"] * 2
    async with box.serve() as address, serve(smtp_url=f"smtp://{address}") as site:
        args = {"recipients": ["a@b.example", "c@d.example"], "subject": "x", "body": "x"}
        task = await site.run("send-bulk-email", args)
        assert (task["status"], task["attempt"]) == ("failed", 1)
        assert task["error"]["message"] == "nobody of 2 got it; a@b.example: 530 Authentication required"
        assert await steps(site, task) == 0
        await site.post(f"/tasks/{task['task_id']}/retry")
        assert (await site.ended(task["task_id"]))["result"] == {"sent": 2, "failed": []}


async def test_after_nonsense_a_new_connection_is_made(serve: Serve) -> None:
    """Nobody knows to what the next answer on the old one would belong."""
    box = Mailbox()
    box.rcpt = ["nonsense"]
    async with box.serve() as address, serve(smtp_url=f"smtp://{address}") as site:
        args = {"recipients": ["a@b.example", "c@d.example"], "subject": "x", "body": "x"}
        task = await site.run("send-bulk-email", args, ONCE)
    (failed,) = task["result"]["failed"]
    assert (task["result"]["sent"], failed["to"], failed["code"]) == (1, "a@b.example", None)
    assert failed["message"].startswith("Malformed SMTP response")
    assert len(box.sessions) == 2


async def test_a_server_that_breaks_off_again_and_again_is_asked_no_more_in_this_run(serve: Serve) -> None:
    box = Mailbox()
    box.rcpt = ["hang up"] * 100
    wanted = [f"user{number}@example.com" for number in range(20)]
    async with box.serve() as address, serve(smtp_url=f"smtp://{address}") as site:
        task = await site.run("send-bulk-email", {"recipients": wanted, "subject": "x", "body": "x"}, ONCE)
    assert task["status"] == "failed"
    assert "nobody of 20 got it; user0@example.com: SMTPServerDisconnected" in task["error"]["message"]
    assert box.tries == mail.MAX_SILENCES
