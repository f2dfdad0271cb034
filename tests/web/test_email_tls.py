"""Mail over TLS: from the first byte, or by STARTTLS where it is offered; never to a server nobody vouches for."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.mailbox import Mailbox
from tests.web.conftest import Serve

trustme = pytest.importorskip("trustme", reason="MAIL OVER TLS IS NOT TESTED: pip install -r requirements-dev.txt")

MAIL = {"to": "user@example.com", "subject": "Secret", "body": "text"}


@pytest.fixture
def context() -> ssl.SSLContext:
    """Of a server at 127.0.0.1 whose authority nobody knows yet."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(made)
    return made


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known as an administrator would make it known."""
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


AUTHORITY = trustme.CA()


@pytest.mark.usefixtures("trusted")
async def test_smtps_is_encrypted_from_the_first_byte(serve: Serve, context: ssl.SSLContext) -> None:
    box = Mailbox()
    async with (
        box.serve(tls=context) as address,
        serve(smtp_url=f"smtps://user:p%40ss%3Aword@{address}") as site,
    ):
        task = await site.run("send-email", MAIL)
    assert (task["status"], box.encrypted, box.login) == ("completed", [True], (b"user", b"p@ss:word"))


@pytest.mark.usefixtures("trusted")
async def test_smtp_goes_over_to_tls_where_it_is_offered_before_the_password(
    serve: Serve, context: ssl.SSLContext
) -> None:
    box = Mailbox()
    async with box.serve(starttls=context) as address, serve(smtp_url=f"smtp://user:p%40ss%3Aword@{address}") as site:
        task = await site.run("send-email", MAIL)
    assert (task["status"], box.encrypted, box.login) == ("completed", [True], (b"user", b"p@ss:word"))


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_a_certificate_nobody_vouches_for_gets_neither_mail_nor_password(
    serve: Serve, context: ssl.SSLContext, scheme: str
) -> None:
    box = Mailbox()
    how = {"tls": context} if scheme == "smtps" else {"starttls": context}
    async with box.serve(**how) as address, serve(smtp_url=f"{scheme}://user:p%40ss%3Aword@{address}") as site:
        task = await site.run("send-email", MAIL, "?max_attempts=1")
    assert (task["status"], box.mails, box.login) == ("failed", [], None)
    assert "certificate verify failed" in task["error"]["message"]


@pytest.mark.usefixtures("trusted")
async def test_a_certificate_of_another_name_is_refused(serve: Serve) -> None:
    box, context = Mailbox(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("mail.example").configure_cert(context)
    async with box.serve(tls=context) as address, serve(smtp_url=f"smtps://{address}") as site:
        task = await site.run("send-email", MAIL, "?max_attempts=1")
    assert (task["status"], box.mails) == ("failed", [])
